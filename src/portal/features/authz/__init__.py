"""One policy door: may this principal do this here? No routes, no tables."""
