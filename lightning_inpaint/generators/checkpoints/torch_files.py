"""``torch.save`` files, both forms, as plain data whose tensors are read only when asked for.

New form: an uncompressed zip of ``data.pkl`` and one member per storage. Old form (before torch 1.6,
and the storages inside NVIDIA's snapshots): five pickles, then each storage as a count and raw bytes.
"""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import torch

from ...errors import UserError
from .pickles import read_pickle
from .records import STORAGE_DTYPES, StorageRecord, Symbol

__all__ = ["is_torch_file", "read_torch_file"]

_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_HEAD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_MAX_NUMEL = 1 << 40
_MAX_DIRECTORY = 4 << 20  # bytes of zip directory: some 40,000 members


def is_torch_file(data: memoryview) -> bool:
    """Whether the bytes begin like a ``torch.save`` file of either form."""
    return data[:4] == b"PK\x03\x04" or data[: len(_OLD_HEAD)] == _OLD_HEAD


def read_torch_file(data: memoryview, *, source: str, training: bool = False) -> Any:
    """Read ``torch.save``'s content; tensors become :class:`.records.TensorRecord`.

    ``training``: see :func:`.pickles.read_pickle`.

    Raises:
        UserError: the file is truncated, compressed, or announces more than it holds.
    """
    return (_read_zip if data[:2] == b"PK" else _read_old)(data, source, training)


def _damaged(source: str, what: str) -> UserError:
    return UserError(f"{source}: truncated or damaged ({what}); fetch or export it again.")


def _storage_fields(pid: Any, source: str) -> tuple[torch.dtype, str, int]:
    valid = type(pid) is tuple and len(pid) in (5, 6) and pid[0] == "storage"
    if not valid or any(p is not None for p in pid[5:]):
        raise _damaged(source, "a tensor's storage is not described as torch describes it")
    _, kind, key, _, numel = pid[:5]
    if not isinstance(kind, tuple) or kind not in STORAGE_DTYPES:
        raise _damaged(source, "a storage of unknown type")
    if type(key) is not str or type(numel) is not int or not 0 <= numel < _MAX_NUMEL:
        raise _damaged(source, "a storage of impossible size")
    return STORAGE_DTYPES[kind], key, numel


def _read_old(data: memoryview, source: str, training: bool) -> Any:
    head: list[Any] = []
    position = 0
    for _ in range(3):  # magic number, version of the form, facts about the writer's machine
        value, position = read_pickle(data, position, source=source)
        head.append(value)
    if head[:2] != [_OLD_MAGIC, 1001] or type(head[2]) is not dict:
        raise _damaged(source, "its header is not torch's")
    if head[2].get("little_endian") is not True:
        raise UserError(f"{source}: written on a big-endian machine; export it again on another.")
    records: dict[str, StorageRecord] = {}
    pieces: dict[str, memoryview] = {}

    def storage(pid: Any) -> StorageRecord | Symbol:
        if training and type(pid) is tuple and len(pid) == 4 and isinstance(pid[1], Symbol):
            return pid[1]  # a class, with its source code, which is left alone
        dtype, key, numel = _storage_fields(pid, source)
        if key not in records:
            records[key] = StorageRecord(dtype, numel, key, lambda: pieces[key])
        if (records[key].dtype, records[key].numel) != (dtype, numel):
            raise _damaged(source, "one storage is described in two ways")
        return records[key]

    value, position = read_pickle(data, position, source=source, storage=storage, training=training)
    keys, position = read_pickle(data, position, source=source)
    if type(keys) is not list or any(type(k) is not str for k in keys) or set(keys) != set(records):
        raise _damaged(source, "its storages are not the ones its tensors need")
    for key in keys:
        size = records[key].numel * records[key].dtype.itemsize
        if position + 8 + size > len(data):
            raise _damaged(source, "it ends before its last tensor")
        if struct.unpack_from("<q", data, position)[0] != records[key].numel:
            raise _damaged(source, "a storage has another size than announced")
        pieces[key] = data[position + 8 : position + 8 + size]
        position += 8 + size
    return value


def _read_zip(data: memoryview, source: str, training: bool) -> Any:
    _check_directory_size(data, source)
    try:
        archive = zipfile.ZipFile(_Bytes(data))
    except (zipfile.BadZipFile, struct.error, ValueError, OSError, NotImplementedError):
        raise _damaged(source, "its zip directory cannot be read") from None
    members = archive.infolist()
    if any(m.filename.endswith("/constants.pkl") for m in members):
        raise UserError(
            f"{source}: a TorchScript file, which is code; save the network's state_dict() instead."
        )
    if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 for m in members):
        raise UserError(f"{source}: its zip members are compressed, which torch.save never does.")
    if sum(m.file_size for m in members) > len(data):
        raise _damaged(source, "its zip members are larger than the file")
    names = {m.filename: m for m in members}
    root = next((n for n in names if n.count("/") == 1 and n.endswith("/data.pkl")), None)
    if root is None:
        raise UserError(
            f"{source}: a zip file, but none that torch.save wrote (it lacks data.pkl)."
        )
    folder = root.removesuffix("data.pkl")
    order = names.get(folder + "byteorder")
    if order is not None and _member(archive, order, source) != b"little":
        raise UserError(f"{source}: written on a big-endian machine; export it again on another.")

    records: dict[str, StorageRecord] = {}

    def storage(pid: Any) -> StorageRecord:
        dtype, key, numel = _storage_fields(pid, source)
        info = names.get(f"{folder}data/{key}")
        if info is None or info.file_size != numel * dtype.itemsize:
            raise _damaged(source, "a storage is missing or has another size than announced")
        # One record per storage: tensors that share it share what is read.
        record = records.setdefault(
            key, StorageRecord(dtype, numel, key, lambda: _member(archive, info, source))
        )
        if record.dtype != dtype:
            raise _damaged(source, "one storage is described in two ways")
        return record

    content = memoryview(_member(archive, names[root], source))
    return read_pickle(content, source=source, storage=storage, training=training)[0]


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str) -> bytes:
    try:
        return archive.read(info)  # compares the check sum
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError):
        raise _damaged(source, f"zip member {info.filename[:60]!r} is broken") from None


def _check_directory_size(data: memoryview, source: str) -> None:
    tail = bytes(data[max(0, len(data) - (1 << 16) - 22) :])
    end = tail.rfind(b"PK\x05\x06")
    size = struct.unpack_from("<I", tail, end + 12)[0] if 0 <= end <= len(tail) - 22 else 0
    wide = tail.rfind(b"PK\x06\x06")
    if size == 0xFFFFFFFF and 0 <= wide <= len(tail) - 56:
        size = struct.unpack_from("<Q", tail, wide + 40)[0]
    if size > _MAX_DIRECTORY:
        raise UserError(
            f"{source}: its zip directory has far more members than a checkpoint needs."
        )


class _Bytes(io.RawIOBase):
    """A memoryview as a file; ``io.BytesIO`` would copy it."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._position = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise ValueError("seek before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        piece = self._data[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)
