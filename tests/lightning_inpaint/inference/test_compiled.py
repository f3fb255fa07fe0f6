"""Compiled steps through the module: with an unknown sigma and with a discrepancy, the same as eager ones."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from lightning_inpaint import Completions, LatentInpainter
from lightning_inpaint.inference.compilation import StepCompiler

STEPS = {
    "annealed_hmc": {"steps": 8, "warm_up": 4},
    "langevin": {"steps": 6},
    "map": {"steps": 10},
    "search": {"steps": 61, "descent": 20, "newton": 8, "rounds": 1},
}
AUTO, FIELD = {"noise_std": "auto"}, {"noise_std": 0.1, "discrepancy": 0.3}


class Own(nn.Module):
    """Three latents to 8x8 pictures in colour: little to trace."""

    z_dim, img_channels, img_resolution = 3, 3, 8

    def __init__(self) -> None:
        super().__init__()
        gen = torch.Generator().manual_seed(1)
        self.mix = nn.Parameter(torch.randn(3, 192, generator=gen) / 4)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z @ self.mix).view(-1, 3, 8, 8)


def completed(sampler: str, **options) -> tuple[list[Completions], LatentInpainter]:
    """A batch of three pictures and one of a single one, which compiled steps fill up."""
    gen = torch.Generator().manual_seed(5)
    image = torch.randint(0, 256, (3, 3, 8, 8), generator=gen).byte()
    mask = torch.zeros(3, 1, 8, 8)
    mask[..., 4:] = 1
    batch = {"image": image, "mask": mask, "id": ["a", "b", "c"]}
    chosen = {"class_path": sampler, "init_args": STEPS[sampler]}
    module = LatentInpainter(
        Own(), value_range=[-1.0, 1.0], sampler=chosen, chains=2, seed=1, **options
    )
    parts = [module.predict_step(batch), module.predict_step({k: v[:1] for k, v in batch.items()})]
    return [part for part in parts if part is not None], module


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("annealed_hmc", AUTO),
        ("langevin", AUTO),
        ("map", AUTO),
        ("annealed_hmc", FIELD),
        ("langevin", FIELD),
        ("search", FIELD),
    ],
)
def test_compiled_runs_are_the_eager_ones(monkeypatch, sampler, options):
    """To rounding: latents to 1e-3, energies to one part in 10^4, pictures to one grey level."""
    monkeypatch.setattr(
        "lightning_inpaint.inference.speed.StepCompiler", partial(StepCompiler, backend="eager")
    )
    eager, _ = completed(sampler, compile=False, **options)
    compiled, module = completed(sampler, compile=True, **options)
    assert module._speed._compiler is not None
    assert module._speed._compiler.graphs
    assert not module._speed._compiler.eager
    for one, other in zip(compiled, eager, strict=True):
        torch.testing.assert_close(one.latents, other.latents, rtol=0, atol=1e-3)
        torch.testing.assert_close(one.energy, other.energy, rtol=1e-4, atol=0)
        assert (one.raw.int() - other.raw.int()).abs().max() <= 1
        assert one.diagnostics.keys() == other.diagnostics.keys()
