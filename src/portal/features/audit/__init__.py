"""The audit record: append-only, written in the caller's transaction, so that what is not on record did not happen."""
