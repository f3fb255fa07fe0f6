"""Compiled latent spaces: static shapes, CUDA graphs on a GPU, eager where nothing can compile."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .latents import LatentSpace, NoiseSource

__all__ = ["CompiledSpace", "missing_compiler"]

log = logging.getLogger(__name__)


def missing_compiler(device: torch.device) -> str | None:
    """What ``torch.compile`` lacks on this machine, as a clause; None where nothing is missing."""
    wanted = os.environ.get("CXX")
    if not any(shutil.which(c) for c in ([wanted] if wanted else ["g++", "clang++", "c++"])):
        return "there is no C++ compiler (set CXX, or install g++)"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "the triton package is not installed"
    return None


class _FreshGradient(torch.autograd.Function):
    """A copy; its gradient too lies in memory of its own, which no CUDA graph overwrites."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        return u.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad.clone()


class CompiledSpace:
    """A :class:`LatentSpace` behind ``torch.compile``, called in its place.

    Compiled on the first call for its number of rows. Fewer rows later, as in the last batch, are
    filled up with zeros that are cut off again, so that nothing is compiled twice; rows do not
    influence each other. Noise maps are drawn before the call; calls without gradients, a few per walk,
    are eager, which halves the compiling. On a GPU the graph is recorded
    (``mode="reduce-overhead"``), and results are copied out of the recording's memory. Where no
    compiler is found, or compiling fails, one line is logged and calls are eager.

    Args:
        space: a latent space with a frozen generator.
        options: further options of ``torch.compile``, in place of those above.
    """

    def __init__(self, space: LatentSpace, **options: Any) -> None:
        self.space, self.options = space, options
        self.sizes: set[int] = set()
        self.eager = False
        self._compiled: Any = None

    def __call__(
        self, u: Tensor, labels: Tensor | None = None, noise: NoiseSource | str | None = None
    ) -> Tensor:
        """Pictures (N, C, H, W); see :meth:`LatentSpace.forward`."""
        if self._compiled is None and not self.eager:
            self._start(u.device)
        if self.eager or not torch.is_grad_enabled():
            return self.space(u, labels, noise)
        if not callable(noise):
            return self._static(u, labels, None, noise)
        if not self.space.noise_values:
            return self._static(u, labels, None, None)
        return self._static(u, labels, noise(self.space.noise_values), None)

    def _start(self, device: torch.device) -> None:
        missing = missing_compiler(device)
        if missing is not None:
            return self._give_up(missing)
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        options = {"mode": mode, "dynamic": False, **self.options}
        self._compiled = torch.compile(self._plain, **options)

    def _give_up(self, reason: str) -> None:
        log.warning("--model.compile: running without compilation, %s", reason)
        self.eager, self._compiled = True, None

    def _plain(
        self, u: Tensor, labels: Tensor | None, maps: Tensor | None, noise: str | None
    ) -> Tensor:
        return self.space(u, labels, noise if maps is None else lambda values: maps)

    def _static(
        self, u: Tensor, labels: Tensor | None, maps: Tensor | None, noise: str | None
    ) -> Tensor:
        """One call at a known number of rows."""
        n = len(u)
        size = min((s for s in self.sizes if s >= n), default=n)
        rows = size - n
        full = F.pad(_FreshGradient.apply(u), (0, 0, 0, rows)) if rows else _FreshGradient.apply(u)
        if rows:
            labels = None if labels is None else F.pad(labels, (0, rows))
            maps = None if maps is None else F.pad(maps, (0, 0, 0, rows))
        if hasattr(self.space.generator, "prepare"):
            self.space.generator.prepare()
        if u.is_cuda:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            pictures = self._compiled(full, labels, maps, noise)
        except torch._dynamo.exc.TorchDynamoException as error:
            self._give_up(f"it failed with {type(error).__name__}: {str(error).splitlines()[0]}")
            return self.space(u, labels if labels is None else labels[:n], _given(maps, n, noise))
        self.sizes.add(size)
        return pictures[:n].clone()


def _given(maps: Tensor | None, rows: int, noise: str | None) -> NoiseSource | str | None:
    return noise if maps is None else lambda values: maps[:rows]
