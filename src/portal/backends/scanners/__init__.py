"""Scanners: who looks at the plaintext as it passes and gives a verdict. "Clean" means scanned whole, nothing less."""
