"""Downloads: from a stored file to verified plaintext."""
