"""Whether a burn-in goes on: judged by the potentials that the chains of a picture passed in a round."""

from __future__ import annotations

from torch import Tensor

__all__ = ["falling"]

FALL = 1.4  # of the potential from one half of a round to the other, in a draw's deviations, that is no chance
HOPE = 2  # times as fast as a potential fell it may fall in the rounds to come


def falling(first: Tensor, second: Tensor, above: Tensor, left: int, latents: int) -> Tensor:
    """Whether potentials still fall, and may yet fall to that of a draw; (pictures,).

    Args:
        first, second: (pictures, chains), mean potentials of the halves of a round.
        above: (pictures,), how far the best chain of each is from having arrived, as a potential.
        left: rounds to come.
        latents: D.
    """
    fall = (first - second).mean(dim=1)
    # A draw's potential varies as that of D standard normal numbers; this is a mean over chains.
    chance = FALL * (latents / 2 / first.shape[1]) ** 0.5
    return (fall > chance) & (above < HOPE * 2 * fall * left)
