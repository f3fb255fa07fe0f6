"""Presets, installed with the package and found by name: ``--config fast``."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError

__all__ = ["find_config", "preset_names", "preset_path"]

_FOLDER = Path(__file__).parent
_FIRST_NAMES = {"seed": "plugin"}


def preset_names() -> list[str]:
    """Names of the presets, in their order: ``default``, ``fast``, ..."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def preset_path(name: str) -> Path | None:
    """The file of a preset; None where there is none of this name."""
    name = _FIRST_NAMES.get(name, name)
    return _FOLDER / f"{name}.yaml" if name in preset_names() else None


def find_config(
    config: str | Path, option: str = "config", known: Sequence[str] | None = None
) -> Path:
    """The YAML file that is meant: one that is there, or else the preset of this name.

    Args:
        config: path of a file, or name of a preset.
        option: what the sentence calls it.
        known: presets that the sentence names; None = all.

    Raises:
        UserError: there is neither.
    """
    path = Path(config).expanduser()
    if path.exists():
        return path
    preset = preset_path(str(config))
    if preset is not None:
        return preset
    names = preset_names() if known is None else known
    near = difflib.get_close_matches(str(config), names, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(
        f"{option} {str(config)!r} is neither a file nor a preset{hint}; the presets are {', '.join(names)}."
    )
