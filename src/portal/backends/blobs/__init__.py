"""Blob stores: where sealed bytes rest. They never see a key or a plaintext."""
