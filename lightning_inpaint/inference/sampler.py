"""Which sampler walks in a latent space, and whether it can."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from ..errors import ArgumentError
from ..optim import SAMPLERS, AnnealedHMC, ByLatents, ChainOptimizer, SamplerSpec
from .latents import LatentSpace
from .posterior import Posterior

__all__ = ["NoiseStd", "chosen_sampler", "seated_sampler"]


NoiseStd = float | Literal["auto"]


def chosen_sampler(given: Any, noise_std: NoiseStd | None, space: LatentSpace) -> SamplerSpec:
    """The sampler that was asked for, with all of its options; bad ones are seen at once.

    Args:
        given: what :meth:`..optim.SamplerSpec.of` takes; None = :class:`..optim.ByLatents`, and AnnealedHMC
            where sigma is unknown.
        noise_std: sigma of the posterior; auto = it is unknown; None = the sampler's own.
        space: where it is to walk.

    Raises:
        ArgumentError: no such sampler, or an option out of range, or a sampler that has to know sigma.
    """
    shapes = [part.shape for part in space.parts]
    if given is None:
        given = AnnealedHMC if noise_std == "auto" else ByLatents
    try:
        spec = SamplerSpec.of(given, SAMPLERS, shapes)
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"`sampler`: {error}") from error
    if noise_std is None:
        return spec
    if noise_std == "auto":
        if spec.needs_std:
            why = " with stop_psnr" if spec.stops else ""
            raise ArgumentError(
                f"`noise_std` is auto, and the sampler {spec.name}{why} has to know it: give a number, or "
                "take `sampler` annealed_hmc, hmc, langevin, map or slice"
            )
        return spec
    if isinstance(noise_std, str):
        raise ArgumentError(f"`noise_std` is {noise_std!r}; it must be a positive number, or auto")
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
