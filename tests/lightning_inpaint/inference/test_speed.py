"""What ``auto`` decides of precision and compiling: the job, the device and the sampler, never a clock."""

import json
from functools import partial

import pytest
import torch

import cli
from lightning_inpaint import LatentInpainter, UserError
from lightning_inpaint.generators import save_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.inference import speed
from lightning_inpaint.inference.speed import Job, SpeedChoice, compile_pays_from
from lightning_inpaint.optim import (
    HMC,
    MALA,
    MAP,
    SAMPLERS,
    AnnealedHMC,
    Langevin,
    SamplerSpec,
    Search,
)

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)
LONG = Job(10**9, 8)


def network(channels=64):
    torch.manual_seed(0)
    options = {"mapping_layers": 1, "channel_base": 8 * channels, "channel_max": channels}
    return StyleGAN2Generator(8, 0, 8, 8, **options).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def wide():
    return network()


@pytest.fixture
def able(monkeypatch):
    """A machine that has everything, whatever this one has."""
    monkeypatch.setattr(speed, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(speed, "missing_compiler", lambda device: None)


def decided(generator, sampler=MAP, job=LONG, device=CPU, chains=1, **asked):
    options = {"precision": "auto", "compile": "auto", "recompute": False, **asked}
    spec = SamplerSpec.of(sampler, SAMPLERS)
    return SpeedChoice(**options).made(generator, spec, chains, device, job)


@pytest.mark.parametrize("device", [CPU, GPU], ids=str)
def test_all_that_a_machine_has_where_nothing_speaks_against_it(able, wide, device):
    made = decided(wide, device=device)
    assert (made.precision, made.compile) == ("bfloat16", True)
    assert "no Metropolis test follows" in made.line


@pytest.mark.parametrize(
    ("sampler", "why"),
    [
        (HMC, "tests or weighs"),
        (MALA, "tests or weighs"),
        (AnnealedHMC, "tests or weighs"),
        ("particles", "tests or weighs"),
        ("slice", "tests or weighs"),
        (Search, "tests or weighs"),
        (Langevin, "feel the rounding"),
    ],
)
def test_samplers_whose_draws_count_stay_in_float32(able, wide, sampler, why):
    made = decided(wide, sampler)
    assert made.precision == "float32"
    assert why in made.line


@pytest.mark.parametrize("sampler", [MAP, partial(MAP, stop_psnr=30.0), "plugin"])
def test_samplers_that_tolerate_rounding_take_bfloat16(able, wide, sampler):
    assert decided(wide, sampler).precision == "bfloat16"


def test_networks_of_others_and_narrow_ones_stay_as_they_are(able, wide):
    foreign = decided(torch.nn.Linear(4, 4))
    assert (foreign.precision, foreign.compile) == ("float32", False)
    assert "StyleGAN2" in foreign.line
    narrow = decided(network(32))
    assert narrow.precision == "float32"
    assert "channels" in narrow.line


def test_a_machine_without_either(monkeypatch, wide):
    monkeypatch.setattr(speed, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(speed, "missing_compiler", lambda device: "there is no C++ compiler")
    made = decided(wide)
    assert (made.precision, made.compile) == ("float32", False)
    assert "this processor has no bfloat16" in made.line
    assert "there is no C++ compiler" in made.line


@pytest.mark.parametrize(
    ("found", "has"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"avx2": True, "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_instructions_of_a_processor(monkeypatch, found, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert speed.has_bfloat16(CPU) is has
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not speed.has_bfloat16(CPU)
    assert not speed.has_bfloat16(torch.device("mps"))


def test_jobs_are_compiled_from_where_it_pays(able, wide):
    least = compile_pays_from(wide, CPU)
    assert not decided(wide, partial(MAP, steps=1), Job(least - 1)).compile
    assert decided(wide, partial(MAP, steps=1), Job(least)).compile
    assert decided(wide, partial(MAP, steps=1), Job(-(-least // 3)), chains=3).compile
    assert f"pays from {least:,} on" in decided(wide, job=Job(1)).line


def test_a_gpu_counts_batches(able, wide):
    least = compile_pays_from(wide, GPU)
    one = partial(MAP, steps=1)
    assert decided(wide, one, Job(16 * least, 8, 2), GPU).compile
    assert not decided(wide, one, Job(16 * least - 16, 8, 2), GPU).compile


@pytest.mark.parametrize(
    ("asked", "job"),
    [({"recompute": True}, LONG), ({}, Job())],
    ids=["recompute", "length unknown"],
)
def test_what_forbids_compiling(able, wide, asked, job):
    assert not decided(wide, job=job, **asked).compile


def test_the_evaluations_of_a_search_are_no_steps_to_compile():
    spec = SamplerSpec.of(Search, SAMPLERS, trajectories=3, leapfrog=5)
    assert spec.evaluations == 15


@pytest.mark.parametrize("asked", [{"precision": "half"}, {"compile": "yes"}, {"compile": None}])
def test_a_choice_that_there_is_not(asked):
    with pytest.raises(UserError, match="it must be auto"):
        LatentInpainter("placeholder", **asked)


@pytest.fixture
def predict(tmp_path, capsys, able):
    """``predict`` on a wide network; the lines about speed, and run.json."""
    path = save_generator(network(), tmp_path / "wide.safetensors")
    out = tmp_path / "out"

    def run(*words):
        fixed = f"--model.generator {path} --output_dir {out} --trainer.enable_progress_bar false"
        status = cli.main(["predict", *fixed.split(), "--data.num", "2", *words])
        printed = capsys.readouterr()
        lines = [line for line in printed.out.splitlines() if line.startswith("speed: ")]
        begun = json.loads((out / "run.json").read_text())
        return status, lines, begun, printed.err

    return run


SHORT = ("--model.sampler", "map", "--model.sampler.steps", "3")


def test_one_line_says_it_and_the_run_records_it(predict):
    status, lines, run, _ = predict(*SHORT)
    assert status == 0
    assert len(lines) == 1
    assert lines[0].startswith("speed: bfloat16 convolutions (this processor has them")
    assert "not compiled (6 evaluations; it pays from" in lines[0]
    assert run["settings"]["model.precision"] == "bfloat16"
    assert run["compiled"] is False


def test_flags_overrule_and_are_named(predict):
    _, lines, run, _ = predict(*SHORT, "--model.precision", "float32", "--model.compile", "false")
    expected = (
        "float32 convolutions (--model.precision float32), not compiled (--model.compile false)"
    )
    assert lines == [f"speed: {expected}"]
    assert run["settings"]["model.precision"] == "float32"


def test_exact_samplers_stay_in_float32_on_the_command_line(predict):
    words = ("--model.sampler", "hmc", "--model.sampler.steps", "2")
    _, lines, run, _ = predict(*words)
    assert "float32 convolutions (HMC tests or weighs energies)" in lines[0]
    assert run["settings"]["model.precision"] == "float32"


def test_a_resumption_decides_as_the_run_was_begun(predict, monkeypatch):
    _, _, begun, _ = predict(*SHORT)
    monkeypatch.setattr(speed, "has_bfloat16", lambda device: False)  # another machine
    monkeypatch.setattr(speed, "compile_pays_from", lambda *_: 1)
    status, lines, run, _ = predict(*SHORT, "--data.num", "3")
    assert status == 0
    assert "bfloat16 convolutions (as this run was begun)" in lines[0]
    assert "not compiled (as this run was begun)" in lines[0]
    assert run == begun
    status, lines, _, _ = predict(*SHORT, "--overwrite", "true", "--model.compile", "false")
    assert status == 0
    assert "float32 convolutions (this processor has no bfloat16)" in lines[0]


def test_another_precision_than_the_run_was_begun_with_is_refused(predict):
    predict(*SHORT)
    status, _, _, said = predict(*SHORT, "--model.precision", "float32")
    assert status != 0
    assert "model.precision was 'bfloat16' and is 'float32'" in said
