"""What is made once at the end: table, figures, uncertainty, animation, summary."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_inpaint.callbacks import (
    CompletionFigure,
    CompletionWriter,
    EnergyTable,
    Gallery,
    PosteriorVariation,
    Summary,
    UncertaintyMaps,
    WalkAnimation,
)
from lightning_inpaint.callbacks.chart import energy_chart, heat
from lightning_inpaint.callbacks.imaging import without_alpha
from lightning_inpaint.callbacks.uncertainty import RunningSpread, posterior_spread, spread_view
from lightning_inpaint.callbacks.variation import principal_variation
from lightning_inpaint.errors import UserError, speak_of_flags
from lightning_inpaint.optim import SAMPLERS, SamplerSpec
from tests.callbacks.made_up import files_below

COLUMNS = (
    "id,index,chain,seed,steps,first_energy,last_energy,known_psnr,status,label,diversity,acceptance,"
    "enlargement"
)


def test_table_has_one_row_per_completion_in_the_order_of_the_data(tmp_path, predict, made_up):
    names = ["z", "a", "cat/c", "with, comma"]
    predict([CompletionWriter(str(tmp_path)), EnergyTable()], module=made_up(chains=2), names=names)
    text = (tmp_path / "energies.csv").read_text()
    assert text.splitlines()[0] == COLUMNS
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["id"] for row in rows] == [name for name in names for _ in range(2)]
    assert [row["chain"] for row in rows[:2]] == ["0", "1"]
    assert float(rows[0]["last_energy"]) < float(rows[1]["last_energy"])
    assert float(rows[0]["first_energy"]) == pytest.approx(30 * float(rows[0]["last_energy"]), 1e-5)
    assert rows[0]["diversity"]


def test_table_ends_with_what_was_skipped(tmp_path, predict, made_up_data):
    data = made_up_data(["a"], skipped=[("torn", "in/torn.png is not a picture")])
    predict([CompletionWriter(str(tmp_path)), EnergyTable()], data=data)
    rows = list(csv.DictReader((tmp_path / "energies.csv").open()))
    assert rows[-1]["id"] == "torn"
    assert rows[-1]["status"] == "skipped: in/torn.png is not a picture"


@pytest.mark.parametrize("callback", [EnergyTable, CompletionFigure, Summary, UncertaintyMaps])
def test_a_writer_is_needed(predict, callback):
    with pytest.raises(UserError, match=f"{callback.__name__} shows what CompletionWriter"):
        predict([callback()])


@pytest.mark.parametrize(("chains", "rows"), [(1, 4), (2, 6)])
def test_figure_has_the_rows_of_the_seed(tmp_path, predict, made_up, chains, rows):
    figure = CompletionFigure(pictures=3, side=32)
    predict([CompletionWriter(str(tmp_path)), figure], module=made_up(chains=chains))
    with Image.open(tmp_path / "completions.png") as image:
        pixels = np.array(image)
    titled = 17  # it shows three of four, and says so
    assert pixels.shape[0] == titled + 15 + rows * 34
    cells = np.lib.stride_tricks.sliding_window_view(pixels[titled + 15 : titled + 47], 32, axis=1)
    with Image.open(tmp_path / "inputs/a.png") as image:
        original = np.array(image)[..., :3].repeat(4, axis=0).repeat(4, axis=1)
    assert (np.moveaxis(cells, -1, 2) == original[:, None]).all(axis=(0, 2, 3)).any()


def test_nothing_finished_draws_nothing(tmp_path, predict, made_up):
    class Empty(made_up):
        def predict_step(self, batch, batch_idx):
            return None

    predict([CompletionWriter(str(tmp_path)), CompletionFigure(), EnergyTable()], module=Empty())
    assert files_below(tmp_path) == ["energies.csv", "run.json"]


@pytest.mark.parametrize(
    "ys", [[100.0, 1.0, 0.01], [5.0, 5.0, 5.0], [float("nan"), 3.0, 0.0], [float("nan")] * 3]
)
@pytest.mark.parametrize("chains", [1, 100])
def test_energy_chart_takes_any_curve(ys, chains):
    image = energy_chart(np.array([ys] * chains), [0, 1, 2], "x", 1, 2.0, (600, 400))
    assert image.size == (600, 400)
    strong = (np.abs(np.array(image).astype(int) - (196, 60, 40)).sum(axis=2) < 60).any()
    assert strong  # the legend at least


def test_energies_count_all_chains_and_say_where_draws_begin(
    tmp_path, predict, made_up, monkeypatch
):
    seen = []
    draw = lambda *args, **marks: seen.append((*args, marks)) or energy_chart(*args, **marks)  # noqa: E731
    monkeypatch.setattr("lightning_inpaint.callbacks.figure.energy_chart", draw)

    class Walked(made_up):
        def predict_step(self, batch, batch_idx):
            made = super().predict_step(batch, batch_idx)
            made.trace_evaluations = [3 * step for step in range(made.steps + 1)]
            made.draws_from, made.noise_std = 10, 0.1
            return made

    figure = CompletionFigure(pictures=1)
    predict([CompletionWriter(str(tmp_path)), figure], module=Walked(chains=2))
    ((energies, xs, label, marks),) = seen
    assert energies.shape == (4 * 2, 31)
    assert xs == [3 * step for step in range(31)]
    assert label == "gradient evaluations of a chain"
    assert marks["burn_in"] == 30
    assert marks["floor"] == pytest.approx(0.01 * 8 * 4 * 3)


def test_heat_runs_from_dark_to_light():
    lightness = heat(np.linspace(0, 1, 50)[None]).astype(float) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness[0]) > 0).all()


def test_posterior_spread_against_the_definition():
    generator = torch.Generator().manual_seed(0)
    completions = torch.randint(0, 256, (5, 3, 4, 6), generator=generator).byte()
    mean, std = posterior_spread(completions)
    expected = (completions.double() / 255).permute(0, 2, 3, 1)
    np.testing.assert_allclose(mean, expected.mean(dim=0), rtol=1e-6)
    np.testing.assert_allclose(std, expected.std(dim=0), rtol=1e-6)


def test_uncertainty_is_zero_where_known(tmp_path, predict, made_up):
    predict([CompletionWriter(str(tmp_path)), UncertaintyMaps()], module=made_up(chains=4))
    assert "cat/c.npz" in files_below(tmp_path / "uncertainty")
    maps = np.load(tmp_path / "uncertainty/b.npz")
    assert (maps["std"][:, :4] == 0).all()
    assert (maps["std"][:, 4:] > 0).mean() > 0.95
    with Image.open(tmp_path / "uncertainty/b.png") as image:
        assert image.size == (8, 8)


def test_uncertainty_of_a_larger_original_has_its_size(tmp_path, predict, made_up):
    module = made_up(chains=3)
    writer = CompletionWriter(str(tmp_path), blend="none")
    predict([writer, UncertaintyMaps(), Gallery()], module=module, names=["big", "small"])
    arrays = np.load(tmp_path / "uncertainty/big.npz")
    completions = [
        np.array(Image.open(tmp_path / f"composites/big_c0{k}.png")) / 255 for k in (1, 2, 3)
    ]
    assert arrays["std"].shape == (20, 24, 3)
    np.testing.assert_allclose(arrays["std"], np.std(completions, axis=0, ddof=1), atol=1e-3)
    np.testing.assert_allclose(arrays["mean"], np.mean(completions, axis=0), atol=1e-3)
    assert (arrays["std"][:, :12] == 0).all()
    assert arrays["fitted_std"].shape == (8, 8, 3)
    assert Image.open(tmp_path / "uncertainty/big.png").size == (24, 20)
    small = np.array(Image.open(tmp_path / "uncertainty/small.png"))
    np.testing.assert_array_equal(spread_view(tmp_path / "uncertainty/small.npz"), small)
    assert spread_view(tmp_path / "uncertainty/big.npz").shape == (8, 8, 3)


def test_running_spread_and_alpha():
    values = np.random.default_rng(0).random((5, 3, 4)).astype(np.float32)
    spread = RunningSpread()
    for each in values:
        spread.add(each)
    np.testing.assert_allclose(spread.mean, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(spread.std, values.std(axis=0, ddof=1), rtol=1e-5)
    shapes = {(8, 8): 1, (8, 8, 1): 1, (8, 8, 2): 1, (8, 8, 3): 3, (8, 8, 4): 3}
    for shape, channels in shapes.items():
        assert without_alpha(np.zeros(shape)).shape == (8, 8, channels)


def test_uncertainty_needs_several_chains(tmp_path, predict):
    predict([CompletionWriter(str(tmp_path)), UncertaintyMaps()], names=["a"])
    assert not (tmp_path / "uncertainty").exists()


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_animation_shows_the_walk(tmp_path, predict, made_up, kind):
    animation = WalkAnimation(pictures=4, format=kind, side=16)
    predict([CompletionWriter(str(tmp_path)), animation], module=made_up(chains=2), names="abcde")
    assert files_below(tmp_path / "animations") == [f"{name}.{kind}" for name in "abcd"]
    with Image.open(tmp_path / f"animations/d.{kind}") as image:
        assert image.n_frames == 3
        frames = []
        for frame in range(3):
            image.seek(frame)
            frames.append(np.array(image.convert("RGB")).astype(int))
    assert np.abs(frames[0] - frames[2]).max() > 100


@pytest.mark.parametrize("name", ["pictures", "every", "milliseconds", "side"])
def test_animation_options_are_checked(name):
    with pytest.raises(UserError, match=f"WalkAnimation's {name} is 0"):
        WalkAnimation(**{name: 0})


def test_summary_says_when_chains_disagree(tmp_path, predict, made_up, capsys):
    for rhat, words in ((1.02, None), (1.7, "the chains of 4 of 4 pictures disagree (R-hat above")):
        folder = tmp_path / str(rhat)
        predict([CompletionWriter(str(folder)), Summary()], module=made_up(chains=2, rhat=rhat))
        out = capsys.readouterr().out
        assert (words in out) if words else ("disagree" not in out)


@pytest.mark.parametrize(
    ("sampler", "options", "noise", "words"),
    [
        (
            "map",
            {},
            "const",
            "of MAP: approximate, one completion per chain and no draws before it; --config exact",
        ),
        (
            "search",
            {"trajectories": 0},
            "const",
            "of Search: one completion per chain and no draws",
        ),
        ("particles", {}, "const", "of Particles: one completion per chain and no draws"),
        ("hmc", {"steps": 10}, "const", "of HMC: 5 draws per chain, at least 8 are needed"),
        ("langevin", {}, "random", "at each step; --model.noise_inputs const keeps them"),
        ("hmc", {"steps": 100}, "const", None),
    ],
)
def test_summary_says_why_there_is_no_rhat(
    tmp_path, predict, made_up, capsys, sampler, options, noise, words
):
    module = made_up(chains=2)
    module.sampler = SamplerSpec.of(sampler, SAMPLERS, **options)
    module.noise_inputs = noise
    speak_of_flags()
    predict([CompletionWriter(str(tmp_path)), Summary()], module=module)
    out = capsys.readouterr().out
    assert (words or "") in out
    assert ("no R-hat" in out) == (words is not None)


def test_summary_of_one_chain_says_nothing_of_rhat(tmp_path, predict, made_up, capsys):
    module = made_up(chains=1)
    module.sampler = SamplerSpec.of("map", SAMPLERS)
    predict([CompletionWriter(str(tmp_path)), Summary()], module=module)
    assert "R-hat" not in capsys.readouterr().out


def test_notes_of_pictures_are_kept_and_counted(tmp_path, predict, made_up_data, capsys):
    data = made_up_data(["a", "b", "c"])
    data.notes = [("a", "inverted", "it looks inverted."), ("a", "outside", "9 % lies outside.")]
    data.notes += [("c", "inverted", "it looks inverted.")]
    predict([CompletionWriter(str(tmp_path)), EnergyTable(), Summary()], data=data)
    assert "masks that deserve a look: 2 inverted, 1 outside" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "energies.csv").open()))
    assert [row["notes"] for row in rows] == ["inverted; outside", "", "inverted"]
    record = json.loads((tmp_path / "records/c.json").read_text())
    assert record["notes"] == [{"kind": "inverted", "text": "it looks inverted."}]


def test_pictures_that_could_not_be_completed_are_listed_as_failed(
    tmp_path, predict, made_up, made_up_data, capsys
):
    module = made_up(failures=[("huge", "out of memory with this picture alone")])
    summary = Summary()
    callbacks = [CompletionWriter(str(tmp_path)), EnergyTable(), Gallery(), summary]
    predict(callbacks, module=module, data=made_up_data(["a"]))
    rows = list(csv.DictReader((tmp_path / "energies.csv").open()))
    assert rows[-1]["status"] == "failed: out of memory with this picture alone"
    assert "huge: out of memory" in capsys.readouterr().out
    assert summary.result.failures == [("huge", "out of memory with this picture alone")]
    assert not (tmp_path / "records/huge.json").exists()  # so that the next start tries it again


def test_animation_of_a_batch_in_parts(tmp_path, predict, made_up):
    class InParts(made_up):
        """Reports the whole batch once, fails, and goes on in two parts."""

        def _report(self, batch, batch_idx, trace):
            report = super()._report
            report(
                batch, batch_idx, trace[:, :, :1].expand(-1, -1, self.chains)[:10].repeat(3, 1, 1)
            )
            for rows in (slice(0, 2), slice(2, None)):
                report({**batch, "id": batch["id"][rows]}, batch_idx, trace[:, rows])

    callbacks = [CompletionWriter(str(tmp_path)), WalkAnimation(pictures=2)]
    predict(callbacks, module=InParts(), names="abc")
    assert files_below(tmp_path / "animations") == ["a.gif", "b.gif"]
    with Image.open(tmp_path / "animations/b.gif") as image:
        assert image.n_frames == 3


def test_summary_fits_a_screen_and_names_failures(tmp_path, predict, made_up, made_up_data, capsys):
    summary = Summary(failures=2)
    data = made_up_data(list("abcd"), skipped=[("torn", "in/torn.png is not a picture")])
    callbacks = [CompletionWriter(str(tmp_path)), EnergyTable(), summary]
    predict(callbacks, module=made_up(failing=["b", "c"]), data=data)
    out = capsys.readouterr().out
    assert f"4 pictures completed, see {tmp_path}" in out
    assert re.search(r"median PSNR on the known pixels 28\.\d dB", out)
    assert "120 gradient evaluations" in out
    assert "torn: in/torn.png is not a picture" in out
    assert "b (chain 0): not finite" in out
    assert "and 1 more, see energies.csv" in out
    assert "energies.csv  one row per completion" in out
    assert len(out.splitlines()) < 24
    assert len(summary.result.failures) == 3


@pytest.mark.parametrize(
    ("chi2", "words"),
    [(1.02, "4 of 4 pictures arrived"), (2.0, "0 of 4 pictures arrived"), (None, "")],
)
def test_summary_says_how_many_arrived(tmp_path, predict, made_up, capsys, chi2, words):
    class Measured(made_up):
        def _diagnostics(self, shape):
            known = {
                "chi2": torch.full(shape, chi2 or 0),
                "arrived": torch.full(shape, chi2 == 1.02),
            }
            return super()._diagnostics(shape) | ({} if chi2 is None else known)

    predict([CompletionWriter(str(tmp_path)), EnergyTable(), Summary()], module=Measured())
    out = capsys.readouterr().out
    assert words in out
    assert ("arrived" in out) == (chi2 is not None)
    assert ("the others:" in out) == (chi2 == 2.0)


def test_principal_variation_finds_the_direction_and_its_size():
    way = torch.zeros(3, 4, 4)
    way[:, 1, 2] = 3.0
    base = torch.full((3, 4, 4), 100.0)
    amounts = torch.tensor([-10.0, 0.0, 10.0, 0.0])
    completions = (base + amounts[:, None, None, None] * way).round().byte()
    pictures, shares = principal_variation(completions)
    assert pictures.shape == (1, 5, 4, 4, 3)
    assert shares == pytest.approx([1.0])
    deviation = 3 * amounts.std().item()
    expected = [100 + step * deviation for step in (-2, -1, 0, 1, 2)]
    np.testing.assert_allclose(pictures[0, :, 1, 2, 0], expected, atol=0.5)
    assert (np.delete(pictures.reshape(5, 16, 3), 6, axis=1) == 100).all()


@pytest.mark.parametrize(("chains", "written"), [(2, False), (3, True)])
def test_variation_needs_three_chains(tmp_path, predict, made_up, chains, written):
    callbacks = [CompletionWriter(str(tmp_path)), PosteriorVariation(side=32)]
    predict(callbacks, module=made_up(chains=chains), names=["a"])
    assert (tmp_path / "variation/a.png").exists() == written


def test_equal_completions_vary_in_nothing():
    assert len(principal_variation(torch.full((4, 3, 2, 2), 7).byte())[1]) == 0
