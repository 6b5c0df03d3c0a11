"""Data keys by scope: their rows, a cache of unwrapped keys, the providers that wrap them. Next: `strongbox`."""
