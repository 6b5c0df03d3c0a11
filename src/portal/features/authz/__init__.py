"""The access policy: the only place that decides if a principal may perform an action. No routes, no tables."""
