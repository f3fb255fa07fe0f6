"""Chains that have stopped leave, and waiting ones take their place."""

import pytest
import torch

from lightning_inpaint import LatentInpainter, UserError
from lightning_inpaint.inference.compilation import StepCompiler
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation, known_psnr
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.inference.walk import walk
from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import MAP

STEPS, TARGET = 40, 20.0


def problem(generator, n, first=0):
    """The posterior of pictures of the generator's own, left half known, and where chains start.

    In float64: steps amplify rounding, which depends on the size of the batch.
    """
    space = LatentSpace(generator.double(), "z+noise+slack")
    streams = ChainStreams.grid(3, [str(first + i) for i in range(n)], 1)
    labels = (first + torch.arange(n)) % 3
    with torch.no_grad():
        of_target = streams.normal(0, space.dim, Purpose.OBSERVATION, torch.float64)
        target = space(of_target, labels, "const")
    known = torch.ones(n, 1, 8, 8, dtype=torch.float64)
    known[..., 4:] = 0
    posterior = Posterior(space, Observation(target.clamp(-1, 1), known, labels), streams, "const")
    return posterior


def sampler(stop_psnr, anchor="start"):
    def make(u, posterior):
        return MAP([posterior.group(u)], steps=STEPS, stop_psnr=stop_psnr, anchor=anchor)

    return make


def run(generator, n, slots, stop=TARGET, first=0, anchor="start", **options):
    posterior = problem(generator, n, first)
    walked = walk(posterior, sampler(stop, anchor), slots=slots, **options)
    return walked, known_psnr(walked.energy, posterior.observation.known, 3)


@pytest.mark.parametrize("anchor", ["start", "origin"])
@pytest.mark.parametrize(("slots", "every"), [(2, 1), (3, 7), (9, 4), (4, 1000)])
def test_each_chain_ends_where_it_would_alone(tiny_generator, slots, every, anchor):
    together, _ = run(tiny_generator, 9, slots, every=every, anchor=anchor)
    evaluations = together.diagnostics["gradient_evaluations"]
    assert len(evaluations.unique()) > 3  # they stop at different times
    for i in range(9):
        alone, _ = run(tiny_generator, 1, 1, first=i, every=every, anchor=anchor)
        torch.testing.assert_close(together.latents[i], alone.latents[0], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(together.trace[:, i], alone.trace[:, 0], rtol=1e-8, atol=1e-8)
        assert evaluations[i] == alone.diagnostics["gradient_evaluations"][0]


def test_a_chain_rests_at_the_first_step_that_reaches_the_target(tiny_generator):
    walked, psnr = run(tiny_generator, 9, 4)
    known = torch.ones(9, 1, 8, 4)
    seen = torch.stack([known_psnr(energy, known, 3) for energy in walked.trace])
    evaluations = walked.diagnostics["gradient_evaluations"].long()
    stopped = evaluations < STEPS
    assert stopped.sum() > 3
    for i in stopped.nonzero()[:, 0].tolist():
        last = evaluations[i] - 1
        assert (seen[:last, i] < TARGET).all()
        assert (seen[last:, i] == seen[last, i]).all()
        assert seen[last, i] >= TARGET
        torch.testing.assert_close(psnr[i], seen[last, i], rtol=1e-5, atol=0)


def test_chains_that_never_arrive_make_all_steps_of_a_plain_walk(tiny_generator):
    walked, _ = run(tiny_generator, 5, 2, stop=200.0, every=3)
    plain = walk(problem(tiny_generator, 5), sampler(None))
    torch.testing.assert_close(walked.latents, plain.latents, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(walked.energy, plain.energy, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(walked.trace, plain.trace, rtol=1e-8, atol=1e-8)
    assert (walked.diagnostics["gradient_evaluations"] == STEPS).all()
    assert plain.diagnostics["gradient_evaluations"].eq(STEPS).all()


def test_no_more_chains_walk_than_there_are_slots_and_few_places_are_idle(tiny_generator):
    posterior = problem(tiny_generator, 12)
    rows = []

    def make(u, seated):
        optimizer = sampler(TARGET)(u, seated)
        evaluate = optimizer.evaluate
        optimizer.evaluate = lambda closure: rows.append(len(u)) or evaluate(closure)
        return optimizer

    walked = walk(posterior, make, slots=4, every=1)
    assert max(rows) == 4
    assert rows == sorted(rows, reverse=True)
    needed = int(walked.diagnostics["gradient_evaluations"].sum())
    assert needed <= sum(rows) < 1.35 * needed
    assert sum(rows) < 12 * STEPS


def test_compiled_gradients_serve_all_sizes(tiny_generator):
    def complete(compiler):
        posterior = problem(tiny_generator, 7)
        if compiler is not None:
            posterior.compiler = compiler
        return walk(posterior, sampler(TARGET), slots=4, every=2)

    compiler = StepCompiler(backend="eager")
    compiled, eager = complete(compiler), complete(None)
    assert not compiler.eager
    steps = [list(sizes) for (key, _), sizes in compiler.graphs.items() if key[0] != "normal"]
    assert steps == [[4]]
    torch.testing.assert_close(compiled.latents, eager.latents, rtol=1e-8, atol=1e-8)


def test_reports_rise_to_the_last_step_and_hide_nothing(tiny_generator):
    seen = []

    def report(step, steps, energy, latents, work):
        seen.append((step, steps, energy.clone(), latents.clone()))

    walked, _ = run(tiny_generator, 6, 2, every=3, report=report)
    numbers = [step for step, *_ in seen]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == STEPS
    assert {steps for _, steps, *_ in seen} == {STEPS}
    assert seen[0][2].isnan().sum() == 4  # still waiting
    torch.testing.assert_close(seen[-1][2], walked.energy, rtol=1e-8, atol=1e-8)
    assert torch.equal(seen[-1][3], walked.latents)


def batch(n=6):
    random = torch.Generator().manual_seed(0)
    mask = torch.zeros(n, 1, 8, 8)
    mask[..., 4:] = 1
    image = torch.randint(0, 256, (n, 3, 8, 8), generator=random, dtype=torch.uint8)
    return {"image": image, "mask": mask, "label": torch.arange(n) % 3}


def test_the_module_walks_in_slots(tiny_generator):
    def complete(slots):
        def make(p):
            return MAP(p, steps=30, stop_psnr=12.0)

        module = LatentInpainter(tiny_generator, sampler=make, slots=slots, chains=2)
        return module.predict_step(batch())

    whole, slotted = complete(None), complete(3)
    torch.testing.assert_close(whole.latents, slotted.latents, rtol=1e-3, atol=1e-3)
    assert (whole.composite.int() - slotted.composite.int()).abs().max() <= 1
    early = slotted.diagnostics["gradient_evaluations"] < 30
    assert early.any()
    assert (slotted.psnr[early] >= 12 - 1e-3).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slots": 4}, "`slots` needs chains that stop"),
        ({"slots": 0, "sampler": lambda p: MAP(p, stop_psnr=20.0)}, "`slots` is 0"),
        ({"sampler": lambda p: MAP(p, stop_psnr=-1.0)}, "stop_psnr must be positive, got -1.0"),
    ],
)
def test_bad_settings_are_one_sentence(tiny_generator, options, words):
    with pytest.raises(UserError, match=words):
        LatentInpainter(tiny_generator, **options)


def test_stopping_needs_a_deterministic_energy(tiny_generator):
    def make(p):
        return MAP(p, steps=3, stop_psnr=20.0)

    module = LatentInpainter(tiny_generator, latents="z", noise_inputs="random", sampler=make)
    with pytest.raises(UserError, match="stops by the energy"):
        module.predict_step(batch())
