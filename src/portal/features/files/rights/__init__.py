"""Rights to read a single file: grants, and break-glass access."""
