"""The draws of a picture's chains in the form that ArviZ reads."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning import LightningModule

from ..completions import Completions
from ..errors import ArgumentError, UserError
from .explaining import write_bytes

if TYPE_CHECKING:
    import xarray

__all__ = ["check_arviz", "inference_data", "write_arviz"]

STATISTICS = {"acceptance": "acceptance_rate", "step_size": "step_size"}
"""What a chain's figures are called in ArviZ's schema."""


def check_arviz(pl_module: LightningModule) -> None:
    """Refuse a run that would have nothing to write.

    Raises:
        UserError: xarray is not there, or the chains make no draws that are kept.
    """
    missing = [m for m in ("xarray", "h5netcdf", "h5py") if importlib.util.find_spec(m) is None]
    if missing:
        raise UserError(
            f"arviz of CompletionWriter needs {' and '.join(missing)}: pip install "
            '"lightning-inpaint[arviz]", or leave it out.'
        )
    if int(getattr(pl_module, "chains", 2)) < 2:
        raise ArgumentError(
            "`arviz` of CompletionWriter needs draws of two chains at least: set `model.chains` to 4, or "
            "leave it out.",
            "writer",
        )


def inference_data(completions: Completions, n: int) -> xarray.DataTree:
    """One picture's draws as groups ``posterior``, ``sample_stats`` and ``observed_data``.

    Chains come in their own order, chain 0 first. ``posterior`` has ``hole`` (chain, draw, row, column,
    channel), mean colours of 4 x 4 cells of the hole in [-1, 1]; ``sample_stats`` has ``lp`` (chain, draw), the
    log-likelihood -E / (2 noise_std^2), or -(d / 2) log(E / d) of d known values where noise_std is auto,
    ``acceptance_rate`` and ``step_size`` (chain,) after the burn-in and ``diverging`` (chain,), how many
    trajectories did; ``observed_data`` has ``image`` (y, x, channel), uint8, and ``mask`` (y, x), **1 = fill,
    0 = known**.

    Args:
        completions: with ``draws``.
        n: the picture.

    Raises:
        UserError: the chains' sampler makes no draws.
    """
    import xarray

    if completions.draws is None:
        raise UserError(
            "arviz of CompletionWriter needs a sampler that makes 8 draws at least: take hmc, annealed_hmc or "
            "search with enough steps, or leave it out."
        )
    order = completions.chain[n].argsort()
    draws = completions.draws[n][order]  # (K, T, 1 + cells), energies first
    channels = completions.image.shape[1]
    cells = draws[:, :, 1:].unflatten(2, (channels, -1))
    side = round(cells.shape[3] ** 0.5)
    hole = cells.unflatten(3, (side, side)).permute(0, 1, 3, 4, 2)
    std = completions.noise_std or float("nan")
    figures = completions.diagnostics
    likelihood = -draws[:, :, 0] / (2 * std**2)
    if "noise_std" in figures:  # integrated out
        values = (1 - completions.mask[n]).sum() * channels
        likelihood = -values / 2 * (draws[:, :, 0] / values).log()
    statistics: dict[str, Any] = {"lp": (("chain", "draw"), likelihood.numpy())}
    for name, schema in STATISTICS.items():
        if name in figures:
            statistics[schema] = ("chain", figures[name][n][order].numpy())
    if "divergences" in figures:
        statistics["diverging"] = ("chain", figures["divergences"][n][order].long().numpy())
    own = {"chain": completions.chain[n][order].numpy(), "draw": range(draws.shape[1])}
    attributes = {"inference_library": "lightning-inpaint", "picture": completions.id[n]}
    if completions.noise_std is not None:
        attributes["noise_std"] = completions.noise_std  # type: ignore[assignment]
    posterior = {"hole": (("chain", "draw", "row", "column", "channel"), hole.numpy())}
    observed = {
        "image": (("y", "x", "channel"), completions.image[n].permute(1, 2, 0).numpy()),
        "mask": (("y", "x"), completions.mask[n, 0].numpy()),
    }
    chains = {"chain": own["chain"]}
    groups = {
        "/": xarray.Dataset(attrs=attributes),
        "/posterior": xarray.Dataset(posterior, coords=own),
        "/sample_stats": xarray.Dataset(statistics, coords={**chains, "draw": own["draw"]}),
        "/observed_data": xarray.Dataset(observed),
    }
    return xarray.DataTree.from_dict(groups)


def write_arviz(completions: Completions, n: int, path: Path) -> Path:
    """Write one picture's draws as netCDF, whole or not at all; ``xarray.open_datatree`` reads them."""
    write_bytes(path, bytes(inference_data(completions, n).to_netcdf(engine="h5netcdf")))
    return path
