"""How much of each suite is run: a little for every change, a lot for a release, or what a variable says.

`make reliability` sets PORTAL_TEST_RELEASE; PORTAL_TEST_KILLS=300 and the like win over both. docs/reliability.md tells
what each amount shows.
"""

import os

RELEASE = bool(os.environ.get("PORTAL_TEST_RELEASE"))
AMOUNTS = {  # name: (for every change, for a release)
    "ABORTED_TRANSFERS": (100, 10_000),
    "BACKED_UP_FILES": (30, 1_000),  # and a kill of a backup and of its restore for every hundred, at least one
    "CUT_OFF_MIGRATIONS": (8, 1_000),  # there are fewer statements: every one
    "DAMAGED_POSITIONS": (200, 10_000),
    "DATABASE_STOPS": (1, 20),
    "FAULTS": (1, 4),  # ways in which each single call fails; there are four to an access to a page of the database
    "FRAMED_SEQUENCES": (500, 50_000),
    "FRAMED_SEQUENCES_BEHIND_CADDY": (150, 5_000),
    "FUZZED_EXAMPLES": (100, 100_000),
    "FUZZED_REQUESTS": (200, 10_000),
    "KEY_JOB_KILLS": (2, 20),  # of each job on keys, on each database
    "KEY_SERVER_UPLOADS": (24, 100),  # in four parts, one for each fault
    "KEY_USES": (60, 1_000),
    "KEY_WORK_TRANSFERS": (10, 50),
    "KILLS": (6, 3_000),
    "LOST_ANSWERS": (5, 200),
    "RACES": (8, 100),  # wherever a test is marked so
    "REENCRYPT_KILLS": (2, 30),  # on each database
    "REWRAPPED_FILES": (40, 10_000),  # in a hundredth as many scopes, at least four
    "SLOW_CONNECTIONS": (100, 500),
    "STOPS": (3, 20),
}


def amount(name: str) -> int:
    """How many of `name` this run does."""
    small, large = AMOUNTS[name]
    return int(os.environ.get(f"PORTAL_TEST_{name}") or (large if RELEASE else small))
