"""Compiled steps: one static graph each, CUDA graphs on a GPU, eager where nothing can compile."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from ..errors import worded
from ..noise import ChainStreams, Purpose
from .memory import is_out_of_memory

__all__ = ["CompiledStreams", "StepCompiler", "missing_compiler"]

log = logging.getLogger(__name__)

Step = Callable[..., tuple[Tensor, ...]]


def missing_compiler(device: torch.device) -> str | None:
    """What ``torch.compile`` lacks on this machine, as a clause; None where nothing is missing."""
    wanted = os.environ.get("CXX")
    if not any(shutil.which(c) for c in ([wanted] if wanted else ["g++", "clang++", "c++"])):
        return "there is no C++ compiler (set CXX, or install g++)"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "the triton package is not installed"
    return None


class StepCompiler:
    """Compiles functions of a batch's rows, gradients inside them included, as one graph each.

    A function is traced with ``make_fx``, through its backward passes, so that energy, gradient, clip,
    noise and update become a single graph without an autograd engine, which ``torch.compile`` takes.
    It is compiled on the first call for its number of rows. Fewer rows later, as in the last batch,
    are filled up with zeros that are cut off again; rows must not influence each other. On a GPU the
    graph is recorded (``mode="reduce-overhead"``), and results are copied out of the recording's
    memory. Where no compiler is found, or tracing or compiling fails, one line is logged and all calls
    are eager.

    Args:
        options: further options of ``torch.compile``, in place of those above.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.eager = False
        self.graphs: dict[Hashable, dict[int, Step]] = {}

    def __call__(
        self,
        key: Hashable,
        function: Step,
        rows: Sequence[Tensor],
        numbers: Sequence[float | Tensor] = (),
        prepare: Callable[[], None] | None = None,
    ) -> tuple[Tensor, ...]:
        """``function(*rows, *numbers)``, compiled.

        Args:
            key: names the function and everything it depends on beside its arguments.
            function: pure, of tensors, to tensors of as many rows; eager calls give it plain numbers.
            rows: (N, ...) each, on one device.
            numbers: the same for all rows; they may differ from call to call.
            prepare: called before tracing; what it leaves in caches is a constant of the graph.
        """
        device, n = rows[0].device, len(rows[0])
        missing = None if self.eager or self.graphs else missing_compiler(device)
        if missing is not None:
            self._give_up(missing)
        if self.eager:
            return function(*rows, *numbers)
        sizes = self.graphs.setdefault((key, device), {})
        size = min((s for s in sizes if s >= n), default=n)
        given = [_filled(x, size - n) for x in rows] + [_number(x, device) for x in numbers]
        if device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        try:
            if size not in sizes:
                if prepare is not None:
                    prepare()
                sizes[size] = self._traced(function, given, device)
            found = sizes[size](*given)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            lines = str(error).splitlines() or [""]
            self._give_up(f"it failed with {type(error).__name__}: {lines[0]}")
            return function(*rows, *numbers)
        # A recording's next run writes to the same memory.
        return tuple(x[:n] if device.type == "cpu" else x[:n].clone() for x in found)

    def _traced(self, function: Step, given: list[Tensor], device: torch.device) -> Step:
        options: dict[str, Any] = {"dynamic": False, **self.options}
        if "backend" not in options:  # others than inductor know neither
            # On a CPU the calls of the kernels are compiled too: a few per cent of a small batch's step.
            on_cpu = device.type == "cpu"
            key, value = (
                ("options", {"cpp_wrapper": True}) if on_cpu else ("mode", "reduce-overhead")
            )
            options.setdefault(key, value)
        with torch.enable_grad():
            graph = make_fx(function)(*given)
        compiled = torch.compile(graph, **options)
        return torch.no_grad()(compiled)

    def _give_up(self, reason: str) -> None:
        log.warning(worded("`compile`: running without compilation, %s"), reason)
        self.eager = True
        self.graphs.clear()


class CompiledStreams(ChainStreams):
    """The same random streams, whose normal numbers one graph makes in one pass over memory.

    Args:
        streams: of the chains.
        compiler: makes and keeps the graphs.
    """

    def __init__(self, streams: ChainStreams, compiler: StepCompiler) -> None:
        self.names, self.compiler = streams.names, compiler

    def normal(
        self,
        draw: int | Tensor,
        count: int,
        purpose: Purpose = Purpose.STEP,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """See :meth:`.noise.ChainStreams.normal`."""

        def make(names: Tensor, number: int | Tensor) -> tuple[Tensor]:
            return (ChainStreams.of_names(names).normal(number, count, purpose, dtype),)

        key = ("normal", count, purpose, dtype)
        return self.compiler(key, make, [self.names], [draw])[0]


def _filled(x: Tensor, rows: int) -> Tensor:
    return F.pad(x, (0, 0) * (x.ndim - 1) + (0, rows)) if rows else x


def _number(x: float | Tensor, device: torch.device) -> Tensor:
    if isinstance(x, Tensor):
        return x
    kind = torch.int64 if isinstance(x, int) else torch.float64
    # Filled on the device: copying a number there would wait.
    return torch.full((), x, dtype=kind, device=device)
