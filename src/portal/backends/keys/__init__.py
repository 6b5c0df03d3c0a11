"""Key providers: they hold the master keys (KEK), and wrap data keys under them."""
