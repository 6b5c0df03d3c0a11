"""Backups: the rows of the database, sealed, beside the blobs that they name, in a blob store of their own."""
