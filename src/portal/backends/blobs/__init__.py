"""Blob stores: they store ciphertext, and never see a key or plaintext."""
