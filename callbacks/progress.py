"""A progress bar of pictures, and inside it one of the work on a batch; lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from ..inference.background import Background
from ..inference.state import SamplerState

__all__ = ["PictureProgressBar"]


class PictureProgressBar(TQDMProgressBar):
    """Shows pictures done and, below, the work on the running batch with its energy.

    The work is counted in gradient evaluations of a chain: a step may take one or many. Where the output is no
    terminal, a line every few seconds says as much.

    The energy is the median over the batch's chains, on a GPU as of an earlier report: it is
    fetched in the background, so that no step waits for the device. With several devices the bars
    are those of the first one.

    Args:
        refresh_rate: Redraw after so many batches; 0 shows nothing.
        leave: Whether the bar of pictures stays on the screen in the end.
        seconds: Time from one line to the next where the output is no terminal.
    """

    def __init__(self, refresh_rate: int = 1, leave: bool = True, seconds: float = 10.0) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=leave)
        self._steps_bar: Tqdm | None = None
        self._energy = Background()
        self._seconds, self._said = seconds, 0.0
        self._lines = False

    def init_predict_tqdm(self) -> Tqdm:
        """The bar of pictures."""
        return self._bar("pictures", " pictures", position=0, leave=self._leave)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lines = not _lively()
        self._started = self._said = time.monotonic()
        super().on_predict_start(trainer, pl_module)
        self._done, self._total = 0, _pictures(trainer)
        self.predict_progress_bar.total = self._total
        self._steps_bar = self._bar("batch", " evaluations", position=1, leave=False)
        self._energy = Background()

    def on_predict_batch_start(self, *_: Any, **__: Any) -> None:
        """The bar counts pictures, so its total stays."""

    def on_sampler_step(
        self, trainer: Trainer, pl_module: LightningModule, state: SamplerState
    ) -> None:
        """Move the inner bar."""
        bar = self._steps_bar
        if self.is_disabled or bar is None:
            return
        done, planned = state.work or (state.step, state.steps)
        known = self._energy.exchange(state.energy.detach().nanmedian())
        energy = "" if known is None else f"energy {float(known):.4g}"
        if self._lines:
            self._say(done / planned * len(state.batch["id"]), energy)
            return
        if done < bar.n or bar.total != planned:
            bar.reset(total=planned)
        if energy:
            bar.set_postfix_str(energy, refresh=False)
        bar.update(done - bar.n)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if outputs is not None:
            self._done += len(outputs)
            self.predict_progress_bar.update(len(outputs))
        if self._should_update(batch_idx + 1, self.predict_progress_bar.total):
            self.predict_progress_bar.refresh()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._steps_bar is not None:
            self._steps_bar.close()
        super().on_predict_end(trainer, pl_module)

    def _say(self, under_way: float, energy: str) -> None:
        """A line, if the last one is old enough."""
        now = time.monotonic()
        if now - self._said < self._seconds:
            return
        self._said, passed = now, now - self._started
        done, total = self._done + under_way, self._total
        words = [f"{self._done} of {total} pictures" if total else f"{self._done} pictures"]
        if total:
            words.append(f"{100 * done / total:.0f} %")
        words += [energy] if energy else []
        words.append(f"{passed:.0f} s")
        if total and done > 0:
            words.append(f"about {passed * (total - done) / done:.0f} s to go")
        print(", ".join(words), flush=True)

    def _bar(self, description: str, unit: str, position: int, leave: bool) -> Tqdm:
        return Tqdm(
            desc=description,
            position=2 * self.process_position + position,
            disable=self.is_disabled or self._lines,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0,
            unit=unit,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
        )


def _lively() -> bool:
    """Whether the output can be drawn over: a terminal or a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stdout.isatty() or shell is not None


def _pictures(trainer: Trainer) -> int | None:
    """Pictures that this process is to complete, if its loaders can tell."""
    loaders = trainer.predict_dataloaders
    loaders = loaders if isinstance(loaders, list | tuple) else [loaders]
    try:
        return sum(len(loader.sampler) for loader in loaders)
    except (AttributeError, TypeError):
        return None
