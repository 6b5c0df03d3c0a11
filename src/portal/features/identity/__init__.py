"""Identity: users, sign-in, sessions. Turns a credential into a `Principal`; says nothing of what it may do."""
