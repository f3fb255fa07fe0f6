"""Lightning callbacks: what is shown, logged and written."""

from callbacks.animation import WalkAnimation
from callbacks.completion_logger import CompletionLogger
from callbacks.energy_logger import EnergyLogger
from callbacks.figure import CompletionFigure
from callbacks.finish import Finisher, RunResult
from callbacks.gallery import Gallery
from callbacks.progress import PictureProgressBar
from callbacks.resume import finished_ids
from callbacks.summary import Summary
from callbacks.tables import EnergyTable
from callbacks.uncertainty import UncertaintyMaps
from callbacks.writer import CompletionWriter

__all__ = [
    "CompletionFigure",
    "CompletionLogger",
    "CompletionWriter",
    "EnergyLogger",
    "EnergyTable",
    "Finisher",
    "Gallery",
    "PictureProgressBar",
    "RunResult",
    "Summary",
    "UncertaintyMaps",
    "WalkAnimation",
    "finished_ids",
]
