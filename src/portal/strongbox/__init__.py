"""The strongbox: seal, open, export, destroy. The only place where plaintext becomes ciphertext and back.

Comes in: a stream of chunks and the place it belongs to. Leaves: a sealed blob in the store and what must be remembered
of it; or verified plaintext. Next: `features/files` remembers it in rows.
"""
