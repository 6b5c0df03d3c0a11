"""Jobs: work that outlives a request is a leased row. Next: features enqueue, every worker runs."""
