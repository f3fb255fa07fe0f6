"""Typed access to what a file claims: the wrong type in the right place is one clear sentence."""

from __future__ import annotations

import math
from typing import Any

from ...errors import UserError
from .records import Persistent

__all__ = ["child", "integer", "number"]


def integer(state: dict[str, Any], name: str, *, source: str, default: int | None = None) -> int:
    """A whole number from 0 to 2^31."""
    value = state.get(name, default)
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise _wrong(source, name, value, "a whole number")
    return value


def number(state: dict[str, Any], name: str, *, source: str, default: float | None) -> float | None:
    """A finite number, or None where the field is None or absent and ``default`` is None."""
    value = state.get(name, default)
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _wrong(source, name, value, "a finite number")
    return float(value)


def child(
    module: Persistent, name: str, *, source: str, optional: bool = False
) -> Persistent | None:
    """A submodule of a recorded ``torch.nn.Module``."""
    children = module.state.get("_modules")
    value = children.get(name) if isinstance(children, dict) else None
    if value is None and optional:
        return None
    if not isinstance(value, Persistent):
        raise _wrong(source, name, value, "a network module")
    return value


def _wrong(source: str, name: str, value: Any, wanted: str) -> UserError:
    return UserError(
        f"{source}: damaged or forged: {name!r} should be {wanted}, not {type(value).__name__}."
    )
