"""A user's own network behind the interface that the samplers expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from ..errors import ArgumentError, UserError, worded
from .calling import find_call
from .priors import SCALE_FREE, prior_map
from .r3gan import R3GANGenerator
from .stylegan2 import StyleGAN2Generator

__all__ = ["WrappedGenerator", "adapt_generator"]

_INTERFACE = ("z_dim", "num_classes", "resolution", "img_channels")
_DRAWS = 16  # samples that are looked at to learn the range of values


class WrappedGenerator(nn.Module):
    """``module`` with Gaussian latents, labels and pictures in this project's form.

    Args:
        module: any callable module from latents to square pictures of one channel or three.
        name: what to call it in error sentences.
        arguments: those it was made with, which may tell the size of its latents; None = unknown.
        latent_prior: of its latents, see :mod:`.priors`; None = its attribute of this name, or gaussian.
        value_range: lowest and highest value of its pictures; None = its attribute of this name, or found
            from samples.

    Attributes:
        deterministic: whether it gives the same for the same latents.
        scale_free: whether its latents count by their direction alone.

    Raises:
        UserError: no way to call it was found, what it returns are no square pictures, or their range is
            none of [-1, 1], [0, 1] and [0, 255].
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str = "generator",
        arguments: Mapping[str, Any] | None = None,
        latent_prior: str | None = None,
        value_range: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.module = module.eval().requires_grad_(False)
        if any(p.dtype in (torch.float16, torch.bfloat16) for p in module.parameters()):
            module.float()
        self.name = name
        self.latent_prior = latent_prior or getattr(module, "latent_prior", None) or "gaussian"
        self._prior = prior_map(self.latent_prior)
        self.scale_free = self.latent_prior in SCALE_FREE
        self.call, example = find_call(module, name, arguments)
        self.z_dim, self.num_classes = self.call.z_dim, self.call.num_classes
        names = getattr(module, "class_names", None)
        self.class_names: tuple[str, ...] | None = tuple(names) if names else None
        self.img_channels, self.resolution = int(example.shape[1]), int(example.shape[-1])
        given = value_range if value_range is not None else getattr(module, "value_range", None)
        with torch.random.fork_rng(devices=[]):  # the network may draw noise of its own
            self.deterministic = bool(torch.equal(self._samples(2), self._samples(2)))
            samples = self._samples(_DRAWS if self.resolution <= 64 else 4)
        self.value_range = _checked(given) if given is not None else self._range(samples)

    def forward(self, u: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, z_dim), N(0, I) under the prior, and labels (N,) to pictures (N, C, R, R) in [-1, 1]."""
        pictures = self._drawn(self._prior(u), labels)
        low, high = self.value_range
        if (low, high) == (-1.0, 1.0):
            return pictures
        return (pictures - low) * (2 / (high - low)) - 1

    def _drawn(self, z: Tensor, labels: Tensor | None) -> Tensor:
        parameter = next(self.module.parameters(), z)
        out = self.call.raw(self.module, z.to(parameter.dtype), labels)
        return self.call.pictures(out).to(z.dtype)

    @torch.no_grad()
    def _samples(self, draws: int) -> Tensor:
        parameter = next(self.module.parameters(), torch.zeros(()))
        stream = torch.Generator().manual_seed(0)
        z = self._prior(torch.randn(draws, self.z_dim, generator=stream)).to(parameter)
        labels = None
        if self.num_classes:
            labels = torch.arange(draws, device=z.device) % self.num_classes
        return self._drawn(z, labels).float()

    def _range(self, samples: Tensor) -> tuple[float, float]:
        """The range of values that the samples suggest."""
        low, high = float(samples.min()), float(samples.max())
        if not low > -float("inf") or not high < float("inf"):
            raise UserError(f"{self.name}: its pictures hold values that are not finite numbers.")
        if low >= 0 and 1e-3 < high <= 1.001:
            if not isinstance(_last_layer(self.module), nn.Sigmoid):
                _notice(
                    f"{self.name}: its samples lie in [0, 1] and are taken so; set "
                    "`value_range=[-1,1]` if that is not its range"
                )
            return 0.0, 1.0
        if low >= -1 and 8 < high <= 256:
            _notice(
                f"{self.name}: its samples lie in [0, 255] ({low:.3g} to {high:.3g}) and are taken so"
            )
            return 0.0, 255.0
        flat = samples.flatten()[: 1 << 22]
        inner = torch.quantile(flat, torch.tensor([0.01, 0.99], device=flat.device)).tolist()
        if inner[0] < -1.5 or inner[1] > 1.5:
            raise ArgumentError(
                f"`generator` {self.name}: its samples lie between {low:.3g} and {high:.3g}, and pictures are "
                "in [-1, 1], [0, 1] or [0, 255]: set `value_range` to the values of black and white, such "
                f"as [{low:.2f},{high:.2f}]."
            )
        return -1.0, 1.0


def adapt_generator(
    module: nn.Module,
    name: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    latent_prior: str | None = None,
    value_range: Sequence[float] | None = None,
) -> nn.Module:
    """A user's module, frozen, behind the interface of generators; as it is where it has that.

    Args:
        module: the network.
        name: what to call it in error sentences.
        arguments: those it was made with; None = unknown.
        latent_prior: of its latents, see :mod:`.priors`; None = as the module says, or gaussian.
        value_range: of its pictures; None = as the module says, or found from samples.

    Raises:
        UserError: no way to call it was found.
    """
    module = module.eval().requires_grad_(False)
    if isinstance(module, StyleGAN2Generator | R3GANGenerator | WrappedGenerator):
        refuse_options(name, latent_prior, value_range)
        return module
    if latent_prior is None and value_range is None and _has_interface(module):
        return module
    wrapped = WrappedGenerator(
        module,
        name=name,
        arguments=arguments,
        latent_prior=latent_prior,
        value_range=value_range,
    )
    return wrapped.eval().requires_grad_(False)


def refuse_options(name: str, latent_prior: Any, value_range: Any) -> None:
    """Refuse what is for networks of a user's own alone.

    Raises:
        ArgumentError: one of them is given.
    """
    if latent_prior not in (None, "gaussian"):
        raise ArgumentError(
            f"`latent_prior` is {latent_prior}, and the latents of {name} are Gaussian: leave it out."
        )
    if value_range is not None:
        raise ArgumentError(f"`value_range` is known for {name}: leave it out.")


def _has_interface(module: Any) -> bool:
    """Whether it has the attributes of a generator and answers as one."""
    if not all(hasattr(module, a) for a in _INTERFACE) or hasattr(module, "value_range"):
        return False
    sizes = [getattr(module, a) for a in _INTERFACE]
    if any(type(s) is not int for s in sizes) or getattr(module, "latent_prior", None):
        return False
    parameter = next(module.parameters(), torch.zeros(()))
    z = torch.zeros(1, sizes[0]).to(parameter)
    labels = torch.zeros(1, dtype=torch.long, device=z.device) if sizes[1] else None
    try:
        with torch.no_grad():
            out = module(z, labels)
    except Exception:  # the user's module raises whatever it likes
        return False
    return isinstance(out, Tensor) and out.shape == (1, sizes[3], sizes[2], sizes[2])


def _checked(value_range: Any) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in value_range)
        good = -1e6 < low < high < 1e6
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ArgumentError(
            f"`value_range` is {value_range}; it must be two numbers, the values of black and of white, "
            "such as [0,1]"
        )
    return low, high


def _last_layer(module: nn.Module) -> nn.Module | None:
    layers = [m for m in module.modules() if not any(m.children())]
    return layers[-1] if layers else None


@cache
def _notice(text: str) -> None:
    """Say it once, though model and data may both load the network."""
    rank_zero_info(worded(text))
