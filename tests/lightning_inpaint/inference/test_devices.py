"""Every fast path on a device against the plain one on the CPU; the CPU rehearses what a GPU must pass."""

import copy

import pytest
import torch

from lightning_inpaint import LatentInpainter
from lightning_inpaint.generators import save_generator
from lightning_inpaint.inference.compilation import StepCompiler, missing_compiler
from lightning_inpaint.inference.float32 import whole_float32
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.inference.walk import walk
from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import (
    HMC,
    MAP,
    AnnealedHMC,
    Diffusion,
    EllipticalSlice,
    Langevin,
    Particles,
    PluginDiffusion,
    Search,
)
from lightning_inpaint.optim.gauss_newton import descend
from lightning_inpaint.steady import elementwise, product
from lightning_inpaint.training.matching import EnergyDistance
from tests.lightning_inpaint.inference.test_fast_paths import small

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, GPU])])
def device(request):
    """Where the fast path runs."""
    with whole_float32():
        yield torch.device(request.param)


def relative(one, other):
    return float((one.cpu().double() - other.double()).norm() / other.double().norm())


def posterior_on(device, generator, n=4, noise="random", compiler=None, latents="z"):
    """The posterior of n made-up pictures, left half known, and starts that are the same everywhere."""
    space = LatentSpace(copy.deepcopy(generator).to(device), latents)
    streams = ChainStreams.grid(5, [str(i) for i in range(n)], 1, device)
    side = generator.resolution
    target = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    known = torch.ones(n, 1, side, side)
    known[..., side // 2 :] = 0
    labels = torch.arange(n) % generator.num_classes
    evidence = Observation(target.to(device), known.to(device), labels.to(device))
    start = torch.nn.Parameter(streams.normal(0, space.dim, Purpose.START))
    return Posterior(space, evidence, streams, noise, compiler), start


def walked(sampler, steps, *args, **options):
    posterior, _ = posterior_on(*args, **options)
    return walk(posterior, lambda u, seated: sampler([seated.group(u)], steps=steps))


@pytest.mark.parametrize("count", [1, 7, 512])
def test_streams_are_the_same_everywhere(device, count):
    names = (3, ["a", "b", "c"], 2)
    here, there = ChainStreams.grid(*names), ChainStreams.grid(*names, device)
    assert torch.equal(
        there.words(9, count, Purpose.STEP).cpu(), here.words(9, count, Purpose.STEP)
    )
    assert torch.equal(there.uniform(4, count).cpu(), here.uniform(4, count))
    numbers = [s.normal(2, count, dtype=torch.float64).cpu() for s in (there, here)]
    torch.testing.assert_close(*numbers, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", ["plain", "channels last", "fused"])
def test_frozen_generator(device, form):
    plain = small()
    z, labels = torch.randn(5, 16, dtype=torch.float64), torch.arange(5) % 3
    noise = [torch.randn(5, 1, *s, dtype=torch.float64) for s in plain.noise_shapes]
    with torch.no_grad():
        wanted = copy.deepcopy(plain).double()(z, labels, noise)
    fast = copy.deepcopy(plain).requires_grad_(False).to(device)
    if form != "plain":
        fast = fast.to(memory_format=torch.channels_last)
    fast.set_compute(None, fused=form == "fused")
    found = fast(z.float().to(device), labels.to(device), [x.float().to(device) for x in noise])
    assert relative(found, wanted) < 1e-5
    fast.set_compute(torch.bfloat16)
    found = fast(z.float().to(device), labels.to(device), [x.float().to(device) for x in noise])
    assert 1e-5 < relative(found, wanted) < 3e-2


@pytest.mark.parametrize("latents", ["z", "z+noise", "z+noise+slack", "w+"])
def test_energy_and_its_gradient(device, latents):
    values = []
    for where in (torch.device("cpu"), device):
        noise = "const" if "noise" in latents else "random"
        generator = small().requires_grad_(False)
        posterior, u = posterior_on(where, generator, noise=noise, latents=latents)
        energy = posterior.energy(u)
        values.append((energy.detach().cpu(), torch.autograd.grad(energy.sum(), u)[0].cpu()))
    (energy, slope), (found, found_slope) = values
    torch.testing.assert_close(found, energy, rtol=1e-5, atol=1e-4)
    assert relative(found_slope, slope) < 1e-4


@pytest.mark.parametrize("sampler", [PluginDiffusion, Diffusion, Langevin, MAP, EllipticalSlice])
def test_walks(device, sampler):
    generator, noise = small().requires_grad_(False), "const" if sampler.exact else "random"
    wanted = walked(sampler, 5, torch.device("cpu"), generator, noise=noise)
    found = walked(sampler, 5, device, generator, noise=noise)
    assert relative(found.latents, wanted.latents) < 1e-3
    assert relative(found.energy, wanted.energy) < 1e-3


@pytest.mark.parametrize("sampler", [HMC, AnnealedHMC, Particles, Search])
def test_trajectories_arrive_alike(device, sampler):
    """A test that is decided by rounding parts two chains for good: their energies compare."""
    options: dict[str, int] = {"steps": 12, "leapfrog": 3}
    if sampler is Search:
        options |= {
            "steps": 16,
            "trajectories": 4,
            "rounds": 1,
            "screen": 8,
            "descent": 8,
            "newton": 3,
        }
    elif sampler is AnnealedHMC:
        options["warm_up"] = 8
    energies = []
    for where in (torch.device("cpu"), device):
        posterior, start = posterior_on(where, small().requires_grad_(False), noise="const")

        def make(u, seated):
            return sampler([seated.group(u, 2)], **options)

        found = walk(posterior, make, together=2)
        assert found.finite.all()
        assert (found.energy < 0.9 * posterior.energy(start.detach()).mean()).all()
        energies.append(float(found.energy.mean()))
    assert energies[1] == pytest.approx(energies[0], rel=0.05)


def test_jacobian_and_damped_steps(device):
    ends = []
    for where in (torch.device("cpu"), device):
        posterior, u = posterior_on(where, small().requires_grad_(False), noise="const")
        std, damping = torch.tensor(0.5, device=where), torch.tensor(0.1, device=where)
        row = torch.tensor(1, device=where)
        found = descend(posterior.residual, u[1].detach(), row, std, damping)
        assert found.gain > 0
        ends.append(found.u.cpu())
    assert relative(ends[1], ends[0]) < 2e-2  # secants divide rounding by their width


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_products_and_functions_that_do_not_know_their_batch(device, rows):
    x, matrix, bias = torch.randn(rows, 33), torch.randn(33, 5), torch.randn(5)
    wanted = torch.addmm(bias.double(), x.double(), matrix.double(), beta=0.5, alpha=2.0)
    found = product(x.to(device), matrix.to(device), bias.to(device), beta=0.5, alpha=2.0)
    assert relative(found, wanted) < 1e-6
    assert relative(elementwise(torch.exp, x.to(device)), x.double().exp()) < 1e-6


def test_energy_distance(device):
    values = []
    for where in (torch.device("cpu"), device):
        memory = EnergyDistance(2, 32, memory=16, near=0.25).to(where)
        stream = torch.Generator().manual_seed(0)
        real, fake, shown = (torch.randn(24, 32, generator=stream).to(where) for _ in range(3))
        labels = (torch.arange(24) % 2).to(where)
        memory.remember(real, labels, real=True)
        memory.remember(fake, labels, real=False)
        shown.requires_grad_()
        distance = memory(shown, labels)
        values.append((distance.detach().cpu(), torch.autograd.grad(distance, shown)[0].cpu()))
    (distance, slope), (found, found_slope) = values
    torch.testing.assert_close(found, distance, rtol=1e-4, atol=1e-5)
    assert relative(found_slope, slope) < 1e-3


@pytest.mark.cuda
@GPU
def test_compiled_walks_with_fewer_rows_later():
    """A full batch, a smaller one and a full one again, through one compiler: recordings keep their shapes."""
    device = torch.device("cuda")
    lacking = missing_compiler(device)
    if lacking:
        pytest.skip(lacking)
    compiler, generator = StepCompiler(), small(8).requires_grad_(False)
    kept = []
    for n in (4, 3, 4):
        found = walked(PluginDiffusion, 4, device, generator, n=n, compiler=compiler)
        kept.append(found.latents)
        plain = walked(PluginDiffusion, 4, torch.device("cpu"), generator, n=n)
        assert relative(found.latents, plain.latents) < 1e-4
    assert not compiler.eager
    assert torch.equal(kept[0], kept[2])  # and the first was not written over


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_batch_from_module_to_completions(device, precision, tiny_generator, tmp_path):
    """What comes out lies on the CPU, wherever it was made, and its known pixels are the picture's own."""
    path = str(save_generator(tiny_generator, tmp_path / "tiny.safetensors"))
    image = torch.randint(0, 256, (3, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(3, 1, 8, 8)
    mask[..., 4:] = 1
    batch = {
        "image": image.to(torch.uint8),
        "mask": mask,
        "label": torch.arange(3),
        "id": ["a", "b", "c"],
        "index": torch.arange(3),
    }
    results = []
    for where in (torch.device("cpu"), device):
        module = LatentInpainter(path, chains=2, sampler=make_map, precision=precision).to(where)
        moved = {k: v.to(where) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        results.append(module.predict_step(moved))
    here, there = results
    assert there.composite.device.type == "cpu"
    kept = (mask == 0).expand(3, 3, 8, 8)[:, None].expand_as(there.composite)
    given = batch["image"][:, None].expand_as(there.composite)
    assert torch.equal(there.composite[kept], given[kept])
    assert relative(there.energy, here.energy) < (1e-3 if precision == "float32" else 0.2)


def make_map(params):
    return MAP(params, steps=8)
