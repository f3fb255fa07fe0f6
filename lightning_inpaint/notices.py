"""Notices of Lightning and torch that are meant for developers: one list, kept from users."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import speak_of_flags

__all__ = ["quieten", "quietly"]

LOGGERS = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")
NOTICES = (
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    ".*Total length of .DataLoader. across ranks.*",
    ".*predict returned None.*",
    ".*IterableDataset. has `__len__` defined.*",
    ".*module.s. in eval mode at the start of training.*",
    # Training goes on exactly from any step; see datamodules/training_pictures.py.
    ".*ended before the epoch ended.*",
    "(?s).*ModelCheckpoint with manual optimization.*",
    ".*Checkpoint directory .* exists and is not empty.*",
)


def quieten() -> None:
    """Keep the notices away for as long as the process lives; warnings become one line each, of flags."""
    speak_of_flags()
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    _ignore(NOTICES)
    warnings.formatwarning = lambda message, *rest, **options: f"warning: {message}\n"


@contextmanager
def quietly(*more: str) -> Iterator[None]:
    """Keep the notices away inside a block, and warnings that match one of ``more``."""
    logs = [logging.getLogger(name) for name in LOGGERS]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            _ignore((*NOTICES, *more))
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _ignore(notices: tuple[str, ...]) -> None:
    for notice in notices:
        warnings.filterwarnings("ignore", notice)
