"""The lowest layer: errors, ids, time, secrets, logs, principals. Every other package imports it; it imports none."""
