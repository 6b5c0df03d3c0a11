"""Cases: the cases that files are uploaded to, their members, and the log of break-glass access."""
