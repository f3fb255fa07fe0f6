"""Small pickles that ask for gigabytes: refused in one sentence before memory is filled."""

import struct
import tracemalloc

import pytest

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators.checkpoints.pickles import read_pickle

REPEATS = 25_000
TEXT = b"X" + struct.pack("<I", 90_000) + b"x" * 90_000
ITEMS = {
    "torch\nSize": b"](" + b"K\x01" * 90_000 + b"e",
    "collections\nOrderedDict": b"](" + b"K\x01K\x02\x86" * 40_000 + b"e",
    "builtins\nset": b"](" + b"K\x01" * 90_000 + b"e",
    "_codecs\nencode": TEXT,
}


def growing(name: str, repeats: int) -> bytes:
    """A pickle that gives the same long argument to a constructor ``repeats`` times."""
    more = b"X\x06\x00\x00\x00latin1\x86" if "encode" in name else b"\x85"
    call = b"h\x01h\x00" + more + b"R"
    start = b"\x80\x02c" + name.encode() + b"\nq\x01" + ITEMS[name] + b"q\x00"
    return start + b"(" + call * repeats + b"l."


@pytest.mark.parametrize("name", ITEMS)
def test_what_is_built_is_bounded(name):
    data = memoryview(growing(name, REPEATS))
    assert len(data) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="copies its contents over and over"):
            read_pickle(data, source="small.pkl")
        assert tracemalloc.get_traced_memory()[1] < 1 << 29
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ITEMS)
def test_a_long_argument_used_once_is_read(name):
    value, _ = read_pickle(memoryview(growing(name, 1)), source="small.pkl")
    assert len(value) == 1
