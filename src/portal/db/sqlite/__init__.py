"""SQLite, through synchronous connections: point statements run on the event loop, the rest in threads of the pool.

`connections` opens one; `pool` hands them out and has the threads; `unit` is what repositories see; `engine` begins and
commits.
"""
