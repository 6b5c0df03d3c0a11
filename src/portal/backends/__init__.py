"""The parts that an operator can swap: key providers, blob stores, scanners.

Each kind has a port (`base`), a list (`registry`) and one file per device. Only its registry imports a concrete
backend. Backends get their settings as arguments; they never read `Settings`.
"""
