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
from lightning_inpaint.optim import MAP, PluginDiffusion
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


@pytest.mark.parametrize("sampler", [PluginDiffusion, MAP])
def test_walks(device, sampler):
    generator = small().requires_grad_(False)
    wanted = walked(sampler, 10, torch.device("cpu"), generator)
    found = walked(sampler, 10, device, generator)
    assert relative(found.latents, wanted.latents) < 1e-3
    assert relative(found.energy, wanted.energy) < 1e-3


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
