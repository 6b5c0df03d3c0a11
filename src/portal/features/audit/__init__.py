"""The audit log: append-only. An event is written in the transaction of its change: no change commits without it."""
