"""The one place that knows what kinds of loggers there are."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from PIL import Image
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger

__all__ = ["log_image", "log_metrics"]

_log = logging.getLogger(__name__)


def log_metrics(trainer: Trainer, metrics: Mapping[str, float], step: int) -> None:
    """Send figures to every logger (``self.log`` raises in predict hooks)."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), step=step)


def log_image(logger: Logger, key: str, image: Image.Image, step: int) -> bool:
    """Send a picture to a logger; False if it is of a kind that takes none.

    TensorBoard is known by its ``add_image``, Weights & Biases and others by ``log_image``.
    """
    if hasattr(logger, "log_image"):
        logger.log_image(key=key, images=[image], step=step)
    elif hasattr(getattr(logger, "experiment", None), "add_image"):
        pixels = np.asarray(image.convert("RGB"))
        logger.experiment.add_image(key, pixels, global_step=step, dataformats="HWC")
    else:
        _log.debug("%s takes no images: %s is not logged there", type(logger).__name__, key)
        return False
    return True
