"""Links: downloads and uploads for people without an account."""
