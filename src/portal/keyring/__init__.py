"""Data keys by scope: their rows, their cache, the providers that wrap them. Next: `strongbox` asks for keys."""
