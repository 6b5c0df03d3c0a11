"""Jobs: work that outlives a request is a leased row. Next: features enqueue jobs, every worker runs them."""
