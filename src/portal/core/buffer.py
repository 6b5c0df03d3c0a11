"""The type of read-only byte arguments. A memoryview may show memory that its producer reuses: the function that
returns the view documents how long it stays valid.
"""

Buffer = bytes | bytearray | memoryview
