"""What is being sampled: everything Gaussian that enters the picture, as one flat vector per chain.

A latent space maps u ~ N(0, I) in R^D to pictures. Its name is a base and what is added to it:

* ``z``: the generator's own z; ``z+``: one z per layer (Z+);
* ``w``, ``w+``: the style vectors, shared or one per layer, with a Gaussian prior fitted to mapped
  latents before the mapping network's last leaky ReLU, where they are nearest to Gaussian (PULSE,
  Menon et al. 2020, arXiv:2003.03808; the "P space" of Zhu et al. 2020, arXiv:2012.09036), one mean
  per class and one covariance for all;
* ``+noise``: the noise maps, which are N(0, I) inputs like z;
* ``+slack``: Gaussian latents added to the features before each block's last non-linearity, a way out
  of the generator's range that keeps the prior exactly Gaussian. It is smooth over neighbouring
  places. With a mask only features that have a known pixel below them, and their neighbours, have it: a
  discrepancy of what was observed (Kennedy and O'Hagan 2001, JRSS B 63) that does not end at the
  seam, while the rest of the hole is the generator's own.

Truncation draws each style vector towards the mean of its class (the truncation trick of StyleGAN, Karras et
al. 2019, arXiv:1812.04948, around class means as in StyleGAN-XL, Sauer et al. 2022, arXiv:2202.00273): another
generator, of less variety and more typical pictures, under the same prior.

``z+noise``, ``z++noise`` (one z per layer, and noise), ``z++noise+slack`` are examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..generators.mapping import truncated
from ..generators.stylegan2 import LRELU_GAIN, StyleGAN2Generator
from ..steady import SteadyLinear, product

__all__ = [
    "BASES",
    "LatentName",
    "LatentSpace",
    "NoiseSource",
    "default_latents",
    "parse_latents",
]

BASES = ("z", "z+", "w", "w+")
COARSEST_SLACK = 3  # times that of the finest resolution
NoiseSource = Callable[[int], Tensor]
"""Called with a number of values, returns (N, values) standard normal for the maps of one call."""


@dataclass(frozen=True)
class LatentName:
    """A latent space's name, taken apart."""

    base: str
    noise: bool
    slack: bool


class Part(NamedTuple):
    """A named stretch of the flat vector."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def parse_latents(name: str) -> LatentName:
    """Take a name like ``z++noise+slack`` apart.

    Raises:
        ValueError: the base or an addition is unknown.
    """
    rest, noise, slack = name, False, False
    if rest.endswith("+slack"):
        rest, slack = rest.removesuffix("+slack"), True
    if rest.endswith("+noise"):
        rest, noise = rest.removesuffix("+noise"), True
    if rest not in BASES:
        raise ValueError(
            f"latents {name!r} are unknown: take z, z+, w or w+, followed by +noise, by +slack, "
            "by both (+noise+slack) or by nothing"
        )
    return LatentName(rest, noise, slack)


def default_latents(generator: Any) -> str:
    """All Gaussian inputs of the generator itself.

    ``z+noise`` for the native StyleGAN2; ``z`` for any other module, which is a map of z alone.
    """
    return "z+noise" if isinstance(generator, StyleGAN2Generator) else "z"


class _Filtered(torch.autograd.Function):
    """Each channel of x (N, C, H, W) convolved with one symmetric 3x3 kernel, its own adjoint: unlike
    ``F.conv2d``, which keeps x for the kernel's gradient, it keeps nothing of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(kernel)
        return F.conv2d(x, kernel.expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _Filtered.apply(grad, *ctx.saved_tensors), None


def smooth(fields: Tensor) -> Tensor:
    """Weights 1, 2, 1 along both sides of fields (N, side, side, C), each place scaled so that white noise
    keeps its variance: a Gaussian with a correlation of 2/3 between neighbours, zero three places on."""
    side = fields.shape[1]
    line = 2 - torch.arange(-1, 2, device=fields.device, dtype=fields.dtype).abs()
    kernel = (line[:, None] * line)[None, None]
    variance = F.conv2d(fields.new_ones(1, 1, side, side), kernel.square(), padding=1)
    mixed: Tensor = _Filtered.apply(fields.permute(0, 3, 1, 2), kernel)
    return (mixed * variance.rsqrt()).permute(0, 2, 3, 1)


def _inverse_activation(w: Tensor) -> Tensor:
    return F.leaky_relu(w / LRELU_GAIN, 5.0)


class LatentSpace(nn.Module):
    """u ~ N(0, I) in R^dim to pictures, through a frozen generator.

    Args:
        generator: any module ``(z, labels) -> pictures`` with ``z_dim``; spaces other than ``z`` need
            the native :class:`StyleGAN2Generator`.
        name: see the module's text; None = :func:`default_latents`, and ``+slack`` if ``slack`` is
            given and the generator has it.
        slack: standard deviation of the slack per resolution (4, 8, ...), as a share of the standard
            deviation of the features it is added to; one number is that of the finest, twice and three
            times as much that of coarser ones, whose corrections are smoother. None = 0.2 where the
            name has slack.
        truncation: share of its deviation from its class's mean style that a style keeps, in (0, 1]; 1 =
            all. Other modules than StyleGAN2 have no styles and are left alone.

    Attributes:
        dim: D, the length of the flat vector.
        parts: its stretches in order; each is a named, shaped piece.
        scale_free: numbers of the parts whose rows count by their direction alone.

    Raises:
        ValueError: unknown name, a space that this generator does not have, negative slack, or
            truncation out of range.
    """

    generator: Any  # duck-typed: z_dim, num_classes, ...
    slack_scale: Tensor
    style_mean: Tensor
    style_factor: Tensor
    style_centre: Tensor

    def __init__(
        self,
        generator: Any,
        name: str | None = None,
        slack: float | Sequence[float] | None = None,
        truncation: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < truncation <= 1:
            raise ValueError(f"truncation must lie in (0, 1], got {truncation}")
        native = isinstance(generator, StyleGAN2Generator)
        if name is None:
            name = default_latents(generator) + ("+slack" if native and slack is not None else "")
        slack = 0.2 if slack is None else slack
        parsed = parse_latents(name)
        self.name, self.parsed, self.generator = name, parsed, generator
        if not native and (parsed.base != "z" or parsed.noise or parsed.slack):
            raise ValueError(
                f"latents {name!r} need a StyleGAN2 generator; "
                f"for {type(generator).__name__} only 'z' can be sampled"
            )
        self.parts = [Part("base", self._base_shape())]
        if parsed.noise:
            self.parts += [Part(f"noise{i}", s) for i, s in enumerate(generator.noise_shapes)]
        if parsed.slack:
            self.register_buffer("slack_scale", self._slack_scale(slack), persistent=False)
            blocks = generator.synthesis.blocks
            self.parts += [
                Part(f"slack{b.resolution}", (b.resolution, b.resolution, b.out_channels))
                for b, scale in zip(blocks, self.slack_scale.tolist(), strict=True)
                if scale > 0
            ]
        self.fitted: tuple[Tensor, Tensor] | None = None  # of styles, where they are asked for
        if parsed.base.startswith("w"):
            mean, factor = self._fit_styles()
            self.register_buffer("style_mean", mean, persistent=False)
            self.register_buffer("style_factor", factor, persistent=False)
        self.truncation = truncation if native else 1.0
        if self.truncation != 1:
            self.register_buffer("style_centre", generator.mapping.class_means(), persistent=False)
        self.dim = sum(p.size for p in self.parts)
        # the mapping network scales z to unit mean square: rows of part 0 count by direction
        direction = (
            parsed.base.startswith("z") if native else getattr(generator, "scale_free", False)
        )
        self.scale_free = [0] if direction else []

    @property
    def layered(self) -> bool:
        """Whether the latents are z alone of a generator whose mapping network has one style for all layers."""
        return self.parsed == LatentName("z", noise=False, slack=False) and isinstance(
            self.generator, StyleGAN2Generator
        )

    @property
    def inner_size(self) -> tuple[int, float, float]:
        """Values of a style, their standard deviation under the prior, and the mapping network's share of all
        multiplications."""
        mapping, blocks = self.generator.mapping, self.generator.synthesis.blocks
        _, factor = self._fitted()
        spread = LRELU_GAIN * self.truncation * factor.square().sum(dim=1).mean().sqrt()
        inner = sum(w.numel() for w in mapping.parameters() if w.ndim == 2)
        outer = sum(c.weight.numel() * b.resolution**2 for b in blocks for c in b.convolutions)
        return self.generator.w_dim, float(spread), inner / (inner + outer)

    def styles(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Style vectors (N, w_dim) of ``z`` (N, z_dim)."""
        return self._truncated(self._styles(z, labels), labels)[:, 0]

    def styles_around(self, v: Tensor, labels: Tensor | None) -> Tensor:
        """Style vectors (N, w_dim) like the prior's of standard normal ``v`` (N, w_dim), see base ``w``."""
        ws = self._normal_styles(v, labels, *self._fitted())[:, None]
        return self._truncated(ws, labels)[:, 0]

    def _fitted(self) -> tuple[Tensor, Tensor]:
        """Mean and factor of :meth:`_fit_styles`, made once."""
        device = next(self.generator.parameters()).device
        if self.fitted is None or self.fitted[0].device != device:
            self.fitted = self._fit_styles()
        return self.fitted

    def of_styles(self, w: Tensor, noise: NoiseSource | str | None) -> Tensor:
        """Pictures (N, C, H, W) of style vectors (N, w_dim), which all layers share."""
        pictures: Tensor = self.generator.synthesis(w[:, None], self._noise({}, noise))
        return pictures

    def _base_shape(self) -> tuple[int, ...]:
        generator = self.generator
        width = generator.z_dim if self.parsed.base.startswith("z") else generator.w_dim
        return (generator.num_ws, width) if self.parsed.base.endswith("+") else (width,)

    @property
    def noise_values(self) -> int:
        """How many values a :data:`NoiseSource` is asked for; 0 without noise maps from outside."""
        shapes = getattr(self.generator, "noise_shapes", ())
        return 0 if self.parsed.noise else sum(h * w for h, w in shapes)

    @property
    def state(self) -> tuple[Any, ...]:
        """What is another as soon as weights are changed, loaded or replaced."""
        tensors = (*self.parameters(), *self.buffers())
        return tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)

    @property
    def arithmetic(self) -> tuple[Any, ...]:
        """Type and form of the generator's convolutions, see :meth:`StyleGAN2Generator.set_compute`."""
        if not isinstance(self.generator, StyleGAN2Generator):
            return ()
        layer = self.generator.synthesis.blocks[-1].conv1  # all have the same
        return layer.compute_dtype, layer.fused

    def split(self, u: Tensor) -> dict[str, Tensor]:
        """The flat vectors (N, dim) as named pieces, each (N, *shape)."""
        pieces = u.split([p.size for p in self.parts], dim=1)
        return {p.name: x.unflatten(1, p.shape) for p, x in zip(self.parts, pieces, strict=True)}

    def forward(
        self,
        u: Tensor,
        labels: Tensor | None = None,
        noise: NoiseSource | str | None = None,
        known: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw pictures.

        Args:
            u: (N, dim).
            labels: (N,) class indices; None for an unconditional generator.
            noise: where noise maps that are no latents come from: ``"const"`` (stored with the
                weights), None (none), or a :data:`NoiseSource` that redraws them.
            known: (N, 1, H, W), **1 = known, 0 = to fill**: the slack of each feature is multiplied by
                that of the best known pixel below it. None = full slack everywhere.
            dtype: type of the convolutions of a StyleGAN2 generator; None = the generator's own.

        Returns:
            (N, C, H, W) in about [-1, 1].
        """
        pieces = self.split(u)
        generator = self.generator
        if not isinstance(generator, StyleGAN2Generator):
            with SteadyLinear() if u.is_cpu else nullcontext():
                return generator(pieces["base"], labels)
        ws = self._truncated(self._styles(pieces["base"], labels), labels)
        maps, slack = self._noise(pieces, noise), self._slack(pieces, known)
        return generator.synthesis(ws, maps, slack, dtype)

    def _styles(self, base: Tensor, labels: Tensor | None) -> Tensor:
        """(N, num_ws, w_dim), or (N, 1, w_dim) where all layers share a style vector."""
        if self.parsed.base.startswith("z"):
            distinct: Tensor = self.generator.mapping.distinct(base, labels)
            return distinct
        ws = self._normal_styles(base, labels, self.style_mean, self.style_factor)
        return ws if ws.ndim == 3 else ws[:, None]

    @staticmethod
    def _normal_styles(v: Tensor, labels: Tensor | None, means: Tensor, factor: Tensor) -> Tensor:
        """Styles of standard normal ``v`` (N, ..., w_dim), in the same shape."""
        mean = means[0 if labels is None else labels]
        if v.ndim == 3:
            mean = mean[:, None]
        normal = mean + product(v.flatten(0, -2), factor.T).view(v.shape)
        return F.leaky_relu(normal, 0.2) * LRELU_GAIN

    def _truncated(self, ws: Tensor, labels: Tensor | None) -> Tensor:
        if self.truncation == 1:
            return ws
        return truncated(ws, self.style_centre, labels, self.truncation)

    def _noise(
        self, pieces: dict[str, Tensor], noise: NoiseSource | str | None
    ) -> Sequence[Tensor] | str | None:
        shapes = self.generator.noise_shapes
        if not self.parsed.noise:
            if noise is None or isinstance(noise, str):
                return noise
            flat = noise(self.noise_values).split([h * w for h, w in shapes], dim=1)
            maps = [x.unflatten(1, (1, *s)) for x, s in zip(flat, shapes, strict=True)]
        else:
            maps = [pieces[f"noise{i}"][:, None] for i in range(len(shapes))]
        it = iter(maps)
        return [next(it) if c.use_noise else None for c in self.generator.synthesis.convolutions]

    def _slack(self, pieces: dict[str, Tensor], known: Tensor | None) -> list[Tensor | None] | None:
        if not self.parsed.slack:
            return None
        slack: list[Tensor | None] = []
        for block, scale in zip(self.generator.synthesis.blocks, self.slack_scale, strict=True):
            piece = pieces.get(f"slack{block.resolution}")
            if piece is None:
                slack.append(None)
                continue
            if known is not None:
                best = F.adaptive_max_pool2d(known, block.resolution)
                scale = scale * best.permute(0, 2, 3, 1)
            field = smooth(piece * scale)
            # Channels last, as the features lie in memory: adding them is one straight pass.
            slack.append(field.permute(0, 3, 1, 2))
        return slack

    @torch.no_grad()
    def _fit_styles(self, draws: int = 4096) -> tuple[Tensor, Tensor]:
        """Mean per class and Cholesky factor of the common covariance, before the last activation."""
        mapping = self.generator.mapping
        w = mapping.prior_styles(max(draws // max(mapping.num_classes, 1), 1024))
        v = _inverse_activation(w)
        mean = v.mean(dim=1)
        centred = (v - mean[:, None]).flatten(0, 1).double()
        covariance = centred.T @ centred / centred.shape[0]
        ridge = 1e-6 * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
        return mean, torch.linalg.cholesky(covariance + ridge).to(v)

    @torch.no_grad()
    def _slack_scale(self, slack: float | Sequence[float]) -> Tensor:
        """tau per resolution: ``slack`` times the spread of the features under the prior."""
        blocks = self.generator.synthesis.blocks
        if isinstance(slack, (int, float)):
            halvings = range(len(blocks) - 1, -1, -1)
            shares = [float(slack) * min(1 + k, COARSEST_SLACK) for k in halvings]
        else:
            shares = list(slack)
        if len(shares) != len(blocks) or min(shares) < 0:
            raise ValueError(
                f"slack must be one number or {len(blocks)} of them, none negative, got {slack}"
            )
        w = self.generator.mapping.prior_styles(16)
        ws = w.flatten(0, 1)[:, None].expand(-1, self.generator.num_ws, -1)
        spread: list[Tensor] = []
        hooks = [
            b.conv1.register_forward_hook(lambda m, i, out: spread.append(out.std()))
            for b in blocks
        ]
        try:
            self.generator.synthesis(ws)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.tensor(shares, device=ws.device, dtype=ws.dtype) * torch.stack(spread)
