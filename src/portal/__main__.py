"""`python -m portal` is the `portal` program."""

from portal.cli import main

main()
