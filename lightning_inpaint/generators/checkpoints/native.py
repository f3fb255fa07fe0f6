"""The project's own file form: safetensors with the constructor arguments in its metadata.

Metadata (texts): ``format`` = "lightning-inpaint", ``network`` = "stylegan2" (the default) or "r3gan",
``config`` = JSON of the constructor arguments, ``class_names`` = JSON list or null, ``sha256`` of all tensor
bytes in order of their names.
Weights may be float16 on disk; they are float32 in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ...errors import UserError
from ...files import whole_file
from ..r3gan import R3GANGenerator
from ..stylegan2 import StyleGAN2Generator
from .build import build_stylegan2
from .r3gan import build_r3gan

__all__ = ["load_native", "read_header", "save_generator", "write_tensors"]

FORMAT = "lightning-inpaint"
_DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


def save_generator(
    generator: nn.Module, path: str | Path, dtype: str | torch.dtype = torch.float32
) -> Path:
    """Write a native generator as one safetensors file, complete or not at all.

    Args:
        generator: a :class:`StyleGAN2Generator` or :class:`R3GANGenerator`.
        path: where to; its folder is made. The file appears under this name only when it is whole.
        dtype: type on disk: float16 halves the file (relative error 5e-4), float32 is exact.

    Returns:
        The path written.

    Raises:
        UserError: the generator is not a native one, the type is unknown, or float16 overflows.
    """
    path = Path(path)
    if not isinstance(generator, StyleGAN2Generator | R3GANGenerator):
        raise UserError(
            f"{path.name}: only native StyleGAN2 and R3GAN generators can be saved in this form, "
            f"not {type(generator).__name__}; a network of your own stays package.module:Class@FILE."
        )
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise UserError(f"{path.name}: dtype must be one of {', '.join(_DTYPES)}, not {name[:40]}.")
    tensors = {
        k: v.detach().to("cpu", _DTYPES[name]).contiguous().clone()
        for k, v in generator.state_dict().items()
    }
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path.name}: tensor {key!r} is not finite in {name}; use float32.")
    metadata = {
        "format": FORMAT,
        "network": "r3gan" if isinstance(generator, R3GANGenerator) else "stylegan2",
        "config": json.dumps(generator.config),
        "class_names": json.dumps(generator.class_names),
        "sha256": _fingerprint(tensors),
    }
    write_tensors(tensors, metadata, path)
    return path


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> None:
    """Write a safetensors file, complete or not at all; its folder is made."""
    with whole_file(path) as temporary:
        # save_file would make it readable by its owner alone.
        temporary.write_bytes(save(tensors, metadata))


def load_native(path: str | Path) -> StyleGAN2Generator | R3GANGenerator:
    """Read a file that :func:`save_generator` wrote.

    Raises:
        UserError: the file is not such a file, is damaged, or describes another network.
    """
    path = Path(path)
    metadata, tensors = read_safetensors(path)
    config = _parse_config(metadata, path.name)
    recorded = metadata.get("sha256")
    if recorded is not None and recorded != _fingerprint(tensors):
        raise UserError(
            f"{path.name}: its checksum does not match; fetch or export the file again."
        )
    wide = {k: _widen(v) for k, v in tensors.items()}
    if metadata.get("network") == "r3gan":
        return build_r3gan(config, wide, source=path.name)
    return build_stylegan2(config, wide, source=path.name)


def read_header(path: str | Path) -> dict[str, Any]:
    """The constructor arguments stored in such a file, without its tensors."""
    path = Path(path)
    return _parse_config(read_safetensors(path, tensors=False)[0], path.name)


def read_safetensors(
    path: Path, *, tensors: bool = True
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and (unless told otherwise) tensors of any safetensors file.

    Raises:
        UserError: the file is truncated, damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys()) if tensors else []
            return metadata, {k: file.get_tensor(k) for k in names}
    except SafetensorError as error:
        raise UserError(
            f"{path.name}: not a readable safetensors file (truncated or damaged); "
            "fetch or export it again."
        ) from error


def _parse_config(metadata: Mapping[str, str], source: str) -> dict[str, Any]:
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{source}: a safetensors file without this project's metadata; make one with the "
            "convert command, or use package.module:Class@FILE for a network of your own."
        )
    try:
        config = json.loads(metadata.get("config", "null"))
        names = json.loads(metadata.get("class_names", "null"))
    except (ValueError, RecursionError):
        config, names = None, None
    if not isinstance(config, dict):
        raise UserError(f"{source}: its metadata holds no readable generator settings.")
    if names is not None:
        config["class_names"] = names
    return config


def _widen(tensor: Tensor) -> Tensor:
    half = tensor.dtype in (torch.float16, torch.bfloat16)
    return tensor.float() if half else tensor


def _fingerprint(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        flat = tensors[name].contiguous().reshape(-1)
        digest.update(name.encode())
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()
