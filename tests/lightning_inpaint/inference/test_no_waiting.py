"""Nothing in the step loop reads a value back from the device, which would wait for it."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.inference.walk import walk
from lightning_inpaint.noise import ChainStreams
from lightning_inpaint.optim import SAMPLERS

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")


class Waits(TorchDispatchMode):
    """Notes operations whose result the host has to know."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        boolean = name.startswith("index") and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool
            for i in (args[1] if isinstance(args[1], list) else ())
        )
        if name in WAITING or boolean:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_the_probe_sees_reading():
    with Waits() as waits:
        x = torch.ones(3)
        float(x.sum())
        bool((x > 0).all())
        x[x > 0]
        x.nonzero()
    assert len(waits.seen) >= 4


@pytest.mark.parametrize("noise", ["const", "random"])
@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"search"}))  # it asks who still tries
def test_no_step_waits(name, noise, tiny_generator):
    space = LatentSpace(tiny_generator, "z+noise" if noise == "const" else "z")
    n, seen = 4, []
    streams = ChainStreams.grid(0, [str(i) for i in range(n)], 1)
    known = torch.ones(n, 1, 8, 8)
    known[..., 4:] = 0
    evidence = Observation(torch.zeros(n, 3, 8, 8), known, torch.arange(n) % 3)
    posterior = Posterior(space, evidence, streams, noise)
    options = {"warm_up": 3} if name == "annealed_hmc" else {}

    def sampler(u, seated):
        return SAMPLERS[name]([seated.group(u)], steps=6, **options)

    with Waits() as waits:
        walk(posterior, sampler, report=lambda step, *rest: seen.append(step), every=2)
    assert seen == [2, 4, 6]
    assert waits.seen == []


def test_chains_that_stop_are_not_waited_for(tiny_generator):
    space, n, steps = LatentSpace(tiny_generator, "z+noise"), 6, 5
    streams = ChainStreams.grid(0, [str(i) for i in range(n)], 1)
    known = torch.ones(n, 1, 8, 8)
    evidence = Observation(torch.zeros(n, 3, 8, 8), known, torch.arange(n) % 3)
    posterior = Posterior(space, evidence, streams, "const")

    def sampler(u, seated):
        return SAMPLERS["map"]([seated.group(u)], steps=steps, stop_psnr=99.0)

    with Waits() as waits:
        walked = walk(posterior, sampler, slots=2, every=2)
    assert waits.seen == []
    assert (walked.diagnostics["gradient_evaluations"] == steps).all()
