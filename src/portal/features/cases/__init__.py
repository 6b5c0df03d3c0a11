"""Cases: what files are handed in to, who works in them, and who else looked."""
