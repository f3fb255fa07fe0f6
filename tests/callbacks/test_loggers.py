"""Energies and completions reach real loggers, with a Langevin step axis."""

import csv
import sys

import pytest
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from lightning_inpaint.callbacks import (
    CompletionLogger,
    CompletionWriter,
    EnergyLogger,
    PictureProgressBar,
)
from lightning_inpaint.errors import UserError
from tests.callbacks.made_up import files_below

KEYS = {f"langevin/energy_{name}" for name in ("mean", "median", "min", "max")}
KEYS |= {"langevin/step", "langevin/batch"}
STEPS = [10, 20, 30, 40, 50, 60]  # two batches of thirty steps, reported every ten


@pytest.fixture
def events(tmp_path):
    """TensorBoard's own reader on what has been logged."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read():
        found = accumulator.EventAccumulator(str(tmp_path / "logs"), size_guidance={"images": 0})
        return found.Reload()

    return read


def test_energies_in_csv(tmp_path, predict):
    predict([EnergyLogger()], logger=CSVLogger(tmp_path, name="", version="logs"))
    rows = list(csv.DictReader((tmp_path / "logs/metrics.csv").open()))
    assert set(rows[0]) == KEYS | {"step"}
    assert [int(row["step"]) for row in rows] == STEPS
    assert [int(row["langevin/step"]) for row in rows] == [10, 20, 30] * 2
    assert [int(row["langevin/batch"]) for row in rows] == [0] * 3 + [1] * 3
    for row in rows:
        low, middle, high = (float(row[f"langevin/energy_{n}"]) for n in ("min", "median", "max"))
        assert low <= middle <= high


def test_energies_and_completions_in_tensorboard(tmp_path, predict, events):
    callbacks = [
        CompletionWriter(str(tmp_path / "out")),
        EnergyLogger(),
        CompletionLogger(columns=3),
    ]
    predict(callbacks, logger=TensorBoardLogger(tmp_path, name="", version="logs"))
    found = events()
    assert set(found.Tags()["scalars"]) >= KEYS
    assert [event.step for event in found.Scalars("langevin/energy_median")] == STEPS
    assert set(found.Tags()["images"]) == {"completions", "energies"}
    assert [event.step for event in found.Images("completions")] == [0, 1]


def test_completions_skip_loggers_without_images(tmp_path, predict):
    logger = CSVLogger(tmp_path, name="", version="logs")
    predict([CompletionWriter(str(tmp_path / "out")), CompletionLogger()], logger=logger)
    assert "metrics.csv" not in files_below(tmp_path / "logs")


def test_weights_and_biases_offline(tmp_path, predict, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    from pytorch_lightning.loggers import WandbLogger

    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(offline=True, save_dir=tmp_path, project="test")
    logged = []
    monkeypatch.setattr(logger, "log_metrics", _recording(logger.log_metrics, logged))
    callbacks = [CompletionWriter(str(tmp_path / "out")), EnergyLogger(), CompletionLogger()]
    predict(callbacks, logger=logger)
    wandb.finish()
    assert [step for keys, step in logged if keys >= KEYS] == STEPS
    pictures = list((tmp_path / "wandb").glob("offline-run-*/files/media/images/*.png"))
    assert {path.name.partition("_")[0] for path in pictures} == {"completions", "energies"}


def _recording(function, logged):
    def record(metrics, step=None):
        logged.append((set(metrics), step))
        return function(metrics, step)

    return record


def test_infinite_energies_do_not_spoil_the_figures(tmp_path, predict, made_up):
    class Exploding(made_up):
        def _picture(self, name):
            raw, trace = super()._picture(name)
            return raw, trace if name != "b" else trace * float("inf")

    logger = CSVLogger(tmp_path, name="", version="logs")
    predict([EnergyLogger()], module=Exploding(), names=["a", "b", "c"], logger=logger)
    rows = list(csv.DictReader((tmp_path / "logs/metrics.csv").open()))
    assert all(float(row["langevin/energy_max"]) < 1e4 for row in rows)


@pytest.mark.parametrize("callback", [EnergyLogger, CompletionLogger])
def test_a_logger_is_needed(tmp_path, predict, callback):
    with pytest.raises(UserError, match=f"{callback.__name__} has no logger"):
        predict([CompletionWriter(str(tmp_path)), callback()])


def test_progress_bar_counts_pictures_and_shows_the_energy(predict, capsys, monkeypatch):
    monkeypatch.setattr("lightning_inpaint.callbacks.progress._lively", lambda: True)
    predict([PictureProgressBar()])
    out = capsys.readouterr().out
    assert "4/4" in out
    assert "pictures" in out
    assert "/30" in out
    assert "energy" in out


def test_progress_bar_counts_work_not_steps(predict, made_up, capsys, monkeypatch):
    monkeypatch.setattr("lightning_inpaint.callbacks.progress._lively", lambda: True)

    class Late(made_up):
        """The last ten of thirty steps take nine tenths of the work."""

        def _tell(self, state):
            return super()._tell(state._replace(work=({10: 10, 20: 20, 30: 200}[state.step], 200)))

    predict([PictureProgressBar()], module=Late())
    out = capsys.readouterr().out
    assert "/200 [" in out
    assert "evaluations/s" in out
    assert "/30 [" not in out


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 6), (1000.0, 0)])
def test_piped_output_gets_a_line_now_and_then(predict, capsys, monkeypatch, seconds, lines):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # somebody's import makes no notebook
    predict([PictureProgressBar(seconds=seconds)])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == lines
    if lines:
        assert said[1].startswith("0 of 4 pictures, 50 %, energy ")
        assert "s to go" in said[1]
        assert "\r" not in "".join(said)


def test_progress_bar_can_be_off(predict, capsys):
    predict([PictureProgressBar(refresh_rate=0)])
    assert "pictures" not in capsys.readouterr().out
