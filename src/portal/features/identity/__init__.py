"""Identity: users, sign-in, sessions. It turns a credential into a `Principal`; what that may do is `authz`'s part."""
