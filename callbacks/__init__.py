"""Lightning callbacks: what is shown, logged and written."""

from .animation import WalkAnimation
from .completion_logger import CompletionLogger
from .energy_logger import EnergyLogger
from .figure import CompletionFigure
from .finish import Finisher
from .gallery import Gallery
from .progress import PictureProgressBar
from .result import RunResult
from .resume import finished_ids
from .speed import SpeedLine
from .summary import Summary
from .tables import EnergyTable
from .uncertainty import UncertaintyMaps
from .variation import PosteriorVariation
from .writer import CompletionWriter

__all__ = [
    "CompletionFigure",
    "CompletionLogger",
    "CompletionWriter",
    "EnergyLogger",
    "EnergyTable",
    "Finisher",
    "Gallery",
    "PictureProgressBar",
    "PosteriorVariation",
    "RunResult",
    "SpeedLine",
    "Summary",
    "UncertaintyMaps",
    "WalkAnimation",
    "finished_ids",
]
