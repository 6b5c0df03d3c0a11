"""The doors of the files feature: what speaks HTTP."""
