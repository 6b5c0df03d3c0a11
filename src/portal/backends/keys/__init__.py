"""Key providers: who holds the master key (KEK) and wraps data keys under it."""
