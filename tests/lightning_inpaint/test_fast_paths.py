"""Every fast path against the plain one: the trainable form, eager, float32, contiguous."""

import copy
import logging
from functools import partial

import pytest
import torch

from lightning_inpaint import compilation
from lightning_inpaint.compilation import CompiledSpace, missing_compiler
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.latents import LatentSpace
from lightning_inpaint.likelihood import known_psnr
from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import MAP, AnnealedHMC, Seed
from lightning_inpaint.posterior import Evidence, Posterior
from lightning_inpaint.walk import walk

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(resolution=16, **channels):
    torch.manual_seed(0)
    options = {"channel_base": 256, "channel_max": 16, **channels}
    made = StyleGAN2Generator(16, 3, 16, resolution, mapping_layers=2, **options)
    for layer in made.synthesis.convolutions:
        layer.noise_strength.data.fill_(0.1)
    return made.eval()


def problem(space, n, compute=None, noise="random", seed=5):
    """The posterior of n pictures of the generator's own, left half known, and starts."""
    streams = ChainStreams.grid(seed, [str(i) for i in range(n)], 1)
    labels = torch.arange(n) % space.generator.num_classes
    with torch.no_grad():
        u = streams.normal(0, space.dim, Purpose.OBSERVATION)
        target = space(u, labels, "const").clamp(-1, 1)
    known = torch.ones(n, 1, *target.shape[2:])
    known[..., target.shape[3] // 2 :] = 0
    start = torch.nn.Parameter(streams.normal(0, space.dim, Purpose.START))
    return Posterior(space, Evidence(target, known, labels), streams, noise, compute), start


def twenty_steps(space, n=3, compute=None, noise="random"):
    """The seed's algorithm, cut short: latents, pictures, known-pixel PSNR."""
    posterior, u = problem(space, n, compute, noise)
    streams = posterior.streams
    optimizer = Seed([{"params": [u], "streams": streams}], steps=20)
    walked = walk(posterior, u, optimizer)
    channels = walked.pictures.shape[1]
    return walked, known_psnr(walked.energy, posterior.evidence.known, channels)


def relative(one, other):
    return float((one - other).norm() / other.norm())


@pytest.fixture(scope="module")
def plain():
    """A generator whose weights are trainable takes the plain operations."""
    return small()


@pytest.fixture(scope="module")
def expected(plain):
    return twenty_steps(LatentSpace(plain, "z"))[0].latents


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_frozen_paths_walk_alike(plain, expected, last, fused):
    fast = copy.deepcopy(plain).requires_grad_(False)
    if last:
        fast = fast.to(memory_format=torch.channels_last)
    fast.set_compute(None, fused=fused)
    assert relative(twenty_steps(LatentSpace(fast, "z"))[0].latents, expected) < 1e-4


def test_bfloat16_costs_little_known_pixel_error():
    """64 pictures, descent to the mode; in decibels of the mean error."""
    generator = small(8).requires_grad_(False).to(memory_format=torch.channels_last)
    figures = []
    for dtype in (None, torch.bfloat16):
        generator.set_compute(dtype)
        posterior, u = problem(LatentSpace(generator, "z+noise"), 64)
        walk(posterior, u, MAP([{"params": [u], "streams": posterior.streams}], steps=40))
        generator.set_compute(None)
        with torch.no_grad():
            energy = posterior.energy(u)
        figures.append(known_psnr(energy, posterior.evidence.known, 3).mean())
    assert figures[0] > 15
    assert abs(figures[0] - figures[1]) < 0.2
    assert figures[0] != figures[1]


@pytest.mark.parametrize(
    ("sampler", "rough"), [(MAP, 6), (partial(AnnealedHMC, warm_up=4, leapfrog=1), 3)]
)
def test_last_part_and_metropolis_ratios_are_float32(sampler, rough):
    generator = small(8).requires_grad_(False)
    space, seen = LatentSpace(generator, "z+noise"), []

    def compute(u, labels, noise):
        seen.append(generator.synthesis.b8.conv0.compute_dtype)
        return space(u, labels, noise)

    posterior, u = problem(space, 2)
    posterior = Posterior(
        space, posterior.evidence, posterior.streams, "const", compute, precision="bfloat16"
    )
    walk(posterior, u, sampler([posterior.group(u)], steps=8))
    assert seen[:rough] == [torch.bfloat16] * rough
    assert len(seen) > 8
    assert set(seen[rough:]) == {None}


def backend(calls):
    """Stands for the compiler: records how often a graph is made and runs it as it is."""

    def make(graph, examples):
        calls.append(len(examples))
        return graph.forward

    return make


def test_smaller_batches_are_filled_up_not_compiled_anew():
    space, calls = LatentSpace(small(8).requires_grad_(False), "z"), []
    torch._dynamo.reset()
    compiled = CompiledSpace(space, backend=backend(calls), mode=None, fullgraph=True)
    for n in (3, 1, 3):
        for noise in ("random", "const"):
            walked, _ = twenty_steps(space, n, compiled, noise)
            again, _ = twenty_steps(space, n, None, noise)
            assert relative(walked.latents, again.latents) < 1e-5
    assert len(calls) == 2  # noise from outside, and stored
    assert compiled.sizes == {3}


def test_compiled_calls_see_changed_weights(plain):
    frozen = copy.deepcopy(plain).requires_grad_(False)
    space = LatentSpace(frozen, "z")
    torch._dynamo.reset()
    compiled = CompiledSpace(space, backend=backend([]), mode=None)
    u, labels = torch.randn(2, 16), torch.tensor([0, 1])
    u.requires_grad_(True)
    before = compiled(u, labels, "const")
    frozen.synthesis.b8.conv0.weight.mul_(torch.linspace(0.5, 2, 3))
    frozen.synthesis.b4.const.mul_(2)
    after = compiled(u, labels, "const")
    assert torch.allclose(after, space(u, labels, "const"), atol=1e-5)
    assert not torch.allclose(after, before, atol=1e-3)


def test_gradients_outlive_the_next_call(plain):
    """CUDA graphs reuse their memory: nothing that is handed out may lie in it."""
    space = LatentSpace(copy.deepcopy(plain).requires_grad_(False), "z")
    handed_out = []

    class Recorded:
        """Pretends to be a recorded graph: the same output tensor at each call."""

        memory = None

        def __call__(self, u, labels, maps, noise):
            if self.memory is None:
                self.memory = torch.zeros(len(u), 3, 16, 16)
            with torch.no_grad():
                self.memory.copy_(space(u, labels, noise))
            return self.memory

    compiled = CompiledSpace(space)
    compiled._compiled = Recorded()
    for seed in (0, 1):
        torch.manual_seed(seed)
        handed_out.append(compiled(torch.randn(2, 16), torch.tensor([0, 1]), "const"))
    assert not torch.equal(*handed_out)


def test_no_compiler_is_one_line_and_eager(plain, monkeypatch, caplog):
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    assert "C++" in missing_compiler(CPU)
    space = LatentSpace(copy.deepcopy(plain).requires_grad_(False), "z")
    compiled = CompiledSpace(space)
    u, labels = torch.randn(2, 16), torch.tensor([0, 1])
    with caplog.at_level(logging.WARNING, "lightning_inpaint.compilation"):
        for _ in range(3):
            assert torch.equal(compiled(u, labels, "const"), space(u, labels, "const"))
    assert [r.message for r in caplog.records] == [
        "--model.compile: running without compilation, there is no C++ compiler "
        "(set CXX, or install g++)"
    ]


def test_failing_compiler_is_one_line_and_eager(plain, caplog):
    def broken(graph, examples):
        raise RuntimeError("no registers left")

    torch._dynamo.reset()
    space = LatentSpace(copy.deepcopy(plain).requires_grad_(False), "z")
    compiled = CompiledSpace(space, backend=broken, mode=None)
    u, labels = torch.randn(2, 16), torch.tensor([0, 1])
    with caplog.at_level(logging.WARNING, "lightning_inpaint.compilation"):
        for _ in range(2):
            assert torch.equal(compiled(u, labels, "const"), space(u, labels, "const"))
    ours = [r for r in caplog.records if r.name == "lightning_inpaint.compilation"]
    assert len(ours) == 1


@pytest.mark.skipif(missing_compiler(CPU) is not None, reason="no C++ compiler here")
def test_compiled_for_real():
    generator = small(8, channel_base=32, channel_max=4).requires_grad_(False)
    generator = generator.to(memory_format=torch.channels_last)
    torch._dynamo.reset()
    space = LatentSpace(generator, "z")
    walked, _ = twenty_steps(space, 2, CompiledSpace(space, fullgraph=True))
    again, _ = twenty_steps(space, 2)
    assert relative(walked.latents, again.latents) < 1e-4
