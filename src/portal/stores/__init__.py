"""The blob stores of this portal, and the store of each part. Next: `strongbox` reads and writes."""
