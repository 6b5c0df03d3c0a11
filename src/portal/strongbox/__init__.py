"""The strongbox: seal, open, export, destroy. The only place where plaintext becomes ciphertext and back.

Comes in: a stream of chunks and the `BlobContext` that it is bound to. Leaves: a sealed blob in the store and its
`SealedPart`; or verified plaintext. Next: `features/files` stores the `SealedPart` in rows.
"""
