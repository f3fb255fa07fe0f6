"""Image completions drawn from the posterior of a pre-trained generator, under PyTorch Lightning."""

from .completions import Completions, Source
from .errors import UserError
from .module import LatentInpainter
from .state import SamplerState

__all__ = ["Completions", "LatentInpainter", "SamplerState", "Source", "UserError"]
__version__ = "0.1.0"
