"""How fast the portal is, beside what people would take instead (`docs/benchmark.md`). Start it with `make bench`."""
