"""Scanners: they read the plaintext during the upload and return a verdict. "Clean" means: every byte was scanned."""
