"""A user's own generator, from Python and on the command line, with nothing set but its name."""

import csv
import json

import pytest
import torch
from PIL import Image
from torch import nn

import cli
from lightning_inpaint import LatentInpainter, UserError

SOURCE = '''
import torch
from torch import nn


class Plain(nn.Module):
    """A DCGAN-like module that knows nothing of this project."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.ConvTranspose2d(5, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 5), nn.Tanh())

    def forward(self, z):
        return self.net(z)


class Conditional(nn.Module):
    z_dim, num_classes, class_names = 5, 2, ("dark", "light")

    def forward(self, z, labels):
        shade = (labels * 1.6 - 0.8).view(-1, 1, 1, 1)
        return (z[:, :3, None, None].expand(-1, 3, 8, 8) * 0.05 + shade).clamp(-1, 1)
'''


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module of the user's, importable from the folder the program is started in."""
    (tmp_path / "my_generators.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "my_generators"


SEED = ["--model.sampler", "seed", "--model.sampler.steps", "4", "--trainer.accelerator", "cpu"]


def predict(generator, out, *words):
    common = ["--model.generator", generator, "--output_dir", str(out)]
    return cli.main(["predict", *common, *SEED, *words])


def test_own_module_on_the_command_line(own_module, tmp_path):
    out = tmp_path / "out"
    assert predict(f"{own_module}.Plain", out, "--data.num", "2") == 0
    assert len(list((out / "composites").glob("*.png"))) == 2
    assert json.loads((out / "run.json").read_text())["settings"]["model.latents"] == "z"


def test_classes_that_are_not_given_are_reported_with_their_probabilities(
    own_module, tmp_path, capsys
):
    (tmp_path / "in").mkdir()
    for name, shade in (("day", 230), ("night", 25)):
        Image.new("RGB", (8, 8), (shade, shade, shade)).save(tmp_path / "in" / f"{name}.png")
    words = ["--data", "FolderMasks", "--data.images", str(tmp_path / "in")]
    out = tmp_path / "out"
    assert predict(f"{own_module}:Conditional", out, *words, "--model.chains", "2") == 0
    with open(out / "energies.csv", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    for name, expected in (("day", "light"), ("night", "dark")):
        row = rows[name]
        assert row["label"] == ""
        assert row["inferred_label"] == row["chain_class"] == expected
        assert float(row["inferred_probability"]) > 0.9
        assert json.loads(row["class_posterior"])[expected] > 0.9
        assert 0 <= float(row["class_entropy"]) < 0.33
        inferred = json.loads((out / "records" / f"{name}.json").read_text())["inferred"]
        assert sum(inferred["posterior"].values()) == pytest.approx(1, abs=1e-5)
        assert inferred["name"] == expected
    assert "class inferred for 2 pictures" in capsys.readouterr().out


def test_own_module_from_python_needs_no_attributes():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3 * 64), nn.Unflatten(1, (3, 8, 8)), nn.Sigmoid())
    module = LatentInpainter(network, chains=2)
    assert module.hparams["latents"] == "z"
    batch = {"image": torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "mask": torch.zeros(1, 1, 8, 8)}
    assert module.predict_step(batch).raw.shape == (1, 2, 3, 8, 8)
    with pytest.raises(UserError, match="only 'z' can be sampled"):
        LatentInpainter(network, latents="z++noise")


def test_default_latents_are_all_gaussian_inputs_and_slack(tiny_generator):
    assert LatentInpainter(tiny_generator).space.name == "z+noise+slack"
    assert LatentInpainter(tiny_generator, slack=None).space.name == "z+noise"


NEEDY = '''
from torch import nn


class Needy(nn.Module):
    """Grey pictures of 28 pixels; not to be made without its arguments."""

    def __init__(self, nz, act):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(nz, 784), {"tanh": nn.Tanh(), "sigmoid": nn.Sigmoid()}[act])

    def forward(self, z):
        return self.net(z).view(-1, 1, 28, 28)
'''


@pytest.fixture
def needy(tmp_path, monkeypatch):
    (tmp_path / "needy_generators.py").write_text(NEEDY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    import needy_generators

    torch.manual_seed(0)
    torch.save({"netG": needy_generators.Needy(5, "tanh").state_dict(), "epoch": 2}, "w.tar")


def bytes_of(out):
    return [path.read_bytes() for path in sorted((out / "raw").rglob("*.png"))]


@pytest.mark.parametrize("prior", [None, "uniform", "sphere"])
def test_arguments_and_weights_on_the_command_line_in_yaml_and_from_python(prior, needy, tmp_path):
    more = ["--model.latent_prior", prior] if prior else []
    text = "needy_generators:Needy(nz=5, act='tanh')@w.tar#netG"
    assert predict(text, tmp_path / "typed", "--data.num", "2", *more) == 0
    (tmp_path / "job.yaml").write_text(
        "model:\n  generator:\n    class_path: needy_generators.Needy\n"
        "    init_args: {nz: 5, act: tanh}\n    weights: w.tar\n"
    )
    words = ["--config", "job.yaml", "--data.num", "2", "--output_dir", str(tmp_path / "yaml")]
    assert cli.main(["predict", *words, *SEED, *more]) == 0
    typed = bytes_of(tmp_path / "typed")
    assert typed == bytes_of(tmp_path / "yaml")
    assert len(typed) == 2
    settings = json.loads((tmp_path / "yaml" / "run.json").read_text())["settings"]
    assert settings["model.generator"] == "needy_generators.Needy(nz=5, act='tanh')@w.tar"


def test_grey_generators_complete_grey_and_colour_pictures(needy, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("L", (28, 28), 90).save(tmp_path / "in" / "grey.png")
    Image.new("RGB", (40, 28), (200, 30, 90)).save(tmp_path / "in" / "colour.png")
    words = ["--data", "FolderMasks", "--data.images", "in"]
    out = tmp_path / "out"
    assert predict("needy_generators:Needy(5, 'sigmoid')", out, *words) == 0
    assert len(list((out / "composites").glob("*.png"))) == 2


def test_missing_arguments_are_named(needy, tmp_path, capsys):
    assert predict("needy_generators:Needy", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "needs the arguments nz and act: write 'needy_generators:Needy(nz=..., act=...)'" in said


def test_a_class_and_its_arguments_from_python(needy):
    import needy_generators

    model = LatentInpainter(
        (needy_generators.Needy, {"nz": 5, "act": "tanh"}), latent_prior="uniform"
    )
    assert model.hparams["generator"] == "needy_generators:Needy(nz=5, act='tanh')"
    assert model.generator.latent_prior == "uniform"


def test_samples_of_ones_own_generator(needy, tmp_path):
    words = [
        "needy_generators:Needy(5, 'tanh')@w.tar",
        "--columns",
        "2",
        "--latent_prior",
        "uniform",
    ]
    assert cli.main(["sample", *words, "--output", "uniform.png"]) == 0
    assert cli.main(["sample", *words[:3], "--output", "gaussian.png"]) == 0
    drawn = [(tmp_path / f"{name}.png").read_bytes() for name in ("uniform", "gaussian")]
    assert drawn[0] != drawn[1]
