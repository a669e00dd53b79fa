"""A struct out of a MATLAB v5 file; `scipy.io.loadmat` crashes on damaged ones.

CPSC2018's originals are such files. On some damaged ones `loadmat` ends the process
with a segmentation fault, and with it a packing of thousands of records. This module
reads no more of the format than the one struct, checks every length before it believes
it, and fails with an exception. A test compares the two on real and generated files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_MAX_BYTES = 500_000_000  # of a variable, decompressed: an hour of twelve leads is less

_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8",
    12: "i8", 13: "u8",
}  # fmt: skip
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CHAR, _NUMERIC = 2, 4, range(6, 16)
_COMPLEX = 0x08


def read_struct(path: Path, name: str) -> dict[str, Any]:
    """Read one 1 x 1 struct of real arrays and texts.

    Args:
        path: a MATLAB v5 file, little-endian, compressed or not.
        name: of the variable.

    Returns:
        Field -> array or text (None for other kinds).

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not such a file, is damaged, or has no such variable.
    """
    content, value = path.read_bytes(), None
    if len(content) < 128 or content[124:128] != b"\x00\x01IM":
        raise ValueError("its first 128 bytes are not a MATLAB v5 header")
    for kind, body in _elements(content[128:], padded=False):
        if kind == _COMPRESSED:
            [(kind, body)] = _elements(_decompress(body), padded=False)
        if kind != _MATRIX:
            raise ValueError(f"element type {kind} where a variable should be")
        found, content = _variable(body)
        if found == name:
            if not isinstance(content, dict):
                raise ValueError(f"{name} is no 1 x 1 struct")
            value = content
    if value is None:
        raise ValueError(f"it has no variable {name}")
    return value


def _decompress(body: bytes) -> bytes:
    """Inflate one variable, within bounds, and have its checksum verified."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(body, _MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"a compressed variable is damaged ({error})") from error
    if not inflater.eof:
        raise ValueError("a compressed variable is cut short or too large")
    return content


def _elements(content: bytes, padded: bool = True) -> Iterator[tuple[int, bytes]]:
    """Walk the elements that lie one after another.

    Args:
        content: all of them.
        padded: they begin at multiples of 8 bytes, as inside a variable.
    """
    at = 0
    while at < len(content):
        if len(content) - at < 8:
            raise ValueError("it ends within an element's tag")
        kind, size = struct.unpack_from("<II", content, at)
        if kind >> 16:  # small element: size in the upper half, content in the tag
            kind, size, begin, step = kind & 0xFFFF, kind >> 16, at + 4, 8
            if size > 4:
                raise ValueError("a small element is larger than its tag")
        else:
            begin, step = at + 8, 8 + size
            if padded:
                step += -size % 8
        if begin + size > len(content):
            raise ValueError("it ends within an element")
        yield kind, content[begin : begin + size]
        at += step


def _variable(body: bytes) -> tuple[str, Any]:
    """Read a variable's name and value."""
    parts = list(_elements(body))
    kinds = [kind for kind, _ in parts[:3]]
    if kinds != [6, 5, 1] or len(parts[0][1]) != 8 or len(parts[1][1]) % 4:
        raise ValueError("a variable lacks its flags, shape or name")
    flags = struct.unpack_from("<I", parts[0][1])[0]
    kind, complex_ = flags & 0xFF, (flags >> 8) & _COMPLEX
    shape = np.frombuffer(parts[1][1], "<i4").tolist()
    name = parts[2][1].decode("latin-1")
    if min(shape, default=-1) < 0:
        raise ValueError(f"variable {name!r} has the shape {shape}")
    rest = parts[3:]
    if kind == _STRUCT:
        return name, _fields(rest) if shape == [1, 1] else None
    if kind == _CHAR and len(rest) == 1 and rest[0][0] in _TEXT:
        return name, rest[0][1].decode(_TEXT[rest[0][0]])
    if kind in _NUMERIC and not complex_ and len(rest) == 1:
        return name, _array(rest[0], shape)
    return name, None


def _fields(parts: list[tuple[int, bytes]]) -> dict[str, Any]:
    """Read a struct's fields: the width of their names, the names, the values."""
    if [kind for kind, _ in parts[:2]] != [5, 1] or len(parts[0][1]) != 4:
        raise ValueError("a struct lacks its field names")
    width = struct.unpack("<i", parts[0][1])[0]
    if width <= 0 or len(parts[1][1]) % width:
        raise ValueError("a struct's field names have no whole width")
    count = len(parts[1][1]) // width
    if len(parts) != 2 + count or any(kind != _MATRIX for kind, _ in parts[2:]):
        raise ValueError(f"a struct has {len(parts) - 2} values for {count} fields")
    names = [
        parts[1][1][i * width :][:width].split(b"\0")[0].decode("ascii")
        for i in range(count)
    ]
    return {
        name: _variable(body)[1]
        for name, (_, body) in zip(names, parts[2:], strict=True)
    }


def _array(part: tuple[int, bytes], shape: list[int]) -> np.ndarray:
    """Read a real array, stored by column in the smallest type that holds it."""
    kind, content = part
    if kind not in _NUMBERS:
        raise ValueError(f"element type {kind} where numbers should be")
    dtype = np.dtype("<" + _NUMBERS[kind])
    count = 1
    for extent in shape:
        count *= extent
    if count * dtype.itemsize != len(content):
        raise ValueError(f"an array of shape {shape} has {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F").astype(np.float64)
