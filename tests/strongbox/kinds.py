"""Small files of many kinds, and the types that libmagic's whole database names for them.

Comes in: nothing. Leaves: `TOLD`, a sample and its type by the kind's name, and `OURS`, of kinds that only the portal
names. The samples are made here: a few true first bytes each, or what the standard library writes.
"""

import bz2
import gzip
import io
import lzma
import sqlite3
import struct
import tarfile
import zipfile

_ODF = b"application/vnd.oasis.opendocument."


def zipped(*files: tuple[str, bytes], stored: bool = True) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def office(folder: str) -> bytes:
    """A document of Office Open XML: libmagic looks at the names of its first files."""
    names = ("[Content_Types].xml", "_rels/.rels", f"{folder}/document.xml", f"{folder}/_rels/x.rels")
    return zipped(*((name, b"<x/>" * 20) for name in names))


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("evidence/disk.img")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"bytes"))
    return out.getvalue()


def sqlite() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE t (x)")
        return database.serialize()


def elf(kind: int, machine: int = 62) -> bytes:
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", kind, machine, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    return head + bytes(64)


def pe() -> bytes:
    return (
        b"MZ"
        + bytes(58)
        + b"\x80\0\0\0"
        + bytes(64)
        + b"PE\0\0\x64\x86\x01\0"
        + bytes(12)
        + b"\xf0\0\x22\0\x0b\x02"
        + bytes(300)
    )


def isom(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"isom" + bytes(40)


def mp3() -> bytes:
    return (b"\xff\xfb\x90\x64" + bytes(413)) * 8


LOG = b"".join(b"Nov 30 10:%02d:07 host sshd[%d]: Accepted publickey for root\n" % (n % 60, n * 7) for n in range(150))
MAIL = b"Received: from a.example by b.example; Mon, 30 Nov 2026 10:00:00 +0000\r\nFrom: a@a.example\r\n\r\nText.\r\n"

TOLD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "application/x-empty"),
    # documents
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", "application/pdf"),
    "postscript": (b"%!PS-Adobe-3.0\n%%Pages: 1\n", "application/postscript"),
    "rtf": (b"{\\rtf1\\ansi\\deff0 {\\fonttbl {\\f0 Courier;}}\n}", "text/rtf"),
    "docx": (office("word"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    "xlsx": (office("xl"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "pptx": (office("ppt"), "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    "odt": (zipped(("mimetype", _ODF + b"text"), ("content.xml", b"<x/>")), "application/vnd.oasis.opendocument.text"),
    "ods": (
        zipped(("mimetype", _ODF + b"spreadsheet"), ("content.xml", b"<x/>")),
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
    "epub": (zipped(("mimetype", b"application/epub+zip"), ("META-INF/x", b"<x/>")), "application/epub+zip"),
    "ole": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\0\x03\0\xfe\xff\x09\0" + bytes(1000),
        "application/x-ole-storage",
    ),
    "chm": (b"ITSF\x03\0\0\0\x60\0\0\0\x01\0\0\0" + bytes(80), "application/vnd.ms-htmlhelp"),
    "djvu": (b"AT&TFORM\0\0\x10\0DJVUINFO" + bytes(40), "image/vnd.djvu"),
    # mail and contacts
    "mail": (MAIL, "message/rfc822"),
    "mail, returned": (b"Return-Path: <a@a.example>\r\n" + MAIL, "message/rfc822"),
    "vcard": (b"BEGIN:VCARD\r\nVERSION:3.0\r\nN:a;b\r\nEND:VCARD\r\n", "text/vcard"),
    "calendar": (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n", "text/calendar"),
    "tnef": (b"\x78\x9f\x3e\x22\x01\0" + bytes(50), "application/vnd.ms-tnef"),
    # archives
    "zip": (zipped(("a.txt", b"text" * 50), stored=False), "application/zip"),
    "zip, empty": (b"PK\x05\x06" + bytes(18), "application/zip"),
    "jar": (zipped(("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n")), "application/zip"),
    "apk": (
        zipped(("AndroidManifest.xml", b"\x03\0\x08\0" + bytes(60)), ("classes.dex", b"dex\n035\0")),
        "application/vnd.android.package-archive",
    ),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(40), "application/x-7z-compressed"),
    "rar": (b"Rar!\x1a\x07\0" + bytes(40), "application/x-rar"),
    "rar5": (b"Rar!\x1a\x07\x01\0" + bytes(40), "application/x-rar"),
    "gzip": (gzip.compress(LOG, mtime=1), "application/gzip"),
    "compress": (b"\x1f\x9d\x90" + bytes(range(60)), "application/x-compress"),
    "bzip2": (bz2.compress(LOG), "application/x-bzip2"),
    "xz": (lzma.compress(LOG), "application/x-xz"),
    "lzma": (lzma.compress(LOG, lzma.FORMAT_ALONE), "application/x-lzma"),
    "zstd": (b"\x28\xb5\x2f\xfd\x24\x05\x29\0\0abcde" + bytes(4), "application/zstd"),
    "lz4": (b"\x04\x22\x4d\x18\x64\x40\xa7" + bytes(20), "application/x-lz4"),
    "lzip": (b"LZIP\x01\x0c" + bytes(30), "application/x-lzip"),
    "tar": (tar(), "application/x-tar"),
    "cpio": (b"070701" + b"0" * 104 + b"a\0", "application/x-cpio"),
    "cab": (
        b"MSCF\0\0\0\0\x40\0\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\x03\x01\x01\0\x01\0\0\0" + bytes(60),
        "application/vnd.ms-cab-compressed",
    ),
    "ar": (
        b"!<arch>\n" + b"a.o/            0           0     0     644     4         `\nabcd",
        "application/x-archive",
    ),
    "deb": (
        b"!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\ncontrol.tar.xz  ",
        "application/vnd.debian.binary-package",
    ),
    "rpm": (b"\xed\xab\xee\xdb\x03\0\0\0\0\x01a-1-1" + bytes(80), "application/x-rpm"),
    "xar": (b"xar!\0\x1c\0\x01" + bytes(30), "application/x-xar"),
    "wim": (b"MSWIM\0\0\0\xd0\0\0\0\0\0\x0d\0" + bytes(200), "application/x-ms-wim"),
    # programs and scripts
    "elf, program": (elf(2), "application/x-executable"),
    "elf, library": (elf(3), "application/x-sharedlib"),
    "elf, object": (elf(1), "application/x-object"),
    "elf, core": (elf(4), "application/x-coredump"),
    "elf, arm": (elf(2, 183), "application/x-executable"),
    "pe": (pe(), "application/vnd.microsoft.portable-executable"),
    "dos": (b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0" + bytes(100), "application/x-dosexec"),
    "mach-o": (b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\x80\x02\0\0\0" + bytes(60), "application/x-mach-binary"),
    "mach-o, fat": (b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07" + bytes(60), "application/x-mach-binary"),
    "class": (b"\xca\xfe\xba\xbe\0\0\0\x34\0\x1d\x0a" + bytes(40), "application/x-java-applet"),
    "wasm": (b"\0asm\x01\0\0\0" + bytes(20), "application/wasm"),
    "lnk": (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F" + bytes(60), "application/x-ms-shortcut"),
    "shell": (b"#!/bin/sh\nset -e\necho x\n", "text/x-shellscript"),
    "bash": (b"#!/usr/bin/env bash\necho x\n", "text/x-shellscript"),
    "python": (b"#!/usr/bin/env python3\nimport os\nprint(os.sep)\n", "text/x-script.python"),
    "perl": (b"#!/usr/bin/perl -w\nuse strict;\n", "text/x-perl"),
    "ruby": (b"#!/usr/bin/env ruby\nputs 1\n", "text/x-ruby"),
    "php": (b"<?php\necho 1;\n", "text/x-php"),
    "batch": (b"@echo off\r\nset x=1\r\n", "text/x-msdos-batch"),
    "node": (b"#!/usr/bin/env node\nconsole.log(1)\n", "application/javascript"),
    "c": (b"#include <stdio.h>\nint main(void) { return 0; }\n", "text/x-c"),
    "diff": (b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "text/x-diff"),
    # texts
    "text": (b"a plain sentence, and another one.\n", "text/plain"),
    "log": (LOG, "text/plain"),
    "utf-8": ("Größe der Prüfsumme\n".encode() * 200, "text/plain"),
    "utf-16": (("a plain sentence\r\n" * 20).encode("utf-16"), "text/plain"),
    "csv": (b"a,b,c\n" + b"1,2,3\n" * 600, "text/csv"),
    "json": (b'{"a": [1, 2, 3], "b": "x"}', "application/json"),
    "json, large": (b'{"a": [' + b"1, " * 1000 + b"1]}", "application/json"),
    "html": (b"<!DOCTYPE html>\n<html><head><title>x</title></head></html>\n", "text/html"),
    "html, later": (b"<!-- " + b"x" * 2000 + b" -->\n<html><head><title>x</title></head></html>\n", "text/html"),
    "xml": (b'<?xml version="1.0" encoding="UTF-8"?>\n<a><b>x</b></a>\n', "text/xml"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>\n', "image/svg+xml"),
    "pem": (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "text/plain"),
    "pgp": (b"-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----\n", "application/pgp-encrypted"),
    "pgp, key": (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQEN\n", "application/pgp-keys"),
    "reg": (b"Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\x]\r\n", "text/x-ms-regedit"),
    # images
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0", "image/png"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + bytes(20), "image/jpeg"),
    "exif": (b"\xff\xd8\xff\xe1\0\x20Exif\0\0MM\0*\0\0\0\x08" + bytes(20), "image/jpeg"),
    "gif": (b"GIF89a\x01\0\x01\0\x80\0\0" + bytes(20), "image/gif"),
    "bmp": (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0" + bytes(40), "image/bmp"),
    "tiff": (b"II*\0\x08\0\0\0\x01\0" + bytes(40), "image/tiff"),
    "tiff, big end": (b"MM\0*\0\0\0\x08\0\x01" + bytes(40), "image/tiff"),
    "webp": (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(30), "image/webp"),
    "heic": (isom(b"heic"), "image/heic"),
    "avif": (isom(b"avif"), "image/avif"),
    "icon": (
        b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0\x68\x04\0\0\x16\0\0\0\x28\0\0\0" + bytes(60),
        "image/vnd.microsoft.icon",
    ),
    "psd": (b"8BPS\0\x01" + bytes(6) + b"\0\x03\0\0\0\x10\0\0\0\x10\0\x08\0\x03", "image/vnd.adobe.photoshop"),
    "jp2": (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 " + bytes(20), "image/jp2"),
    # sound and video
    "mp3": (mp3(), "audio/mpeg"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0" + bytes(30), "audio/x-wav"),
    "ogg": (b"OggS\0\x02" + bytes(20) + b"\x01\x1e\x01vorbis" + bytes(30), "audio/ogg"),
    "flac": (b"fLaC\0\0\0\x22\x10\0\x10\0" + bytes(40), "audio/flac"),
    "midi": (b"MThd\0\0\0\x06\0\x01\0\x02\0\x60" + bytes(20), "audio/midi"),
    "mp4": (isom(b"isom"), "video/mp4"),
    "mov": (isom(b"qt  "), "video/quicktime"),
    "m4a": (isom(b"M4A "), "audio/x-m4a"),
    "3gp": (isom(b"3gp5"), "video/3gpp"),
    "mkv": (
        b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x88matroska"
        + bytes(20),
        "video/x-matroska",
    ),
    "avi": (b"RIFF\x24\0\0\0AVI LIST\0\0\0\0hdrlavih" + bytes(40), "video/x-msvideo"),
    "flv": (b"FLV\x01\x05\0\0\0\x09" + bytes(20), "video/x-flv"),
    "mpeg": (b"\0\0\x01\xba\x44\0\x04\0\x04\x01" + bytes(20), "video/mpeg"),
    "asf": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c" + bytes(30), "video/x-ms-asf"),
    # captures, disks, databases, keys
    "pcap": (b"\xd4\xc3\xb2\xa1\x02\0\x04\0" + bytes(8) + b"\0\0\x04\0\x01\0\0\0", "application/vnd.tcpdump.pcap"),
    "pcap, big end": (
        b"\xa1\xb2\xc3\xd4\0\x02\0\x04" + bytes(8) + b"\0\x04\0\0\0\0\0\x01",
        "application/vnd.tcpdump.pcap",
    ),
    "luks": (b"LUKS\xba\xbe\0\x01aes\0" + bytes(200), "application/x-raw-disk-image"),
    "sqlite": (sqlite(), "application/vnd.sqlite3"),
    "access": (b"\0\x01\0\0Standard Jet DB\0\x01\0\0\0" + bytes(60), "application/x-msaccess"),
    "ttf": (b"\0\x01\0\0\0\x0c\0\x80\0\x03\0\x40OS/2" + bytes(40), "font/sfnt"),
    "otf": (b"OTTO\0\x0c\0\x80\0\x03\0\x40CFF " + bytes(40), "application/vnd.ms-opentype"),
    "woff": (b"wOFF\0\x01\0\0" + bytes(40), "font/woff"),
    "woff2": (b"wOF2\0\x01\0\0" + bytes(40), "font/woff2"),
    "keystore": (b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x01" + bytes(20), "application/x-java-keystore"),
    "pyc": (b"\xcb\r\r\n\0\0\0\0" + bytes(8) + b"\xe3" + bytes(20), "application/x-bytecode.python"),
    "gettext": (b"\xde\x12\x04\x95\0\0\0\0\x01\0\0\0\x1c\0\0\0" + bytes(40), "application/x-gettext-translation"),
    "program behind a script": (b"#!/bin/sh\nexec tail -c +99 $0\n" + bytes(range(256)), "text/x-shellscript"),
    "torrent": (b"d8:announce20:http://a.example/ann4:infod6:lengthi1ee", "application/x-bittorrent"),
}


SYSTEM_AREA = 32768  # bytes before the first descriptor of an ISO image
BOOT = b"\xfa\x33\xc0\x8e\xd0" + bytes(505) + b"\x55\xaa"  # what a disk boots from


def iso(*descriptors: bytes, begins: bytes = b"") -> bytes:
    return begins.ljust(SYSTEM_AREA, b"\0") + b"".join(one.ljust(2048, b"\0") for one in descriptors)


PRIMARY, END = b"\x01CD001\x01\0LINUX", b"\xffCD001\x01"

OURS: dict[str, tuple[bytes, str]] = {
    "E01": (b"EVF\x09\r\n\xff\0\x01\x01\0\0\0header2" + bytes(60), "application/x-ewf"),
    "Ex01": (b"EVF2\r\n\x81\0\x02\x01\x01\0" + bytes(60), "application/x-ewf"),
    "L01": (b"LVF\x09\r\n\xff\0\x01\x01\0\0\0header2" + bytes(60), "application/x-ewf-logical"),
    "Lx01": (b"LEF2\r\n\x81\0\x02\x01\x01\0" + bytes(60), "application/x-ewf-logical"),
    "AFF": (b"AFF10\r\n\0" + bytes(60), "application/x-aff"),
    "AFF4": (zipped(("container.description", b"aff4://x"), ("version.txt", b"major=1")), "application/x-aff4"),
    "LiME": (b"EMiL\x01\0\0\0" + bytes(24), "application/x-lime"),
    "VMDK": (b"KDMV\x01\0\0\0\x03\0\0\0" + bytes(500), "application/x-vmdk"),
    "VMDK of ESX": (b"COWD\x01\0\0\0" + bytes(500), "application/x-vmdk"),
    "VMDK, its description": (b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\n", "application/x-vmdk"),
    "QCOW": (b"QFI\xfb\0\0\0\x01" + bytes(100), "application/x-qemu-disk"),
    "QCOW2": (b"QFI\xfb\0\0\0\x03" + bytes(100), "application/x-qemu-disk"),
    "VHD": (b"conectix\0\0\0\x02" + bytes(1000), "application/x-virtualbox-vhd"),
    "VHD of fixed size": (BOOT + bytes(50_000) + b"conectix" + bytes(504), "application/x-virtualbox-vhd"),
    "VHDX": (b"vhdxfile" + bytes(500), "application/x-virtualbox-vhdx"),
    "VDI": (b"<<< Oracle VM VirtualBox Disk Image >>>\n" + bytes(500), "application/x-virtualbox-vdi"),
    "ISO": (iso(PRIMARY, END), "application/x-iso9660-image"),
    "ISO that boots": (iso(PRIMARY, b"\0CD001\x01EL TORITO", END), "application/x-iso9660-image"),
    "ISO that boots from a stick": (iso(PRIMARY, END, begins=BOOT), "application/x-iso9660-image"),
    "ISO with UDF": (iso(PRIMARY, END, b"\0BEA01\x01", b"\0NSR02\x01"), "application/x-iso9660-image"),
    "UDF": (iso(b"\0BEA01\x01", b"\0NSR03\x01", b"\0TEA01\x01"), "application/x-iso9660-image"),
    "pcapng": (b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0" + bytes(12), "application/x-pcapng"),
    "event log": (b"ElfFile\0" + bytes(120), "application/x-ms-evtx"),
    "registry": (b"regf" + bytes(500), "application/x-ms-registry"),
    "dump of Windows": (b"PAGEDU64" + bytes(500), "application/x-dmp"),
    "dump of old Windows": (b"PAGEDUMP" + bytes(500), "application/x-dmp"),
    "dump of a process": (b"MDMP\x93\xa7" + bytes(100), "application/x-dmp"),
}
"""Kinds that libmagic names in no version, or not in each."""
