"""Which reader a file needs, decided by its first bytes, and one sentence when it fails."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import UserError
from .fitting import Chosen, choose_part
from .native import load_native, read_safetensors
from .nvidia import is_nvidia, load_nvidia
from .pickles import read_pickle
from .r3gan import is_r3gan, load_r3gan
from .rosinality import is_rosinality, load_rosinality
from .tensors import TensorReader
from .torch_files import is_torch_file, read_torch_file

__all__ = ["READABLE", "open_plain", "read_checkpoint", "read_weights"]

READABLE = (".pkl", ".pt", ".pth", ".safetensors", ".ckpt", ".tar", ".bin")


def read_checkpoint(path: str | Path, weights: str = "G_ema") -> nn.Module:
    """Read a generator from NVIDIA's or R3GAN's ``.pkl``, rosinality's ``.pt`` or our ``.safetensors``.

    Args:
        path: the file.
        weights: ``"G_ema"`` or ``"G"``; a safetensors file holds one set only.

    Raises:
        UserError: the file is of none of these kinds, is damaged, asks for code to be run or for
            more memory than it can fill.
    """
    path = Path(path)
    with _one_sentence(path):
        if path.suffix == ".safetensors" or _is_safetensors(path):
            return load_native(path)
        content = open_plain(path)
        reader = TensorReader(path.name, path.stat().st_size)
        if is_r3gan(content):
            return load_r3gan(content, weights, reader)
        if is_nvidia(content):
            return load_nvidia(content, weights, reader)
        if is_rosinality(content):
            return load_rosinality(content, weights, reader)
    raise UserError(
        f"{path.name}: readable, but it holds no generator of a known kind (NVIDIA's or R3GAN's "
        "G_ema, or rosinality's g_ema); for a network of your own use package.module:Class@FILE."
    )


def read_weights(
    path: str | Path, module: nn.Module, *, key: str = "", weights: str = "G_ema", name: str
) -> Chosen:
    """The state dict of a user's module in a file of any kind and ending; see :mod:`.fitting`.

    Args:
        path: what ``torch.save`` wrote, in either form, a pickle, or safetensors.
        module: the network to be filled.
        key: the part of the file to take; "" = the one that fits.
        weights: ``"G_ema"`` or ``"G"``: moving averages, or the weights being trained.
        name: of the network, for messages.

    Raises:
        UserError: as :func:`read_checkpoint`, or no part of the file fits.
    """
    path = Path(path)
    with _one_sentence(path):
        reader = TensorReader(path.name, path.stat().st_size)
        safe = path.suffix == ".safetensors" or _is_safetensors(path)
        content = read_safetensors(path)[1] if safe else open_plain(path, training=True)
        return choose_part(content, module, key, weights, reader, name)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while reading ``path`` into a sentence for the user."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path.name}: cannot be opened ({error.strerror}).") from error
    except Exception as error:
        # The file decides what goes wrong inside the readers; its author gets no say in the text.
        raise UserError(
            f"{path.name}: damaged or not a generator checkpoint ({type(error).__name__}); "
            "fetch or export it again."
        ) from error


def open_plain(path: str | Path, training: bool = False) -> Any:
    """Content of a ``.pkl`` or ``.pt`` file as plain data; see :func:`.pickles.read_pickle`."""
    path = Path(path)
    if path.stat().st_size == 0:
        raise UserError(f"{path.name}: the file is empty; fetch or export it again.")
    with open(path, "rb") as file:
        # Tensors keep views of the map, so the map lives as long as the last of them.
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if is_torch_file(data):
        return read_torch_file(data, source=path.name, training=training)
    if data[0] in b"\x80(c]}":  # how pickles begin; those of the text protocols end in a refusal
        return read_pickle(data, source=path.name, training=training)[0]
    head = bytes(data[:64]).lstrip().lower()
    hint = "a web page" if head.startswith((b"<!doctype", b"<html")) else "something else"
    if head.startswith(b"version https://git-lfs"):
        hint = "a Git LFS pointer, not the file itself"
    kinds = "NVIDIA's or R3GAN's .pkl, rosinality's .pt or our .safetensors"
    wanted = "what torch.save or safetensors writes" if training else kinds
    raise UserError(f"{path.name}: expected {wanted}, but this is {hint}.")


def _is_safetensors(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27
