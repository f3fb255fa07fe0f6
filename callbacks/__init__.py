"""Lightning callbacks: what is shown, logged and written."""

from callbacks.completion_logger import CompletionLogger
from callbacks.energy_logger import EnergyLogger
from callbacks.figure import CompletionFigure
from callbacks.finish import Finisher, RunResult
from callbacks.progress import PictureProgressBar
from callbacks.resume import finished_ids
from callbacks.summary import Summary
from callbacks.tables import EnergyTable
from callbacks.writer import CompletionWriter

__all__ = [
    "CompletionFigure",
    "CompletionLogger",
    "CompletionWriter",
    "EnergyLogger",
    "EnergyTable",
    "Finisher",
    "PictureProgressBar",
    "RunResult",
    "Summary",
    "finished_ids",
]
