"""A progress bar of pictures, and inside it one of Langevin steps."""

from __future__ import annotations

import sys
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from ..inference.background import Background
from ..inference.state import SamplerState

__all__ = ["PictureProgressBar"]


class PictureProgressBar(TQDMProgressBar):
    """Shows pictures done and, below, the Langevin steps of the running batch with its energy.

    The energy is the median over the batch's chains, on a GPU as of an earlier report: it is
    fetched in the background, so that no step waits for the device. With several devices the bars
    are those of the first one.

    Args:
        refresh_rate: Redraw after so many batches; 0 shows nothing.
        leave: Whether the bar of pictures stays on the screen in the end.
    """

    def __init__(self, refresh_rate: int = 1, leave: bool = True) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=leave)
        self._steps_bar: Tqdm | None = None
        self._energy = Background()

    def init_predict_tqdm(self) -> Tqdm:
        """The bar of pictures."""
        return self._bar("pictures", " pictures", position=0, leave=self._leave)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_predict_start(trainer, pl_module)
        self.predict_progress_bar.total = _pictures(trainer)
        self._steps_bar = self._bar("steps", " steps", position=1, leave=False)
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
        if state.step < bar.n or bar.total != state.steps:
            bar.reset(total=state.steps)
        known = self._energy.exchange(state.energy.detach().nanmedian())
        if known is not None:
            bar.set_postfix_str(f"energy {float(known):.4g}", refresh=False)
        bar.update(state.step - bar.n)

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
            self.predict_progress_bar.update(len(outputs))
        if self._should_update(batch_idx + 1, self.predict_progress_bar.total):
            self.predict_progress_bar.refresh()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._steps_bar is not None:
            self._steps_bar.close()
        super().on_predict_end(trainer, pl_module)

    def _bar(self, description: str, unit: str, position: int, leave: bool) -> Tqdm:
        return Tqdm(
            desc=description,
            position=2 * self.process_position + position,
            disable=self.is_disabled,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0,
            unit=unit,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
        )


def _pictures(trainer: Trainer) -> int | None:
    """Pictures that this process is to complete, if its loaders can tell."""
    loaders = trainer.predict_dataloaders
    loaders = loaders if isinstance(loaders, list | tuple) else [loaders]
    try:
        return sum(len(loader.sampler) for loader in loaders)
    except (AttributeError, TypeError):
        return None
