"""API tokens: credentials for scripts and services, each with less than its owner's rights and an end."""
