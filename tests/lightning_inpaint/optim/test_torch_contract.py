"""A sampler is an optimizer in torch's sense: groups, state, copies, hooks and schedulers."""

import copy
import inspect
import io
from dataclasses import replace

import pytest
import torch
from test_contract import ALL, bent, made_of, problem
from toys import Problem, prior_start

from lightning_inpaint.noise import ChainStreams
from lightning_inpaint.optim import (
    HMC,
    MALA,
    MAP,
    SAMPLERS,
    AnnealedHMC,
    ChainContext,
    Diffusion,
    Langevin,
    PluginDiffusion,
    SamplerSpec,
    Search,
)

CASES = [*ALL, (MAP, {"steps": 12, "stop_psnr": 12.0}), (HMC, {"steps": 8, "start_std": 2.0})]


def started(sampler, options):
    """A batch whose radii count by nothing, and a sampler over it."""
    batch = problem(torch.arange(8))
    more = {"blocks": [(2, 1), (3,)], "scale_free": [0], "observed": torch.full((8,), 5.5)}
    group = {**batch.group, "context": batch.context(**more)}
    return batch, made_of(sampler, group, **options)


@pytest.mark.parametrize(("sampler", "options"), CASES)
@pytest.mark.parametrize("stop", [0, 1, 5])
def test_a_state_dict_continues_a_walk_bit_for_bit(sampler, options, stop) -> None:
    batch, made = started(sampler, options)
    for _ in range(stop):
        made.step(batch.closure)
    file = io.BytesIO()
    torch.save({"u": batch.u.detach(), "sampler": made.state_dict()}, file)
    other, fresh = started(sampler, options)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    other.u.data.copy_(saved["u"])
    fresh.load_state_dict(saved["sampler"])
    for _ in range(made.steps - stop):
        assert torch.equal(fresh.step(other.closure), made.step(batch.closure))
    assert torch.equal(other.u, batch.u)
    mine, theirs = made.diagnostics(), fresh.diagnostics()
    for name, value in mine.items():
        torch.testing.assert_close(theirs[name], value, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("sampler", "options"), CASES)
def test_all_that_a_step_changes_is_in_the_state(sampler, options) -> None:
    batch, made = started(sampler, options)
    before = {k: copy.deepcopy(v) for k, v in vars(made).items() if not k.startswith("_optimizer")}
    for _ in range(made.steps - 1):
        made.step(batch.closure)
    kept = {name.partition(".")[0] for name in made.live}
    caches = {"_plan", "_table"}  # made of the options alone
    for name, value in vars(made).items():
        if name in kept | caches | {"param_groups", "state"} or name.startswith("_optimizer"):
            continue
        assert _same(value, before[name]), name


def _same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and (one == other or not hasattr(type(one), "__eq__"))


@pytest.mark.parametrize(("sampler", "options"), CASES)
def test_a_deep_copy_walks_on_by_itself(sampler, options) -> None:
    batch, made = started(sampler, options)
    for _ in range(3):
        made.step(batch.closure)
    twin = copy.deepcopy(made)
    here = batch.u.detach().clone()
    ends = []
    for each in (twin, made):
        batch.u = each.latents  # what the closure evaluates
        for _ in range(made.steps - 3):
            each.step(batch.closure)
        ends.append(each.latents.detach())
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], here)


@pytest.mark.parametrize(("sampler", "options"), ALL)
def test_every_option_of_a_signature_is_in_the_group_and_on_record(sampler, options) -> None:
    _, made = started(sampler, options)
    names = set(inspect.signature(sampler).parameters) - {"params"}
    assert set(made.options) == names
    assert names <= set(made.param_groups[0])
    assert made.state_dict()["param_groups"][0].keys() >= names
    for name in names:
        assert f"{name}: " in repr(made)


@pytest.mark.parametrize(
    ("sampler", "options", "name", "value"),
    [
        (MAP, {}, "lr", 0.01),
        (MAP, {}, "noise_std", 0.05),
        (MAP, {}, "betas", (0.5, 0.5)),
        (AnnealedHMC, {"steps": 16, "warm_up": 12}, "lr", 0.01),
        (Langevin, {"anneal": 0.0}, "step_size", 0.05),
        (Langevin, {"anneal": 0.0}, "noise_std", 0.5),
        (Langevin, {"anneal": 0.0}, "temperature", 0.1),
        (HMC, {}, "step_size", 0.01),
        (HMC, {"burn_in": 0.0}, "noise_std", 0.5),
        (HMC, {}, "leapfrog", 2),
        (MALA, {}, "noise_std", 0.5),
        (Diffusion, {}, "noise_std", 0.5),
        (Diffusion, {}, "beta_end", 0.01),
        (PluginDiffusion, {}, "temp", 0.02),
    ],
)
def test_an_option_that_is_changed_counts_from_the_next_step(sampler, options, name, value) -> None:
    ends = []
    for changed in (False, True):
        batch, made = started(sampler, {"steps": 8, **options})
        for step in range(6):
            if step == 3:
                half = batch.u.detach().clone()
                if changed:
                    made.param_groups[0][name] = value
            made.step(batch.closure)
        ends.append((half, batch.u.detach()))
    assert torch.equal(ends[0][0], ends[1][0])
    assert not torch.equal(ends[0][1], ends[1][1])


def test_a_learning_rate_scheduler_of_torch_is_followed() -> None:
    batch, made = started(MAP, {"steps": 6, "ramp_down": 0.0, "lr": 0.1})
    schedule = torch.optim.lr_scheduler.LambdaLR(made, lambda step: 0.0 if step >= 3 else 1.0)
    seen = []
    for _ in range(6):
        made.step(batch.closure)
        schedule.step()
        seen.append(batch.u.detach().clone())
    assert not torch.equal(seen[1], seen[2])
    torch.testing.assert_close(seen[5], seen[2], rtol=0, atol=1e-12)


def test_hooks_are_called() -> None:
    batch, made = started(Langevin, {"steps": 4})
    seen = []
    made.register_step_pre_hook(lambda *_: seen.append("before"))
    made.register_step_post_hook(lambda *_: seen.append("after"))
    made.step(batch.closure)
    assert seen == ["before", "after"]


@pytest.mark.parametrize(("sampler", "options"), [c for c in ALL if c[0].exact])
def test_a_proposal_that_is_not_a_number_is_never_taken(sampler, options) -> None:
    def broken(u):
        return torch.where(u[:, :1] > 0.3, torch.nan, 1.0) * bent(u)

    start = prior_start(8, 5, dtype=torch.float64)
    start[:, 0] = -start[:, 0].abs()
    batch = Problem(broken, torch.zeros(7, dtype=torch.float64), torch.ones(7), start)
    if sampler is Search:
        options = {"steps": 12, "trajectories": 12, "rounds": 1}  # a search has no test
    made = made_of(sampler, batch.group, **options)
    for _ in range(made.steps):
        if sampler is AnnealedHMC and made.step_count < made.warm_up:
            made.step_count += 1  # the descent has no test
            continue
        made.step(batch.closure)
        if sampler.interacting:  # particles begin anywhere, and resampling leaves the broken ones
            continue
        assert (batch.u[:, 0] <= 0.3).all()
        assert batch.energy(batch.u.detach()).isfinite().all()


def test_one_matrix_of_latents_and_no_stranger_in_the_group() -> None:
    u = torch.nn.Parameter(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="one matrix of latents"):
        MAP([u, torch.nn.Parameter(torch.zeros(2, 3))])
    with pytest.raises(ValueError, match="one matrix of latents"):
        MAP([torch.nn.Parameter(torch.zeros(3))])
    with pytest.raises(ValueError, match="one matrix of latents"):
        MAP([u]).add_param_group({"params": [torch.nn.Parameter(torch.zeros(2, 3))]})
    with pytest.raises(ValueError, match="the parameter group has streams"):
        MAP([{"params": [u], "streams": ChainStreams(0, ["a", "b"], [0, 0])}])


def test_an_option_may_stand_in_the_group() -> None:
    u = torch.nn.Parameter(torch.zeros(2, 3))
    assert MAP([{"params": [u], "lr": 0.5}]).lr == 0.5


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_the_same_again_from_plain_data(name) -> None:
    spec = SamplerSpec.of(name, SAMPLERS, steps=300)
    again = SamplerSpec.of(spec.portable, SAMPLERS)
    assert again == spec
    assert spec.options["steps"] == 300
    assert SamplerSpec.of(spec.cls, SAMPLERS, steps=300) == spec


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_noise_std_for_every_sampler(name) -> None:
    spec = SamplerSpec.of(name, SAMPLERS).with_noise_std(0.3)
    assert spec.noise_std == pytest.approx(0.3, rel=1e-12)
    own = "temp" if "temp" in spec.options else "noise_std"
    other = SamplerSpec.of(name, SAMPLERS, **{own: 0.7})
    with pytest.raises(ValueError, match="leave one of them out"):
        other.with_noise_std(0.3)


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ("hnc", {}, "did you mean hmc"),
        ("os.system", {}, "no sampler 'os.system'"),
        ({"class_path": "somewhere.Else"}, {}, "no sampler 'somewhere.Else'"),
        ("hmc", {"stepsize": 1}, "no option 'stepsize': did you mean step_size"),
        ("hmc", {"steps": 0}, "steps must be at least 1"),
    ],
)
def test_a_sampler_that_is_not_there_is_one_sentence(given, options, words) -> None:
    with pytest.raises(ValueError, match=words):
        SamplerSpec.of(given, SAMPLERS, **options)


def test_a_context_can_be_had_without_chains() -> None:
    made = replace(ChainContext(), chains=3)
    assert made.chains == 3
    assert made.streams is None
