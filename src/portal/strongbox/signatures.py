"""First bytes of kinds of files: those that libmagic does not name, and those that it is worth asking about.

Comes in: nothing, this is data. Next: `sniff` looks it up.
"""

ISO_OFFSET = 32_769  # behind 16 sectors that belong to the system that boots from it
ISO_MARKS = (b"CD001", b"BEA01")  # ISO 9660; UDF alone
ISO = "application/x-iso9660-image"
VHD = "application/x-virtualbox-vhd"
VHD_MARK = b"conectix"  # also begins the last 512 bytes of a disk of fixed size
FOOTER_BYTES = 512
AFF4 = "application/x-aff4"
ZIP_MARK = b"PK\x03\x04"
AFF4_FIRST = b"container.description"  # the name of a ZIP's first file, behind 30 bytes

NAMED: dict[bytes, str] = {
    b"EVF\x09\r\n\xff\0": "application/x-ewf",  # E01: Expert Witness, EnCase
    b"EVF2\r\n\x81\0": "application/x-ewf",  # Ex01
    b"LVF\x09\r\n\xff\0": "application/x-ewf-logical",  # L01
    b"LEF2\r\n\x81\0": "application/x-ewf-logical",  # Lx01
    b"AFF10\r\n\0": "application/x-aff",
    b"EMiL\x01\0\0\0": "application/x-lime",
    b"KDMV": "application/x-vmdk",
    b"COWD\x01\0\0\0": "application/x-vmdk",
    b"# Disk DescriptorFile": "application/x-vmdk",
    b"QFI\xfb": "application/x-qemu-disk",
    VHD_MARK: VHD,
    b"vhdxfile": "application/x-virtualbox-vhdx",
    b"<<< Oracle VM VirtualBox Disk Image >>>": "application/x-virtualbox-vdi",
    b"\n\r\r\n": "application/x-pcapng",
    b"ElfFile\0": "application/x-ms-evtx",
    b"regf": "application/x-ms-registry",
    b"PAGEDU64": "application/x-dmp",
    b"PAGEDUMP": "application/x-dmp",
    b"MDMP\x93\xa7": "application/x-dmp",
}
"""Kinds that libmagic (5.41 to 5.44) does not name, or not in every version."""

SIGNED: tuple[bytes, ...] = (
    # documents and mail
    *(b"%PDF", b"%!PS", b"\xc5\xd0\xd3\xc6", b"{\\rtf", b"\xd0\xcf\x11\xe0", b"!BDN", b"\x78\x9f\x3e\x22"),
    *(b"AT&TFORM", b"ITSF", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"<", b"BEGIN:", b"\xffWPC"),
    *(b"\0\0\x1a\0", b"\x31\xbe\0\0", b"\xdb\xa5", b"\xcf\xad\x12\xfe"),
    # archives and compressed data
    *(b"PK", b"7z\xbc\xaf", b"Rar!", b"\x1f\x8b", b"\x1f\x9d", b"\x1f\xa0", b"BZh", b"\xfd7zXZ\0"),
    *(b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"LZIP", b"MSCF", b"ISc(", b"!<arch>", b"\xed\xab\xee\xdb"),
    *(b"0707", b"\xc7\x71", b"\x71\xc7", b"xar!", b"MSWIM", b"hsqs", b"sqsh", b"\x5d\0\0", b"\x89LZO"),
    *(b"\x60\xea", b"\x76\x2f\xb1", b"Cr24", b"SZDD"),
    # programs
    *(b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),
    *(b"\0asm", b"dex\n", b"BC\xc0\xde", b"L\0\0\0\x01\x14\x02\0", b"\x4c\x01", b"\x64\x86", b"\x1bLua"),
    *(b"\xd0\x0d\xfe\xed", b"#!", b"\x1a\x01", b"\x1e\x02", b"\xde\x12\x04\x95", b"\x95\x04\x12\xde"),
    # images
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"II+\0", b"IIRO", b"IIU\0", b"MM\0", b"RIFF"),
    *(b"RIFX", b"\0\0\x01\0", b"\0\0\x02\0", b"8BPS", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
    *(b"\0\0\0\x0cJXL", b"\xff\x0a", b"gimp", b"\x0a\x05\x01\x08", b"P1", b"P2", b"P3", b"P4", b"P5"),
    *(b"P6", b"\xd7\xcd\xc6\x9a", b"\x01\0\0\0", b"DDS ", b"v/1\x01", b"qoif", b"SIMPLE"),
    # sound and video
    *(b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"OggS"),
    *(b"fLaC", b"MThd", b"#!AMR", b"\x1a\x45\xdf\xa3", b"FLV\x01", b"FWS", b"CWS", b"ZWS"),
    *(b"\x30\x26\xb2\x75", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"G@\0", b"FORM", b".snd", b".RMF", b"caff"),
    *(b"MAC ", b"wvpk"),
    # captures, dumps, disk images and file systems
    *(b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"snoop\0\0\0"),
    *(b"LUKS\xba\xbe", b"JAVA PROFILE", b"KDUMP", b"XFSB", b"LPKSHHRH"),
    # databases, fonts, keys
    *(b"SQLite format 3", b"\0\x01\0\0Standard", b"\x13\x57\x9a\xce", b"GNU dbm", b"\0\x01\0\0", b"true"),
    *(b"OTTO", b"ttcf", b"wOFF", b"wOF2", b"\x99\x01", b"\x95\x01", b"\x85\x01", b"\x85\x02"),
    *(b"-----BEGIN", b"\xfe\xed\xfe\xed", b"Salted__", b"bplist", b"PAR1", b"Obj\x01", b"\x89HDF"),
    *(b"CDF\x01", b"CDF\x02", b"MATLAB", b"KGB", b"\x03\xd9\xa2\x9a", b"\x84\x8c", b"\x85\x03", b"\x03"),
    *(b"\x83", b"\x8b", b"\x0e\x03\x13\x01"),
)
"""What files begin with about which libmagic's database has something to say. Anything else is not looked up in it."""

SIGNED_LATER: tuple[tuple[int, bytes], ...] = (
    *((2, b"\r\n"), (2, b"-l"), (7, b"**ACE**"), (20, b"\xdc\xa7\xc4\xfd")),  # compiled Python; LHA, ACE, ZOO
    *((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"free"), (4, b"wide")),  # MP4, QuickTime and their kin
    *((4, b"\xef\xcd\xab\x89"), (60, b"BOOKMOBI"), (128, b"DICM")),  # ESE databases, MOBI, DICOM
)
"""The same for bytes further on, as (offset, bytes)."""
