"""Links: files go out to, or come in from, people without an account."""
