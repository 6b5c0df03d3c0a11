"""What holds bytes, for those who only read them. A view may be of memory that its owner uses again: its giver says."""

Buffer = bytes | bytearray | memoryview
