"""What operators see to: so far the keys. Next: `cli`."""
