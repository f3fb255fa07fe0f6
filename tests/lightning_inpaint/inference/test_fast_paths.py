"""Every fast path against the plain one: the trainable form, eager, float32, contiguous."""

import copy
import logging
from functools import partial

import pytest
import torch

from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.inference import compilation
from lightning_inpaint.inference.compilation import StepCompiler, missing_compiler
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation, known_psnr
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.inference.walk import walk
from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import MAP, SAMPLERS, AnnealedHMC, Diffusion, PluginDiffusion

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


def problem(space, n, compiler=None, noise="random", seed=5):
    """The posterior of n pictures of the generator's own, left half known, and starts."""
    streams = ChainStreams.grid(seed, [str(i) for i in range(n)], 1)
    labels = torch.arange(n) % space.generator.num_classes
    with torch.no_grad():
        u = streams.normal(0, space.dim, Purpose.OBSERVATION)
        target = space(u, labels, "const").clamp(-1, 1)
    known = torch.ones(n, 1, *target.shape[2:])
    known[..., target.shape[3] // 2 :] = 0
    start = torch.nn.Parameter(streams.normal(0, space.dim, Purpose.START))
    return Posterior(space, Observation(target, known, labels), streams, noise, compiler), start


def of(sampler, **options):
    return lambda u, seated: sampler([seated.group(u)], **options)


def twenty_steps(space, n=3, compiler=None, noise="random"):
    """The original algorithm, cut short: latents, pictures, known-pixel PSNR."""
    posterior, _ = problem(space, n, compiler, noise)
    walked = walk(posterior, of(PluginDiffusion, steps=20))
    channels = walked.pictures.shape[1]
    return walked, known_psnr(walked.energy, posterior.observation.known, channels)


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
        u = walk(posterior, of(MAP, steps=40)).latents
        generator.set_compute(None)
        with torch.no_grad():
            energy = posterior.energy(u)
        figures.append(known_psnr(energy, posterior.observation.known, 3).mean())
    assert figures[0] > 15
    assert abs(figures[0] - figures[1]) < 0.2
    assert figures[0] != figures[1]


@pytest.mark.parametrize(
    ("sampler", "rough"), [(MAP, 6), (partial(AnnealedHMC, warm_up=4, leapfrog=1), 3)]
)
def test_last_part_and_metropolis_ratios_are_float32(sampler, rough):
    generator = small(8).requires_grad_(False)
    space, seen = LatentSpace(generator, "z+noise"), []
    posterior, _ = problem(space, 2)
    layer = generator.synthesis.b8.conv0
    layer.register_forward_hook(
        lambda m, a, given, out: seen.append(given["dtype"]), with_kwargs=True
    )
    posterior = Posterior(
        space, posterior.observation, posterior.streams, "const", precision="bfloat16"
    )
    walk(posterior, of(sampler, steps=8))
    assert seen[:rough] == [torch.bfloat16] * rough
    assert len(seen) > 8
    assert set(seen[rough:]) == {None}


def test_the_precision_of_a_walk_reaches_neither_its_reports_nor_a_shared_generator():
    generator = small(8).requires_grad_(False)
    posterior, _ = problem(LatentSpace(generator, "z+noise"), 2)
    rough = Posterior(
        posterior.space, posterior.observation, posterior.streams, "const", precision="bfloat16"
    )
    seen = []

    def report(step, steps, energy, at, work):
        seen.append(posterior.energy(at))
        torch.testing.assert_close(rough.energy(at), seen[-1], rtol=0, atol=0)
        assert not torch.equal(rough.energy(at, torch.bfloat16), seen[-1])

    walk(rough, of(MAP, steps=4), report=report, every=1)
    assert len(seen) == 4
    assert {layer.compute_dtype for layer in generator.synthesis.convolutions} == {None}


def backend(calls):
    """Stands for the compiler: records how often a graph is made and runs it as it is."""

    def make(graph, examples):
        calls.append(len(examples))
        return graph.forward

    return make


def test_smaller_batches_are_filled_up_not_compiled_anew():
    space, calls = LatentSpace(small(8).requires_grad_(False), "z"), []
    torch._dynamo.reset()
    compiler = StepCompiler(backend=backend(calls), fullgraph=True)
    for n in (3, 1, 3):
        for noise in ("random", "const"):
            walked, _ = twenty_steps(space, n, compiler, noise)
            again, _ = twenty_steps(space, n, None, noise)
            assert relative(walked.latents, again.latents) < 1e-5
            assert relative(walked.trace, again.trace) < 1e-5
    steps = [sizes for (key, _), sizes in compiler.graphs.items() if key[0] != "normal"]
    assert [list(sizes) for sizes in steps] == [[4], [4]]  # redrawn noise, and stored
    assert len(calls) == sum(map(len, compiler.graphs.values()))


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_walks_alike_compiled(name):
    """Twenty evaluations or more, on graphs that are run as they are."""
    space = LatentSpace(small(4).requires_grad_(False), "z+noise")
    torch._dynamo.reset()
    compiler, ends = StepCompiler(backend=backend([])), []
    for compiled in (compiler, None):
        posterior, _ = problem(space, 3, compiled, "const")
        options = {
            "annealed_hmc": {"warm_up": 10},
            "search": {"trajectories": 20, "rounds": 1},
        }.get(name, {})
        ends.append(walk(posterior, of(SAMPLERS[name], steps=20, **options)).latents)
    assert relative(*ends) < 1e-4
    assert compiler.graphs
    assert not compiler.eager


@pytest.mark.parametrize("estimator", ["plugin", "mean", "logmeanexp", "inflated"])
def test_a_whole_step_is_one_graph(estimator):
    space = LatentSpace(small(4).requires_grad_(False), "z")
    torch._dynamo.reset()
    compiler, ends = StepCompiler(backend=backend([])), []
    for compiled in (compiler, None):
        posterior, _ = problem(space, 3, compiled)
        walked = walk(posterior, of(Diffusion, steps=20, estimator=estimator, num_samples=2))
        ends.append((walked.latents, walked.evaluations))
    assert relative(ends[0][0], ends[1][0]) < 1e-4
    assert ends[0][1:] == ends[1][1:]
    steps = [key[0] for (key, _) in compiler.graphs if key[0] != "normal"]
    assert [name[0] for name in steps] == [Diffusion]


def test_rows_that_meet_in_the_clip_are_not_filled_up():
    space = LatentSpace(small(4).requires_grad_(False), "z")
    torch._dynamo.reset()
    compiler, ends = StepCompiler(backend=backend([])), []
    for compiled in (compiler, None):
        for n in (3, 2):
            posterior, u = problem(space, n, compiled)
            options = {"clip_over": "batch", "clip_std": 1e-3}
            u = walk(posterior, of(PluginDiffusion, steps=5, **options)).latents
        ends.append(u)
    assert relative(*ends) < 1e-5


def test_compiled_calls_see_changed_weights(plain):
    frozen = copy.deepcopy(plain).requires_grad_(False)
    space = LatentSpace(frozen, "z")
    torch._dynamo.reset()
    compiler = StepCompiler(backend=backend([]))

    def energies(compiled):
        posterior, u = problem(space, 2, compiled, "const")
        posterior.observation.target.zero_()
        return posterior.closure(u)()

    before = energies(compiler)
    frozen.synthesis.b8.conv0.weight.mul_(torch.linspace(0.5, 2, 3))
    frozen.synthesis.b4.const.mul_(2)
    after = energies(compiler)
    assert torch.allclose(after, energies(None), rtol=1e-5)
    assert not torch.allclose(after, before, rtol=1e-3)
    frozen.synthesis.b8.conv0.affine.weight.mul_(2)
    frozen.mapping.embed.weight.mul_(torch.linspace(0.5, 2, 3))
    last = energies(compiler)
    assert torch.allclose(last, energies(None), rtol=1e-5)
    assert not torch.allclose(last, after, rtol=1e-3)


def test_results_outlive_the_next_call():
    """CUDA graphs reuse their memory: nothing that is handed out may lie in it."""
    compiler, memory = StepCompiler(), torch.zeros(2)
    on_gpu = torch.zeros(2, device="meta")  # stands for a device

    def recorded(x):
        memory.add_(1)
        return (memory,)

    compiler.graphs[("name", on_gpu.device)] = {2: recorded}
    handed_out = [compiler("name", recorded, [on_gpu])[0] for _ in range(2)]
    assert not torch.equal(*handed_out)


def failing(x):
    """A step that cannot be traced: it looks at a value."""
    return (x * 2 if float(x.sum()) > 0 else x,)


def test_no_compiler_is_one_line_and_eager(monkeypatch, caplog):
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    assert "C++" in missing_compiler(CPU)
    compiler, x = StepCompiler(), torch.randn(2, 16)
    with caplog.at_level(logging.WARNING, "lightning_inpaint.inference.compilation"):
        for _ in range(3):
            assert torch.equal(compiler("twice", lambda x: (2 * x,), [x])[0], 2 * x)
    assert [r.message for r in caplog.records] == [
        "`compile`: running without compilation, there is no C++ compiler (set CXX, or install g++)"
    ]


@pytest.mark.parametrize("where", ["backend", "trace"])
def test_failing_compiler_is_one_line_and_eager(where, caplog):
    def broken(graph, examples):
        raise RuntimeError("no registers left")

    torch._dynamo.reset()
    make = broken if where == "backend" else backend([])
    compiler, x = StepCompiler(backend=make), torch.ones(2, 16)
    step = (lambda x: (2 * x,)) if where == "backend" else failing
    with caplog.at_level(logging.WARNING, "lightning_inpaint.inference.compilation"):
        for _ in range(2):
            assert torch.equal(compiler("twice", step, [x])[0], 2 * x)
    ours = [r for r in caplog.records if r.name == "lightning_inpaint.inference.compilation"]
    assert len(ours) == 1


def test_memory_that_runs_out_is_not_hidden():
    def broken(graph, examples):
        raise RuntimeError("CUDA out of memory")

    def step(x):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        StepCompiler(backend=broken)("step", step, [torch.ones(2)])


@pytest.mark.skipif(missing_compiler(CPU) is not None, reason="no C++ compiler here")
def test_compiled_for_real():
    generator = small(8, channel_base=32, channel_max=4).requires_grad_(False)
    generator = generator.to(memory_format=torch.channels_last)
    torch._dynamo.reset()
    space = LatentSpace(generator, "z")
    compiler = StepCompiler(fullgraph=True)
    walked, _ = twenty_steps(space, 2, compiler)
    again, _ = twenty_steps(space, 2)
    assert relative(walked.latents, again.latents) < 1e-4
    assert not compiler.eager
