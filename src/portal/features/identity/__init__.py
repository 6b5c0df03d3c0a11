"""Identity: users, sign-in, sessions. HashingQueue a credential into a `Principal`; says nothing of what it may do."""
