"""Energies along the walk, sent to every logger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ..errors import ArgumentError, UserError
from ..inference.state import SamplerState
from .explaining import explained
from .finish import writer_of
from .loggers import log_metrics
from .processes import gather

__all__ = ["EnergyLogger"]

_FIGURES = ("mean", "median", "min", "max")


class EnergyLogger(Callback):
    """Logs the energies of the running chains, batch by batch.

    At each report of the sampler (every ``report_every`` steps) it keeps four figures over the chains of
    the batch, and logs them when the batch ends, so that no step waits for the device:

    ==================================== =======================================================
    ``langevin/energy_mean, _median,``   of the chains with a finite energy
    ``langevin/energy_min, _max``
    ``langevin/step``                    Langevin step, from 1 to the number of steps
    ``langevin/batch``                   number of the batch
    ==================================== =======================================================

    The loggers' own step axis is ``batch * steps + step``: the batches one after another. Loggers
    live on rank zero. The figures of rank one go to a file, and in the end from there to the
    loggers as ``langevin/rank1/energy_mean`` and so on, along the same axis.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[int, int, int, Tensor]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "predict":
            return
        if not trainer.loggers and trainer.is_global_zero:
            raise ArgumentError("EnergyLogger has no logger to log to: pass `trainer.logger`.")
        self._pending = []
        if trainer.is_global_zero:  # what a killed run has left, of however many processes
            stale = _rank_file(trainer, 0)
            for path in stale.parent.glob(stale.name.replace("0", "*")):
                path.unlink(missing_ok=True)

    def on_sampler_step(
        self, trainer: Trainer, pl_module: LightningModule, state: SamplerState
    ) -> None:
        """Keep the figures on the device; nothing is transferred here."""
        self._pending.append((state.step, state.steps, state.batch_idx, _figures(state.energy)))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Transfer and log what the batch has left."""
        if not self._pending:
            return
        values = torch.stack([figures for *_, figures in self._pending]).tolist()
        rows = [
            _Row(*place, figures)
            for (*place, _), figures in zip(self._pending, values, strict=True)
        ]
        self._pending = []
        if trainer.is_global_zero:
            for row in rows:
                _log(trainer, row)
        else:
            path = _rank_file(trainer, trainer.global_rank)
            with explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log what the other processes have left, and remove their files."""
        if stage != "predict":
            return
        _wait_for_all(trainer)
        if not trainer.is_global_zero:
            return
        for rank in range(1, trainer.world_size):
            path = _rank_file(trainer, rank)
            if path.exists():
                with path.open() as file:
                    for line in file:
                        _log(trainer, _Row(*json.loads(line)), f"langevin/rank{rank}")
                path.unlink()


class _Row(NamedTuple):
    step: int
    steps: int
    batch: int
    figures: list[float]


def _log(trainer: Trainer, row: _Row, prefix: str = "langevin") -> None:
    values = zip(_FIGURES, row.figures, strict=True)
    metrics = {f"{prefix}/energy_{name}": value for name, value in values}
    metrics |= {f"{prefix}/step": row.step, f"{prefix}/batch": row.batch}
    log_metrics(trainer, metrics, step=row.batch * row.steps + row.step)


def _wait_for_all(trainer: Trainer) -> None:
    """Until all processes have written their files; at once if the writer has waited already."""
    try:
        writer_of(trainer).result(trainer)
    except UserError:
        gather(None)


def _figures(energy: Tensor) -> Tensor:
    """(4,): mean, median, least and greatest of the finite energies, without a transfer."""
    energy = energy.detach().float()
    finite = torch.where(energy.isfinite(), energy, torch.nan)
    least = finite.nan_to_num(nan=torch.inf).amin()
    greatest = finite.nan_to_num(nan=-torch.inf).amax()
    return torch.stack([finite.nanmean(), finite.nanmedian(), least, greatest])


def _rank_file(trainer: Trainer, rank: int) -> Path:
    """Where a process other than rank zero leaves its figures."""
    try:
        root = writer_of(trainer).folder.root
    except UserError:
        root = Path(trainer.default_root_dir)
    return root / f".langevin-rank{rank}.jsonl"
