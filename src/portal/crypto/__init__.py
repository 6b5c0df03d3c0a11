"""The sealed-file format, version 1 (`docs/format.md`), sans-I/O: bytes in, bytes out. The only door to `cryptography`.

`format` defines the head, `derive` the keys, `layout` the sizes, `stream` the segments, `blob` a head with its stream,
`wrap` the wrapped keys, `record` the file record. Next: `strongbox` moves the bytes; `keyring` and `backends/keys`
store wrapped keys.
"""
