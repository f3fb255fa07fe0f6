"""Image completions drawn from the posterior of a pre-trained generator, under PyTorch Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .completing import complete
    from .completions import Completions
    from .errors import UserError
    from .images.source import Source
    from .inference.state import SamplerState
    from .module import LatentInpainter

__all__ = ["Completions", "LatentInpainter", "SamplerState", "Source", "UserError", "complete"]
__version__ = "0.1.0"

_HOMES = {
    "Completions": ".completions",
    "LatentInpainter": ".module",
    "SamplerState": ".inference.state",
    "Source": ".images.source",
    "UserError": ".errors",
    "complete": ".completing",
}


def __getattr__(name: str) -> Any:
    # Names are found when they are used: help and mistakes at the command line need no torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
