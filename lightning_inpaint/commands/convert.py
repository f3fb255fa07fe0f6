"""``convert``: a checkpoint of any kind as a small, safe file."""

from __future__ import annotations

from typing import Literal

from .functions import run


def main(args: list[str]) -> int:
    """Run the command."""
    return run(convert, args)


def convert(
    source: str,
    target: str,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    weights: Literal["G_ema", "G"] = "G_ema",
) -> None:
    """Write a checkpoint as a .safetensors file, from which no code can be run.

    Args:
        source: Name, address or path of a checkpoint.
        target: The new file, ending in .safetensors.
        dtype: Type of the stored numbers; float16 halves the file.
        weights: Which weights of the checkpoint to take, the moving average (G_ema) or the last (G).
    """
    from ..generators import convert as write

    path = write(source, target, dtype, weights=weights)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
