"""``sample``: a look at what a generator draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from ..generators.priors import LatentPrior
from .functions import run


def main(args: list[str]) -> int:
    """Run the command."""
    return run(sample, args)


def sample(
    generator: str = "cifar10",
    *,
    output: str = "samples.png",
    columns: int = 10,
    seed: int = 0,
    truncation: float = 1.0,
    weights: Literal["G_ema", "G"] = "G_ema",
    latent_prior: LatentPrior | None = None,
    value_range: list[float] | None = None,
) -> None:
    """Draw a labelled grid of a generator's samples.

    Args:
        generator: Name, address or path of a generator, or a class of your own.
        output: The picture to write.
        columns: Samples of each class.
        seed: Seed of latents and noise.
        truncation: Share of their deviation from the average that styles keep: 1 = all, 0 = the average.
        weights: Which weights of a checkpoint, as in predict.
        latent_prior: Of the latents of your own class, as in predict.
        value_range: Of its pictures, as in predict.
    """
    from ..generators import load_generator, sample_grid

    if Path(output).is_dir():
        raise UserError(f"--output {output} is a folder, and must be the name of a picture.")
    size: dict[str, Any] = {"columns": columns, "rows": columns}
    network = load_generator(
        generator, weights=weights, latent_prior=latent_prior, value_range=value_range
    )
    print(f"wrote {sample_grid(network, output, **size, seed=seed, truncation=truncation)}")
