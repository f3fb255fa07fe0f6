"""Annealed optimisation: the posterior's mode, and draws by randomised optimisation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .base import ChainContext, ChainOptimizer, Closure, require_decays, require_positive
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


class Numbers(NamedTuple):
    """What an update depends on beside the chains: the same for all, or a column (N, 1).

    Attributes:
        variance: 2 sigma_i^2.
        rate: Adam's, its mean's bias correction included.
        correction: of the squares' bias.
    """

    variance: float | Tensor
    rate: float | Tensor
    correction: float | Tensor


def descent_numbers(step: int, steps: int, options: Mapping[str, Any]) -> Numbers:
    """Those of ``step`` = 0, 1, ... of an annealed descent.

    Args:
        step: number of the step.
        steps: length of the descent.
        options: ``noise_std``, sigma, reached after ``anneal`` of the steps; ``start_std``, the first sigma_i
            (nothing is annealed where it is below ``noise_std``); ``lr`` and ``betas``, Adam's;
            ``ramp_down``, last part of the steps, over which the rate falls to 0.
    """
    std = annealed_std(step, steps, options["start_std"], options["noise_std"], options["anneal"])
    b1, b2 = options["betas"]
    rate = cosine_rate(step, steps, options["lr"], options["ramp_down"]) / (1 - b1 ** (step + 1))
    return Numbers(2 * std**2, rate, 1 - b2 ** (step + 1))


class AnnealedDescent:
    """Adam on ``E / (2 sigma_i^2) + |u - a|^2 / 2`` with sigma_i falling to sigma.

    With the anchor a = 0 this seeks the mode. With a ~ N(0, I), the chain's own start, it is the
    randomise-then-optimise draw (Oliver et al. 1996, "Conditioning permeability fields to pressure
    data"; Bardsley et al. 2014, SIAM J. Sci. Comput. 36) without perturbed data: what the known
    pixels do not determine stays a draw from the prior, on its shell |u|^2 = D, where a mode
    collapses to smaller norms. Adam is Kingma and Ba 2015 (arXiv:1412.6980); it acts on each latent
    by itself, so chains stay independent.

    Args:
        spans: latents that count by direction; they keep the radii they start with, which the
            prior would pull to 0 (see ``radius.py``).

    Attributes:
        anchor: a, (N, D); None = 0.
        norms: radii that the spans keep, (N, rows) each; None before the first step.
        moments: Adam's; None before the first step.
    """

    LIVE = ("descent.moments", "descent.norms", "descent.anchor")
    """Names of what changes, seen from a sampler that has a ``descent``."""

    def __init__(self, spans: Sequence[Span] = ()) -> None:
        self.spans = list(spans)
        self.anchor: Tensor | None = None
        self.norms: tuple[Tensor, ...] | None = None
        self.moments: AdamMoments | None = None

    def update(self, u: Tensor, grad: Tensor, numbers: Numbers, betas: tuple[float, float]) -> None:
        """Move the chains ``u`` (N, D) in place, given dE/du. ``grad`` is overwritten."""
        if self.norms is None:
            self.norms = tuple(row_norms(u, span) for span in self.spans)
        slope = grad.div_(numbers.variance).add_(u)
        if self.anchor is not None:
            slope -= self.anchor
        if self.moments is None:
            self.moments = AdamMoments(torch.zeros_like(u), torch.zeros_like(u))
        mean, square = self.moments
        b1, b2 = betas
        mean.mul_(b1).add_(slope, alpha=1 - b1)
        square.mul_(b2).addcmul_(slope, slope, value=1 - b2)
        root = torch.div(square, numbers.correction, out=slope).sqrt_().add_(1e-8)
        if isinstance(numbers.rate, Tensor):
            u.addcdiv_(mean, root.div_(numbers.rate), value=-1)  # a rate of 0 divides by infinity
        else:
            u.addcdiv_(mean, root, value=-numbers.rate)
        for span, norms in zip(self.spans, self.norms, strict=True):
            ratio = ratio_to(u, span, norms)
            if isinstance(numbers.rate, Tensor):
                ratio = torch.where(numbers.rate > 0, ratio, 1.0)
            u[:, span.start : span.stop] *= ratio

    def reseat(self, keep: Tensor, fresh: Tensor) -> None:
        """Go on with the chains ``keep`` (indices), followed by ``fresh`` ones (M, D) at their start."""

        def joined(old: Tensor, new: Tensor) -> Tensor:
            return torch.cat([old[keep], new])

        if self.anchor is not None:
            self.anchor = joined(self.anchor, fresh)
        if self.norms is not None:
            new = (row_norms(fresh, span) for span in self.spans)
            self.norms = tuple(joined(*pair) for pair in zip(self.norms, new, strict=True))
        if self.moments is not None:
            blank = torch.zeros_like(fresh)
            self.moments = AdamMoments(*(joined(part, blank) for part in self.moments))

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
    require_decays(betas)
    if anchor not in ANCHORS:
        raise ValueError(f"anchor must be 'origin' or 'start', got {anchor!r}")


class MAP(ChainOptimizer):
    """Annealed Adam on the negative log-posterior: the mode (a point, not a draw).

    With ``anchor="start"`` each chain is held to its own start, a prior draw, instead of the origin:
    randomise-then-optimise, an approximate draw in as many evaluations (see
    :class:`AnnealedDescent`).

    Args:
        params: latents (N, D) or one group, see :class:`ChainOptimizer`.
        steps: number of steps, one gradient evaluation each.
        noise_std: assumed standard deviation sigma of a known pixel, pictures in [-1, 1].
        start_std: first sigma_i of the annealing.
        lr: Adam's rate.
        betas: Adam's decay rates.
        anneal: part of the steps over which sigma_i falls to ``noise_std``.
        ramp_down: last part of the steps, over which the rate falls to 0.
        anchor: ``origin`` (the mode) or ``start`` (randomise-then-optimise).
        stop_psnr: a chain rests as soon as its PSNR on the known pixels has reached this, in dB, and may
            leave its place to another (``slots`` of the walk); None = all chains make all steps. A walk
            that stops so tolerates rough gradients to its end, as chains of all ages share a batch.

    Raises:
        ValueError: an option out of range.
    """

    live = (*ChainOptimizer.live, "_ages", "_resting", *AnnealedDescent.LIVE)

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
        stop_psnr: float | None = None,
    ) -> None:
        check_descent(noise_std, start_std, lr, betas, anneal, ramp_down, anchor)
        require_positive(stop_psnr=stop_psnr)
        super().__init__(params, steps)
        self.descent = AnnealedDescent(spans_of(self.context.blocks, self.context.scale_free))
        n, device = len(self.latents), self.latents.device
        self._ages = torch.zeros(n, dtype=torch.int64, device=device)
        self._resting = torch.zeros(n, dtype=torch.bool, device=device)
        self._table: tuple[list[Numbers], Tensor] | None = None

    def scale_step(self, factor: float) -> None:
        """Another rate."""
        self.param_groups[0]["lr"] *= factor

    @property
    def stops(self) -> bool:
        """Whether chains stop by themselves."""
        return self.stop_psnr is not None

    @property
    def needs_std(self) -> bool:  # type: ignore[override]
        """With ``stop_psnr``: it compares energies."""
        return self.stops

    @property
    def tolerant(self) -> bool:
        """Not in the last quarter; see ``stop_psnr``."""
        return self.stops or super().tolerant

    @property
    def ages(self) -> Tensor:
        """(N,) steps that each chain has made."""
        return self._ages if self.stops else super().ages

    @property
    def resting(self) -> Tensor:
        """(N,) whether each chain has stopped."""
        return self._resting if self.stops else super().resting

    def reseat(self, keep: Tensor, fresh: Tensor, context: ChainContext) -> None:
        """See :meth:`.base.ChainOptimizer.reseat`."""
        super().reseat(keep, fresh, context)
        self.descent.reseat(keep, fresh)
        new = self._ages.new_zeros(len(fresh))
        self._ages = torch.cat([self._ages[keep], new])
        self._resting = torch.cat([self._resting[keep], new.bool()])

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step of every chain; returns the energies (N,) before it."""
        if self.step_count == 0 and self.anchor == "start":
            self.descent.anchor = self.latents.detach().clone()
        energy, grad = self.evaluate(closure)
        if self.stop_psnr is None:
            step = min(self.step_count, self.steps - 1)
            numbers = descent_numbers(step, self.steps, self.param_groups[0])
        else:
            self._rest(energy, self.stop_psnr)
            numbers = self._numbers_by_age(energy.dtype)
            self._ages += ~self._resting
            self._resting |= self._ages >= self.steps
        self.descent.update(self.latents, grad, numbers, self.betas)
        self.step_count += 1
        return energy

    def _rest(self, energy: Tensor, psnr: float) -> None:
        observed = self.context.observed
        if observed is None:
            raise ValueError("stop_psnr needs the context's observed (N,), known values")
        self._resting |= energy <= 4 * observed / 10 ** (psnr / 10)  # peak to peak 2

    def _numbers_by_age(self, dtype: torch.dtype) -> Numbers:
        """Columns (N, 1), those of chains that rest with a rate of 0."""
        rows = [
            descent_numbers(step, self.steps, self.param_groups[0]) for step in range(self.steps)
        ]
        if self._table is None or self._table[0] != rows:
            self._table = rows, torch.tensor(rows, dtype=dtype, device=self._ages.device)
        table = self._table[1][self._ages.clamp(max=self.steps - 1)]
        variance, rate, correction = table.unsqueeze(2).unbind(1)
        return Numbers(variance, rate * ~self._resting[:, None], correction)

    def diagnostics(self) -> dict[str, Tensor]:
        """The evaluations of chains that stopped by themselves are their own."""
        found = super().diagnostics()
        if self.stops:
            found["gradient_evaluations"] = (self.ages + 1).clamp(max=self.steps).to(self.latents)
        return found
