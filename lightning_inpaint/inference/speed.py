"""What makes a job faster without being asked for: bfloat16 convolutions, compiled steps.

Both change the last digits of a walk, so nothing here is timed while a job runs: the same job on the same
machine is always decided alike. What was measured beforehand is in the constants (``benchmarks/speed.py``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from ..errors import ArgumentError, worded
from ..generators.stylegan2 import StyleGAN2Generator
from ..optim import SamplerSpec
from .compilation import StepCompiler, missing_compiler
from .posterior import Precision

__all__ = [
    "AskedCompile",
    "AskedPrecision",
    "Job",
    "Speed",
    "SpeedChoice",
    "compile_pays_from",
    "has_bfloat16",
]

AskedPrecision = Literal["auto", "float32", "bfloat16"]
AskedCompile = Literal["auto"] | bool

WIDE = (
    64  # channels of a layer from which half the factors' bytes show; narrower ones gained nothing
)
COMPILING = 12.0  # seconds for a convolution layer with its gradient, in both types
SAVED_A_FEATURE = 3e-9  # seconds of a core: passes over memory, and what Python does between them
SAVED_A_LAUNCH = 1e-4  # seconds for a layer on a GPU, whose eager kernels wait for Python


class Speed(NamedTuple):
    """What was decided.

    Attributes:
        precision: of the convolutions where the sampler tolerates rough gradients.
        compile: whether steps are compiled.
        line: both, and why.
    """

    precision: Precision
    compile: bool
    line: str


class Job(NamedTuple):
    """How much there is to do.

    Attributes:
        pictures: of the whole job, finished ones included; None = nobody knows.
        batch: pictures at a time.
        devices: that share them.
    """

    pictures: int | None = None
    batch: int = 1
    devices: int = 1

    @classmethod
    def of(cls, trainer: Any) -> Job:
        """That of a trainer; shards and processes of a job on CPUs are one job."""
        data = getattr(trainer, "datamodule", None)
        ids, whole = getattr(data, "ids", None), getattr(data, "whole", None)
        if not ids or not whole or data is None:
            return cls()
        size = data.block_size(trainer.world_size)
        return cls(len(ids), max(int(size), 1), trainer.world_size)


def has_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 run on instructions of their own: AVX-512 or AMX, or a GPU's."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    found: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def compile_pays_from(network: StyleGAN2Generator, device: torch.device) -> int:
    """Gradient evaluations from which compiling saves more than it costs; on a GPU, of a whole batch each.

    Compiling costs so much a layer. On a CPU it saves passes over memory, so much a feature value, on all
    cores at once; on a GPU it saves the launches of kernels, so much a layer whatever its size.
    """
    layers = network.synthesis.convolutions
    cost = COMPILING * len(layers)
    if device.type != "cpu":
        return round(cost / (SAVED_A_LAUNCH * len(layers)))
    features = sum(len(layer.weight) * layer.resolution**2 for layer in layers)
    return round(cost * (os.cpu_count() or 1) / (SAVED_A_FEATURE * features))


class SpeedChoice:
    """Decides where ``auto`` is asked for, and keeps the compiled steps.

    Args:
        precision: that is asked for.
        compile: likewise.
        recompute: features are made again for the gradient, which compiled steps do not.

    Attributes:
        begun: what an earlier start of the same job has decided; it goes on so.

    Raises:
        ArgumentError: there is no such choice, or it has no effect.
    """

    def __init__(self, precision: AskedPrecision, compile: AskedCompile, recompute: bool) -> None:
        if precision not in ("auto", "float32", "bfloat16"):
            raise ArgumentError(
                f"`precision` is {precision!r}; it must be auto, float32 or bfloat16"
            )
        if compile not in ("auto", True, False):
            raise ArgumentError(f"`compile` is {compile!r}; it must be auto, true or false")
        if compile is True and recompute:
            raise ArgumentError(
                "`recompute` has no effect in compiled steps: leave it or `compile` out."
            )
        self.precision, self.compile, self.recompute = precision, compile, recompute
        self.begun: tuple[Precision, bool] | None = None
        self._compiler: StepCompiler | None = None

    def compiler(self, speed: Speed) -> StepCompiler | None:
        """The one for all batches; None where nothing is compiled."""
        if speed.compile and self._compiler is None:
            self._compiler = StepCompiler()
        return self._compiler if speed.compile else None

    def made(
        self, network: nn.Module, sampler: SamplerSpec, chains: int, device: torch.device, job: Job
    ) -> Speed:
        """The decision.

        Args:
            network: the generator.
            sampler: that walks.
            chains: completions per picture.
            device: where.
            job: how much of it.
        """
        precision, why = self._precision(network, sampler, device)
        compiled, because = self._compiled(network, sampler, chains, device, job)
        verb = "compiled" if compiled else "not compiled"
        return Speed(precision, compiled, f"{precision} convolutions ({why}), {verb} ({because})")

    def _precision(
        self, network: nn.Module, sampler: SamplerSpec, device: torch.device
    ) -> tuple[Precision, str]:
        if self.precision != "auto":
            return self.precision, worded(f"`precision={self.precision}`")
        if self.begun is not None:
            return self.begun[0], "as this run was begun"
        if not isinstance(network, StyleGAN2Generator):
            return "float32", "bfloat16 is for StyleGAN2 networks"
        if sampler.exact:
            return "float32", f"{sampler.name} tests or weighs energies"
        if sampler.draws_from is not None or not sampler.tolerant:
            return "float32", f"what {sampler.name} draws would feel the rounding"
        if max(len(layer.weight) for layer in network.synthesis.convolutions) < WIDE:
            return "float32", f"layers of fewer than {WIDE} channels gain nothing by bfloat16"
        where = "this processor" if device.type == "cpu" else "this device"
        if not has_bfloat16(device):
            return "float32", f"{where} has no bfloat16"
        return "bfloat16", f"{where} has them, and no Metropolis test follows"

    def _compiled(
        self,
        network: nn.Module,
        sampler: SamplerSpec,
        chains: int,
        device: torch.device,
        job: Job,
    ) -> tuple[bool, str]:
        if self.compile != "auto":
            return self.compile, worded(f"`compile={str(self.compile).lower()}`")
        if self.begun is not None:
            return self.begun[1], "as this run was begun"
        if not isinstance(network, StyleGAN2Generator):
            return False, worded("`compile=true` does it for networks other than StyleGAN2")
        if self.recompute:
            return False, worded("`recompute` would have no effect")
        if device.type not in ("cpu", "cuda"):
            return False, f"not tried on {device.type}"
        if job.pictures is None:
            return False, "nobody knows how long the job is"
        work, least = sampler.evaluations, compile_pays_from(network, device)
        if device.type == "cpu":
            work *= job.pictures * chains
        else:
            work *= -(-job.pictures // (job.batch * job.devices))
        counted = f"{work:,} evaluations{'' if device.type == 'cpu' else ' of a batch'}"
        if work < least:
            return False, f"{counted}; it pays from {least:,} on"
        missing = missing_compiler(device)
        return (False, missing) if missing else (True, f"{counted}; a minute or two to begin with")
