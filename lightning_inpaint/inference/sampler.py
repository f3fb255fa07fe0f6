"""Which sampler walks in a latent space, and whether it can."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import ArgumentError
from ..optim import SAMPLERS, ByLatents, ChainOptimizer, SamplerSpec
from .latents import LatentSpace
from .posterior import Posterior

__all__ = ["chosen_sampler", "seated_sampler"]


def chosen_sampler(given: Any, noise_std: float | None, space: LatentSpace) -> SamplerSpec:
    """The sampler that was asked for, with all of its options; bad ones are seen at once.

    Args:
        given: what :meth:`..optim.SamplerSpec.of` takes; None = :class:`..optim.ByLatents`.
        noise_std: sigma of the posterior; None = the sampler's own.
        space: where it is to walk.

    Raises:
        ArgumentError: no such sampler, or an option out of range.
    """
    shapes = [part.shape for part in space.parts]
    try:
        spec = SamplerSpec.of(ByLatents if given is None else given, SAMPLERS, shapes)
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"`sampler`: {error}") from error
    if noise_std is None:
        return spec
    if not noise_std > 0:
        raise ArgumentError(f"`noise_std` is {noise_std}; it must be positive")
    try:
        return spec.with_noise_std(noise_std)
    except ValueError as error:
        raise ArgumentError(f"`noise_std`: {error}") from error


def seated_sampler(
    spec: SamplerSpec,
    chains: int,
    generator: str,
    u: nn.Parameter,
    posterior: Posterior,
    step_scale: float = 1.0,
) -> ChainOptimizer:
    """The sampler over some chains.

    Args:
        spec: which sampler.
        chains: neighbouring rows a picture.
        generator: its name, for messages.
        u: (N, D), the chains.
        posterior: that they walk in.
        step_scale: all steps are so many times as large.

    Raises:
        ArgumentError: an option does not fit the chains, or the sampler needs a generator that answers the
            same for the same latents, and this one does not.
    """
    try:
        optimizer = spec([posterior.group(u, chains)])
    except ValueError as error:
        raise ArgumentError(f"`sampler`: {error}") from error
    if step_scale != 1:
        optimizer.scale_step(step_scale)
    if posterior.deterministic or not (optimizer.exact or optimizer.stops):
        return optimizer
    kind = "is exact" if optimizer.exact else "stops by the energy"
    if not getattr(posterior.space.generator, "deterministic", True):
        raise ArgumentError(
            f"`sampler` {spec.name} {kind}, and {generator} gives other pictures when called again with "
            "the same latents: write a class whose forward keeps its noise constant, or take `sampler` plugin"
        )
    raise ArgumentError(
        f"`sampler` {spec.name} {kind} and needs a generator that answers the same for the same latents: "
        "add +noise to `latents`, or set `noise_inputs` const"
    )
