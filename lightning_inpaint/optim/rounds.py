"""How a burn-in goes on: judged by the potentials that the chains of a picture passed in a round."""

from __future__ import annotations

from torch import Tensor

__all__ = ["behind", "falling"]

FALL = 1.4  # of the potential from one half of a round to the other, in a draw's deviations, that is no chance
HOPE = 2  # times as fast as a potential fell it may fall in the rounds to come
LOST = 2  # a draw's deviations above another chain of the picture, where a chain has no weight ...
NATS = 7  # ... and at least so much


def _deviation(latents: int) -> float:
    """Of a draw's potential: it varies as that of so many standard normal numbers."""
    return float((latents / 2) ** 0.5)


def falling(first: Tensor, second: Tensor, above: Tensor, left: int, latents: int) -> Tensor:
    """Whether potentials still fall, and may yet fall to that of a draw; (pictures,).

    Args:
        first, second: (pictures, chains), mean potentials of the halves of a round.
        above: (pictures,), how far the best chain of each is from having arrived, as a potential.
        left: rounds to come.
        latents: D.
    """
    fall = (first - second).mean(dim=1)
    chance = FALL * _deviation(latents) / first.shape[1] ** 0.5
    return (fall > chance) & (above < HOPE * 2 * fall * left)


def behind(mean: Tensor, latents: int) -> Tensor:
    """Whether chains are in a mode of no weight, or on a long way down; (pictures, chains).

    Args:
        mean: (pictures, chains), mean potentials of the second half of a round.
        latents: D.
    """
    above = mean - mean.amin(dim=1, keepdim=True)
    return above > max(LOST * _deviation(latents), NATS)
