"""Ground: words every other room uses (errors, ids, time, secrets, log, principal). Knows nothing of the rest."""
