"""A file that would run code when it is unpickled runs none, through any door of training and measuring."""

import pathlib
import pickle

import pytest
import pytorch_lightning as pl
import torch

import cli
from lightning_inpaint import LatentInpainter
from lightning_inpaint.errors import UserError
from lightning_inpaint.training import GeneratorTraining, WholeCheckpoints


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return pathlib.Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "exploded"


@pytest.fixture(params=["torch", "pickle"])
def hostile(request, tmp_path, mark):
    """A checkpoint of a training run with a bomb in it, in torch's format or as a bare pickle."""
    path = tmp_path / "hostile.ckpt"
    content = {
        "state_dict": {"steps": torch.tensor(1)},
        "hyper_parameters": {"resolution": 8},
        "pytorch-lightning_version": pl.__version__,
        "callbacks": {"x": Bomb(mark)},
    }
    if request.param == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


def test_the_bomb_is_live(hostile, mark):
    if hostile.read_bytes()[:2] == b"PK":
        torch.load(hostile, weights_only=False)
    else:
        pickle.loads(hostile.read_bytes())
    assert mark.exists()


FIT = [
    "fit",
    "--model.resolution=8",
    "--model.z_dim=4",
    "--model.w_dim=4",
    "--model.channel_base=32",
]
FIT += ["--model.discriminator_base=32", "--data.batch_size=4", "--trainer.accelerator=cpu"]


@pytest.mark.parametrize(
    "option", ["--ckpt_path", "--model.start", "--model.start_discriminator", "--model.guide"]
)
def test_fit(folder, tmp_path, hostile, mark, capsys, option):
    words = [*FIT, f"--data.path={folder}", f"--trainer.default_root_dir={tmp_path}"]
    assert cli.main([*words, "--trainer.max_steps=2", f"{option}={hostile}"]) == 2
    error = capsys.readouterr().err
    assert "hostile.ckpt" in error
    assert error.count("\n") == 1
    assert "weights_only" not in error
    assert not mark.exists()


def test_evaluate(folder, tmp_path, hostile, mark, capsys):
    words = ["evaluate", "cifar10", f"--path={folder}", f"--output={tmp_path / 'report.json'}"]
    assert cli.main([*words, f"--classifier={hostile}"]) == 2
    assert cli.main(["evaluate", str(hostile), *words[2:]]) == 2
    assert "hostile.ckpt" in capsys.readouterr().err
    assert not mark.exists()


@pytest.mark.parametrize("asked", [True, False, None])
def test_a_trainer_with_our_checkpoints(make, trainer, hostile, mark, asked):
    """Whatever ``weights_only`` its caller asks for."""
    module, data = make()
    with pytest.raises(Exception, match=r"hostile\.ckpt"):
        trainer(2, plugins=[WholeCheckpoints()]).fit(
            module, data, ckpt_path=hostile, weights_only=asked
        )
    assert not mark.exists()


@pytest.mark.parametrize("module", [GeneratorTraining, LatentInpainter])
def test_load_from_checkpoint(module, hostile, mark):
    with pytest.raises(pickle.UnpicklingError):
        module.load_from_checkpoint(hostile)
    assert not mark.exists()


@pytest.mark.parametrize("content", [["a", "b"], 3, {"step": 1}, {"state_dict": [1]}])
def test_a_file_of_plain_values_is_no_checkpoint(content, tmp_path):
    """One that held a list ended in Lightning's TypeError."""
    path = tmp_path / "other.ckpt"
    torch.save(content, path)
    with pytest.raises(UserError, match=r"other\.ckpt`: no checkpoint of training"):
        WholeCheckpoints().load_checkpoint(path)
