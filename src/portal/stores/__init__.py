"""Which blob stores this portal has, and which one has a part. Next: `strongbox` reads and writes."""
