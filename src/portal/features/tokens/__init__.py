"""API tokens: credentials for scripts and services. Each has fewer rights than its owner, and expires."""
