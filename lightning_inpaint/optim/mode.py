"""Annealed optimisation: the posterior's mode, and draws by randomised optimisation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .base import ChainOptimizer, Closure, require_positive
from .radius import Span, ratio_to, row_norms, spans_of

__all__ = ["MAP", "AdamMoments", "AnnealedDescent", "annealed_std", "cosine_rate"]

Anchor = Literal["origin", "start"]
ANCHORS = ("origin", "start")


def annealed_std(step: int, steps: int, start: float, end: float, part: float) -> float:
    """Geometric path from ``start`` to ``end`` over the first ``part`` of ``steps``, then ``end``."""
    length = part * steps
    done = 1.0 if length <= 0 else min(1.0, step / length)
    return max(start, end) ** (1 - done) * end**done


def cosine_rate(step: int, steps: int, lr: float, part: float) -> float:
    """``lr``, falling to 0 along a half cosine over the last ``part`` of ``steps``."""
    length = part * steps
    left = 1.0 if length <= 0 else min(1.0, (steps - step) / length)
    return lr * 0.5 * (1 - math.cos(math.pi * left))


class AdamMoments(NamedTuple):
    """First and second moments of the gradient, each (N, D)."""

    mean: Tensor
    square: Tensor


class AnnealedDescent:
    """Adam on ``E / (2 sigma_i^2) + |u - a|^2 / 2`` with sigma_i falling to sigma.

    With the anchor a = 0 this seeks the mode. With a ~ N(0, I), the chain's own start, it is the
    randomise-then-optimise draw (Oliver et al. 1996, "Conditioning permeability fields to pressure
    data"; Bardsley et al. 2014, SIAM J. Sci. Comput. 36) without perturbed data: what the known
    pixels do not determine stays a draw from the prior, on its shell |u|^2 = D, where a mode
    collapses to smaller norms. Adam is Kingma and Ba 2015 (arXiv:1412.6980); it acts on each latent
    by itself, so chains stay independent.

    Args:
        steps: length of the descent.
        noise_std: sigma, reached after ``anneal`` of the steps.
        start_std: first sigma_i (nothing is annealed where it is below ``noise_std``).
        lr: Adam's rate.
        betas: Adam's decay rates.
        anneal: part of the steps over which sigma_i falls geometrically.
        ramp_down: last part of the steps, over which the rate falls to 0.
        anchor: a, (N, D); None = 0.
        spans: latents that count by direction; they keep the radii they start with, which the
            prior would pull to 0 (see ``radius.py``).
    """

    def __init__(
        self,
        steps: int,
        noise_std: float,
        start_std: float = 1.0,
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.99),
        anneal: float = 0.5,
        ramp_down: float = 0.25,
        anchor: Tensor | None = None,
        spans: Sequence[Span] = (),
    ) -> None:
        self.steps, self.noise_std, self.start_std = steps, noise_std, start_std
        self.lr, self.betas, self.anneal, self.ramp_down = lr, betas, anneal, ramp_down
        self.anchor = anchor
        self.spans = list(spans)
        self.norms: list[Tensor] | None = None
        self.moments: AdamMoments | None = None

    def std(self, step: int) -> float:
        """sigma_i at ``step``."""
        return annealed_std(step, self.steps, self.start_std, self.noise_std, self.anneal)

    def update(self, u: Tensor, grad: Tensor, step: int) -> None:
        """Move the chains ``u`` (N, D) in place, given dE/du, at ``step`` = 0, 1, ...

        ``grad`` is overwritten.
        """
        if self.norms is None:
            self.norms = [row_norms(u, span) for span in self.spans]
        slope = grad.div_(2 * self.std(step) ** 2).add_(u)
        if self.anchor is not None:
            slope -= self.anchor
        if self.moments is None:
            self.moments = AdamMoments(torch.zeros_like(u), torch.zeros_like(u))
        mean, square = self.moments
        b1, b2 = self.betas
        mean.mul_(b1).add_(slope, alpha=1 - b1)
        square.mul_(b2).addcmul_(slope, slope, value=1 - b2)
        rate = cosine_rate(step, self.steps, self.lr, self.ramp_down) / (1 - b1 ** (step + 1))
        root = torch.div(square, 1 - b2 ** (step + 1), out=slope).sqrt_().add_(1e-8)
        u.addcdiv_(mean, root, value=-rate)
        for span, norms in zip(self.spans, self.norms, strict=True):
            u[:, span.start : span.stop] *= ratio_to(u, span, norms)

    def release(self) -> None:
        """Give the moments' memory back."""
        self.moments = self.anchor = None


def check_descent(
    noise_std: float,
    start_std: float,
    lr: float,
    betas: tuple[float, float],
    anneal: float,
    ramp_down: float,
    anchor: str,
) -> None:
    """Raise a ValueError that quotes the first bad option of an annealed descent."""
    require_positive(noise_std=noise_std, start_std=start_std, lr=lr)
    for name, value in (("anneal", anneal), ("ramp_down", ramp_down)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value}")
    for value in betas:
        if not 0 <= value < 1:
            raise ValueError(f"betas must lie in [0, 1), got {betas}")
    if anchor not in ANCHORS:
        raise ValueError(f"anchor must be 'origin' or 'start', got {anchor!r}")


class MAP(ChainOptimizer):
    """Annealed Adam on the negative log-posterior: the mode (a point, not a draw).

    With ``anchor="start"`` each chain is held to its own start, a prior draw, instead of the origin:
    randomise-then-optimise, an approximate draw in as many evaluations (see
    :class:`AnnealedDescent`).

    Args:
        params: latents (N, D) or one group with ``streams``, see :class:`ChainOptimizer`.
        steps: number of steps, one gradient evaluation each.
        noise_std: assumed standard deviation sigma of a known pixel, pictures in [-1, 1].
        start_std: first sigma_i of the annealing.
        lr: Adam's rate.
        betas: Adam's decay rates.
        anneal: part of the steps over which sigma_i falls to ``noise_std``.
        ramp_down: last part of the steps, over which the rate falls to 0.
        anchor: ``origin`` (the mode) or ``start`` (randomise-then-optimise).

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 150,
        noise_std: float = 0.02,
        start_std: float = 1.0,
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.99),
        anneal: float = 0.5,
        ramp_down: float = 0.25,
        anchor: Anchor = "origin",
    ) -> None:
        check_descent(noise_std, start_std, lr, betas, anneal, ramp_down, anchor)
        options = {
            "noise_std": noise_std,
            "start_std": start_std,
            "lr": lr,
            "betas": betas,
            "anneal": anneal,
            "ramp_down": ramp_down,
            "anchor": anchor,
        }
        super().__init__(params, steps, blocks=None, scale_free=None, **options)
        self.noise_std, self.anchor = noise_std, anchor
        group = self.param_groups[0]
        self.descent = AnnealedDescent(
            steps,
            noise_std,
            start_std,
            lr,
            betas,
            anneal,
            ramp_down,
            spans=spans_of(group["blocks"], group["scale_free"]),
        )

    def scale_step(self, factor: float) -> None:
        """Another rate."""
        self.descent.lr *= factor

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step of every chain; returns the energies (N,) before it."""
        if self.step_count == 0 and self.anchor == "start":
            self.descent.anchor = self.latents.detach().clone()
        energy, grad = self.evaluate(closure)
        self.descent.update(self.latents, grad, min(self.step_count, self.steps - 1))
        self.step_count += 1
        return energy
