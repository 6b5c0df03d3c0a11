"""Uploads: from the request's bytes to a stored file."""
