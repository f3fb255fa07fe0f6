"""``sample``: a look at what a generator draws."""

from __future__ import annotations

from typing import Any

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
) -> None:
    """Draw a labelled grid of a generator's samples.

    Args:
        generator: Name, address or path of a generator.
        output: The picture to write.
        columns: Samples of each class.
        seed: Seed of latents and noise.
        truncation: Share of their deviation from the average that styles keep: 1 = all, 0 = the average.
    """
    from ..generators import load_generator, sample_grid

    size: dict[str, Any] = {"columns": columns, "rows": columns}
    network = load_generator(generator)
    print(f"wrote {sample_grid(network, output, **size, seed=seed, truncation=truncation)}")
