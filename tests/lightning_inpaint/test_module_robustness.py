"""Chains that go astray, batches too large for memory, chains that disagree."""

import re
import warnings

import pytest
import torch

from lightning_inpaint import LatentInpainter
from lightning_inpaint.inference.agreement import agreement
from lightning_inpaint.inference.memory import BatchSplitter, is_out_of_memory
from lightning_inpaint.inference.restarts import shell_limit
from lightning_inpaint.optim import (
    HMC,
    MAP,
    AnnealedHMC,
    Diffusion,
    Langevin,
    Particles,
    PluginDiffusion,
)


def batch_of(pictures, channels, names=None):
    """Noise pictures of 8x8, right half hidden; the same picture for the same name."""
    names = list(names or (f"p{i}" for i in range(pictures)))
    images = [
        torch.randint(
            0, 256, (channels, 8, 8), generator=torch.Generator().manual_seed(sum(n.encode()))
        )
        for n in names
    ]
    mask = torch.zeros(len(names), 1, 8, 8)
    mask[..., 4:] = 1
    label = torch.tensor([sum(n.encode()) % 3 for n in names])
    return {"image": torch.stack(images).byte(), "mask": mask, "label": label, "id": names}


def inpainter(generator, **options):
    return LatentInpainter(
        generator, **{"sampler": lambda p: PluginDiffusion(p, steps=8), **options}
    )


class Hilly(torch.nn.Module):
    """A small map of z alone that answers for ``most`` rows at once and no more."""

    z_dim, num_classes, resolution, img_channels = 6, 0, 8, 1

    def __init__(self, most=1000, error=None):
        super().__init__()
        weight = torch.linspace(-9, 9, 6 * 64).sin().view(6, 64)
        self.register_buffer("weight", weight)
        self.most, self.error, self.asked = most, error, []

    def forward(self, z, labels=None):
        self.asked.append(len(z))
        if len(z) > self.most:
            raise self.error
        pictures = (z[:, :, None] * self.weight).sum(dim=1).tanh()
        return pictures.view(-1, 1, 8, 8)


CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 0 bytes.")
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
    "to allocate 80000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "words"), [(CUDA, "CUDA out of memory"), (CPU, "80000000 bytes")]
)
def test_a_batch_too_large_for_memory_is_completed_in_parts(error, words):
    whole = inpainter(Hilly(), chains=2).predict_step(batch_of(7, 1))
    module = inpainter(Hilly(6, error), chains=2)
    with pytest.warns(UserWarning, match=r"`data\.batch_size=4`") as seen:
        parts = module.predict_step(batch_of(7, 1))
    (said,) = [str(w.message) for w in seen if w.category is UserWarning]
    assert words in said
    assert parts.id == whole.id
    for name in ("latents", "energy", "trace", "psnr", "first_energy"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-6, atol=1e-6)
    assert torch.equal(parts.composite, whole.composite)
    assert torch.equal(parts.chain, whole.chain)
    assert parts.status == whole.status
    assert parts.diagnostics.keys() == whole.diagnostics.keys()
    assert not module.failures
    module.generator.asked.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.predict_step(batch_of(7, 1))
    assert max(module.generator.asked) <= 6  # the size that fits is remembered


def test_a_picture_that_does_not_fit_alone_is_listed_and_the_job_goes_on():
    class OneIsTooLarge(Hilly):
        below = None  # not yet: it is tried out with two rows

        def forward(self, z, labels=None):
            pictures = super().forward(z)
            if self.below is not None and (len(z) > 1 or bool((z[0, 0] < self.below).all())):
                raise CPU
            return pictures

    module = inpainter(OneIsTooLarge(), sampler=lambda p: MAP(p, steps=1, lr=1e-3))
    starts = inpainter(Hilly(), sampler=lambda p: MAP(p, steps=1, lr=1e-6))
    first = starts.predict_step(batch_of(3, 1)).latents[:, 0, 0]
    module.generator.below = float(first.min()) + 0.05
    with pytest.warns(UserWarning, match="alone"):
        result = module.predict_step(batch_of(3, 1))
    lost = f"p{int(first.argmin())}"
    assert sorted([*result.id, lost]) == ["p0", "p1", "p2"]
    assert [name for name, _ in module.failures] == [lost]
    assert "lower `chains`" in module.failures[0][1]
    module.generator.below = float("inf")
    with pytest.warns(UserWarning, match="alone"):
        assert module.predict_step(batch_of(1, 1)) is None


def test_other_errors_are_not_taken_for_memory():
    broken = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(broken)
    network = Hilly(error=broken)
    module = inpainter(network)
    network.most = 0
    with pytest.raises(RuntimeError, match="mat1"):
        module.predict_step(batch_of(2, 1))
    assert BatchSplitter().fits is None


class Careless(PluginDiffusion):
    """Loses the chain ``lost`` until its steps are a quarter; notes its step scales."""

    scales = ()

    def scale_step(self, factor):
        type(self).scales += (factor,)
        super().scale_step(factor)

    def step(self, closure):
        energy = super().step(closure)
        if not hasattr(self, "rows"):
            self.rows = slice(None) if self.scales else slice(self.lost, self.lost + 1)
        late = self.step_count == self.steps
        if late and (not self.scales or self.scales[-1] > self.careful):
            self.latents.data[self.rows] *= self.factor
        return energy


@pytest.mark.parametrize("factor", [float("nan"), 1e4])
def test_a_chain_that_goes_astray_starts_again_with_smaller_steps(factor):
    class Sampler(Careless):
        scales, careful, lost = (), 0.25, 2

    Sampler.factor = factor
    module = inpainter(Hilly(), sampler=lambda p: Sampler(p, steps=5))
    result = module.predict_step(batch_of(3, 1))
    assert Sampler.scales == (0.5, 0.25)
    assert result.status == [["ok"], ["ok"], ["restarted"]]
    assert result.energy.isfinite().all()
    assert (result.diagnostics["u2_over_d"] < shell_limit(6)).all()
    others = inpainter(Hilly(), sampler=lambda p: PluginDiffusion(p, steps=5)).predict_step(
        batch_of(3, 1)
    )
    torch.testing.assert_close(result.latents[:2], others.latents[:2])


@pytest.mark.parametrize(
    ("factor", "reason"), [(float("nan"), "not finite"), (1e4, r"the prior's shell \(\|u\|")]
)
def test_after_three_attempts_it_has_failed(factor, reason):
    class Sampler(Careless):
        scales, careful, lost = (), 0.0, 1

    Sampler.factor = factor
    result = inpainter(Hilly(), sampler=lambda p: Sampler(p, steps=5)).predict_step(batch_of(2, 1))
    assert Sampler.scales == (0.5, 0.25, 0.125)
    assert result.status[0] == ["ok"]
    assert re.match(f"failed: .*{reason}", result.status[1][0])


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (PluginDiffusion, {}),
        (Diffusion, {}),
        (Langevin, {"preconditioner": "none"}),
        (MAP, {}),
        (HMC, {"preconditioner": "none", "leapfrog": 1}),
        (AnnealedHMC, {"preconditioner": "none", "warm_up": 3}),
    ],
)
def test_every_sampler_takes_smaller_steps_when_told(sampler, options):
    """The first step's length over that of a full one: a half or its square root, never more."""

    def first_step(factor):
        u = torch.nn.Parameter(torch.linspace(-1, 1, 40).view(2, 20))
        before = u.detach().clone()
        made = sampler([u], steps=5, **options)
        made.scale_step(factor)

        def closure():
            u.grad = 0.1 * u.detach()
            return u.detach().square().sum(dim=1) / 20

        made.step(closure)
        return float((u.detach() - before).norm())

    assert 0 < first_step(0.25) < 0.8 * first_step(1.0)


def test_particles_of_one_picture_never_become_those_of_another():
    module = inpainter(
        Hilly(), chains=4, sampler=lambda p: Particles(p, steps=5, preconditioner="none")
    )
    both = module.predict_step(batch_of(2, 1))
    alone = module.predict_step(batch_of(1, 1, ["p1"]))
    torch.testing.assert_close(both.latents[1], alone.latents[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(Exception, match="must divide the 4 chains"):
        inpainter(
            Hilly(),
            chains=4,
            sampler=lambda p: Particles(
                p, steps=5, particles=3 if len(p[0]["params"][0]) > 1 else 1
            ),
        ).predict_step(batch_of(3, 1))


def draws_of(pictures=2, chains=4, length=40, cells=6, apart=0.0):
    random = torch.Generator().manual_seed(3)
    draws = torch.randn(length, pictures, chains, cells, generator=random)
    draws[:, 1, 0] += apart
    return draws.flatten(1, 2)


def test_disagreement_is_seen_picture_by_picture():
    same = agreement(draws_of(), 4)
    assert (same["rhat"] < 1.1).all()
    assert (same["ess"] > 60).all()
    apart = agreement(draws_of(apart=3.0), 4)
    assert (apart["rhat"][:4] < 1.1).all()
    assert (apart["rhat"][4:] > 1.3).all()
    assert (apart["ess"][4:] < 40).all()
    assert agreement(torch.ones(20, 8, 3), 4)["rhat"].isnan().all()
    frozen = torch.arange(8.0)[None, :, None].expand(20, -1, 3).contiguous()
    assert (agreement(frozen, 4)["rhat"] == 100).all()


def test_chains_of_an_exact_sampler_come_with_rhat_and_sample_size():
    def sampler(p):
        return HMC(p, steps=40, leapfrog=2, noise_std=0.5, preconditioner="none")

    several = inpainter(Hilly(), chains=3, sampler=sampler).predict_step(batch_of(2, 1))
    rhat, ess = several.diagnostics["rhat"], several.diagnostics["ess"]
    assert rhat.shape == ess.shape == (2, 3)
    assert (rhat[:, :1] == rhat).all()
    assert (rhat > 0.9).all()
    assert (ess > 0).all()
    one = inpainter(Hilly(), chains=1, sampler=sampler).predict_step(batch_of(2, 1))
    assert "rhat" not in one.diagnostics
    assert "rhat" not in inpainter(Hilly(), chains=3).predict_step(batch_of(2, 1)).diagnostics
