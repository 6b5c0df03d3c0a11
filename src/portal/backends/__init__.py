"""What an operator can swap: key providers, blob stores, scanners. Each kind has a port (`base`), a list (`registry`)
and one file per device. A concrete backend is imported by its registry alone; backends are told, they read no settings.
"""
