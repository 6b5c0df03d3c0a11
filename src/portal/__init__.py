"""portal: an encrypted file portal. `docs/architecture.md` draws the house."""
