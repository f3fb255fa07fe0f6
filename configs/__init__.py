"""Presets, installed with the package and found by name: ``--config fast``."""

from pathlib import Path

__all__ = ["preset_names", "preset_path"]

_FOLDER = Path(__file__).parent


def preset_names() -> list[str]:
    """Names of the presets, in their order: ``default``, ``fast``, ..."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def preset_path(name: str) -> Path | None:
    """The file of a preset; None where there is none of this name."""
    return _FOLDER / f"{name}.yaml" if name in preset_names() else None
