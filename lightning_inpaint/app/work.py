"""What the page asks for: one completion at a time, watched step by step, stopped when nobody waits for it."""

from __future__ import annotations

import ctypes
import gc
import queue
import shlex
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor

from ..callbacks.fingerprint import describe_run
from ..completing import complete
from ..completions import Completions
from ..errors import UserError
from ..images.levels import to_uint8
from ..inference.state import SamplerState

__all__ = ["Finished", "Progress", "Request", "command_line", "python_lines", "walk"]

PREVIEWS = 20  # during a walk
NAME = "picture"  # id of the picture, as that of picture.png on the command line


@dataclass(frozen=True)
class Request:
    """What the page's controls say, by the names of the command line.

    Attributes:
        picture: the original.
        mask: uint8 (H, W) of the picture's size, **255 = fill**.
        generator: its name.
        config: name of a preset.
        chains: completions.
        seed: of the random streams.
        truncation: in (0, 1]; None leaves it to the preset.
        label: name of the class; None = unknown.
        fit: how the picture meets the generator.
        like: latents (D,) of a completion near which the chains start; None = nowhere in particular.
    """

    picture: Image.Image
    mask: np.ndarray
    generator: str = "cifar10"
    config: str = "fast"
    chains: int = 4
    seed: int = 0
    truncation: float | None = None
    label: str | None = None
    fit: str = "around"
    like: Tensor | None = None


class Progress(NamedTuple):
    """A walk under way: evaluations, the median energy, and the best chain's picture if there is a new one."""

    done: int
    total: int
    energy: float
    preview: np.ndarray | None


@dataclass
class Finished:
    """A finished walk: what it gave, what determined it, and what was to be said about it."""

    result: Completions
    run: dict[str, Any]
    notes: list[str] = field(default_factory=list)


class _Stopped(Exception):
    """Nobody waits for the chains any more."""


class _Watch(pl.Callback):
    def __init__(self, events: queue.Queue[Any], stop: threading.Event) -> None:
        self.events, self.stop = events, stop
        self.run: dict[str, Any] = {}
        self._shown = -1

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        self.run = describe_run(trainer, pl_module)

    def on_sampler_step(self, trainer: Any, pl_module: Any, state: SamplerState) -> None:
        if self.stop.is_set():
            raise _Stopped
        done, total = state.work or (state.step, state.steps)
        part, preview = PREVIEWS * done // max(1, total), None
        energy = state.energy.detach()
        if part != self._shown:
            self._shown = part
            pictures = state.decode(state.latents)
            best = int(energy.nan_to_num(nan=torch.inf).argmin())
            preview = to_uint8(pictures[best]).permute(1, 2, 0).cpu().numpy()
        self.events.put(Progress(done, total, float(energy.nanmedian()), preview))


def _newest(events: queue.Queue[Any]) -> Any:
    """The next event; of reports that wait the last, with the last preview: a page is slower than a walk."""
    event = events.get()
    while isinstance(event, Progress) and not events.empty():
        newer = events.get()
        if isinstance(newer, Progress) and newer.preview is None:
            newer = newer._replace(preview=event.preview)
        event = newer
    return event


def walk(request: Request) -> Iterator[Progress | Finished]:
    """Complete a picture; the iterator may be closed at any time, which stops the chains at the next report.

    Raises:
        UserError: something about the request does not fit.
    """
    events: queue.Queue[Any] = queue.Queue()
    stop = threading.Event()
    watch = _Watch(events, stop)

    def work() -> None:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                result = _complete(request, watch)
            told = [
                str(each.message) for each in caught if str(each.message).startswith(f"{NAME}:")
            ]
            notes = [text.removeprefix(f"{NAME}: ") for text in told]
            events.put(Finished(result, watch.run, notes))
        except _Stopped:
            events.put(None)
        except BaseException as error:
            events.put(error)

    thread = threading.Thread(target=work, name="completion", daemon=True)
    thread.start()
    try:
        while True:
            event = _newest(events)
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Finished):
                return
    finally:
        stop.set()
        thread.join()
        _give_back()


def _give_back() -> None:
    """Memory of a walk that has ended, to the system."""
    gc.collect()  # trainer and module refer to each other, and hold the generator
    with suppress(OSError, AttributeError):  # glibc keeps what a thread has freed
        ctypes.CDLL(None).malloc_trim(0)


def _complete(request: Request, watch: _Watch) -> Completions:
    if not request.mask.any():
        raise UserError("nothing is painted: paint over what is to be filled, or choose a mask.")
    options: dict[str, Any] = {}
    if request.truncation is not None:
        options["truncation"] = request.truncation
    return complete(
        request.picture,
        request.mask,
        chains=request.chains,
        id=NAME,
        label=request.label,
        generator=request.generator,
        config=request.config,
        seed=request.seed,
        fit=request.fit,
        like=request.like,
        callbacks=[watch],
        report_every=1,
        **options,
    )


def command_line(request: Request) -> str:
    """The command that does the same with ``picture.png`` and ``mask.png``; there is none with ``like``."""
    if request.like is not None:
        return "# To start near a completion takes Python."
    words = ["lightning-inpaint", "predict", "--config", request.config]
    words += ["--data", "FolderMasks", "--data.images", "picture.png", "--data.masks", "mask.png"]
    words += ["--data.fit", request.fit, "--model.generator", request.generator]
    words += ["--model.chains", str(request.chains), "--model.seed", str(request.seed)]
    if request.truncation is not None:
        words += ["--model.truncation", f"{request.truncation:g}"]
    if request.label is not None:
        words += ["--data.label", request.label]
    return shlex.join(words)


def python_lines(request: Request) -> str:
    """The lines of Python that do the same."""
    options = {
        "n": request.chains,
        "generator": request.generator,
        "config": request.config,
        "seed": request.seed,
        "fit": request.fit,
    }
    if request.truncation is not None:
        options["truncation"] = request.truncation
    if request.label is not None:
        options["label"] = request.label
    words = [f"{name}={value!r}" for name, value in options.items()]
    loading = ""
    if request.like is not None:
        loading = "import numpy as np\n\n"
        words.append('like=np.load("like.npy")')
    given = ",\n    ".join(words)
    return (
        f"{loading}from lightning_inpaint import complete\n\n"
        f'result = complete(\n    "picture.png",\n    "mask.png",\n    {given},\n)\n'
        'result.save("completions")'
    )
