"""Signing keys, and the signed documents that they make: receipts, and what is to be proved outside of the portal."""
