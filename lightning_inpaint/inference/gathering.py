"""From a batch and its finished walk to what the user gets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..completions import Completions
from ..images.compositing import composite
from ..images.levels import to_uint8
from .agreement import agreement
from .marginal import ROUNDING
from .observation import arrival, known_psnr, masked_squared_error
from .posterior import Posterior
from .walk import Walk

__all__ = ["gather_completions"]


def gather_completions(
    batch: dict[str, Any],
    posterior: Posterior,
    walked: Walk,
    status: list[str],
    chains: int,
    seed: int,
    class_names: tuple[str, ...] = (),
) -> Completions:
    """Collect the results on the CPU, each picture's chains ordered by energy.

    Args:
        batch: ``image``, ``mask`` (**1 = fill, 0 = known**), ``label``, ``id``, ``index``, ``source``, and for
            a conditional generator ``class_posterior`` (N, classes).
        posterior: that the chains walked in.
        walked: one row per chain, a picture's chains in neighbouring rows.
        status: of each chain.
        chains: chains per picture.
        seed: of the random streams.
        class_names: names of the generator's classes.
    """
    observation, noise_std = posterior.observation, posterior.noise_std
    shape = (len(batch["id"]), chains)
    energy = walked.energy.unflatten(0, shape)
    order = energy.nan_to_num(nan=float("inf")).argsort(dim=1, stable=True)
    rows = (order + torch.arange(shape[0], device=order.device)[:, None] * chains).flatten()

    def by_energy(values: Tensor) -> Tensor:
        return values[rows].unflatten(0, shape).cpu()

    raw = by_energy(to_uint8(walked.pictures))
    image = batch["image"]
    image = (to_uint8(image) if image.is_floating_point() else image).cpu()
    mask = batch["mask"].float().cpu()
    ordered = [status[row] for row in rows.tolist()]
    figures = dict(walked.diagnostics)
    if walked.draws is not None and chains > 1:
        figures |= agreement(walked.draws, chains)
    if posterior.marginal is not None:  # chi2 would be 1 by definition
        values = observation.values
        mean = (walked.energy / values + ROUNDING).sqrt()
        figures["noise_std"] = torch.where(values > 0, mean, torch.nan)
    elif noise_std is not None:
        figures["chi2"], figures["arrived"] = arrival(
            walked.energy, observation.known, raw.shape[2], noise_std
        )
    left = walked.energy
    if posterior.discrepancy is not None:  # the energy has the field's own cost as well
        left = masked_squared_error(walked.pictures, observation.target, observation.known)
    classes = batch.get("class_posterior")
    labels = observation.labels
    return Completions(
        id=list(batch["id"]),
        index=list(batch["index"]),
        label=batch["label"].cpu(),
        image=image,
        mask=mask,
        source=list(batch["source"]),
        raw=raw,
        composite=composite(image, mask, raw),
        energy=by_energy(walked.energy),
        first_energy=by_energy(walked.trace[0]),
        psnr=by_energy(known_psnr(left, observation.known, raw.shape[2])),
        trace=walked.trace[:, rows].unflatten(1, shape).cpu(),
        trace_steps=list(range(len(walked.trace))),
        trace_evaluations=walked.evaluations,
        draws_from=walked.draws_from,
        noise_std=noise_std,
        latents=by_energy(walked.latents),
        draws=None if walked.draws is None else by_energy(walked.draws.transpose(0, 1)),
        chain=order.cpu(),
        seed=seed,
        steps=len(walked.trace),
        status=[ordered[i : i + chains] for i in range(0, len(rows), chains)],
        diagnostics={key: by_energy(value.float()) for key, value in figures.items()},
        class_posterior=None if classes is None else classes.float().cpu(),
        chain_label=None if labels is None else by_energy(labels),
        class_names=class_names,
    )
