"""Capture files as other builds would write them: the header changed, its checksum right.

The header's layout is pm_header of mod_pmcapture/capture/capture_private.h; it stands twice.
"""
import ctypes
import struct

COPIES = (0, 4096)
BYTE_ORDER, VERSION, ABI, CHECK = 8, 12, 16, 120


def _xxh3(data):
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = ctypes.c_char_p, ctypes.c_size_t
    return library.XXH3_64bits(data, len(data))


def _with(content, offset, form, value):
    changed = bytearray(content)
    for copy in COPIES:
        struct.pack_into(form, changed, copy + offset, value)
        struct.pack_into("<Q", changed, copy + CHECK, _xxh3(bytes(changed[copy:copy + CHECK])))
    return bytes(changed)


def unchanged(content):
    """Sealed again with nothing changed: must give the same bytes."""
    return _with(content, VERSION, "<I", struct.unpack_from("<I", content, VERSION)[0])


def of_newer_version(content):
    return _with(content, VERSION, "<I", struct.unpack_from("<I", content, VERSION)[0] + 1)


def of_other_architecture(content):
    return _with(content, ABI, "<Q", 0x1234)


def of_other_byte_order(content):
    return _with(content, BYTE_ORDER, ">I", 0x01020304)
