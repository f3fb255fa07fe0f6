"""``python cli.py evaluate`` for real, in this process, with the bundled classifier."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import cli
from lightning_inpaint.errors import UserError
from lightning_inpaint.evaluation import evaluate_generator, noise_redraw_psnr, sample
from lightning_inpaint.generators import save_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

# The bundled classifier's, in its order.
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def write_pictures(folder, each, seed=0):
    """Coloured noise in ten classes, told apart by their brightness."""
    random = np.random.default_rng(seed)
    for k, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            picture = random.integers(20 * k, 20 * k + 75, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("real") / "train", 4)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    network = StyleGAN2Generator(8, 10, 8, 32, channel_base=256, channel_max=8, class_names=CLASSES)
    for layer in network.synthesis.convolutions:
        layer.noise_strength.data.fill_(0.1)
    return network.eval().requires_grad_(False)


@pytest.fixture
def checkpoint(generator, tmp_path):
    return str(save_generator(generator, tmp_path / "tiny.safetensors"))


def evaluate(checkpoint, pictures, out, *words):
    common = ["--path", str(pictures), "--output", str(out), "--samples", "20", "--device", "cpu"]
    return cli.main(["evaluate", checkpoint, *common, *words])


def test_everything_at_once(checkpoint, pictures, tmp_path, capsys):
    test = write_pictures(tmp_path / "test", 1, seed=1)
    out, shown = tmp_path / "report.json", tmp_path / "neighbours.png"
    words = ["--accuracy_score", "40", "--test_path", str(test), "--neighbours", str(shown)]
    assert evaluate(checkpoint, pictures, out, *words) == 0
    report = json.loads(out.read_text())
    assert report["samples"] == 20
    assert len(report["nearest_neighbours"]) == 16
    assert Image.open(shown).width > 16 * 32
    figures = report["figures"]
    in_features = ("frechet_distance", "kernel_distance", "precision", "recall")
    for name in (*in_features, "nearest_neighbour_distance", "intended_class_accuracy"):
        assert figures[name]["measured_with"].startswith("classifier cifar10 (91.3 %")
        assert figures[name]["real"] is not None
    # An untrained network is far from real pictures, two halves of which are near each other.
    assert figures["frechet_distance"]["value"] > 3 * figures["frechet_distance"]["real"]
    assert figures["precision"]["value"] < figures["precision"]["real"]
    score = figures["classification_accuracy_score"]
    assert 0 <= score["value"] <= 1
    assert score["measured_with"].endswith("trained on 40 samples, 10 real test pictures")
    assert figures["noise_redraw_psnr_db"]["value"] > 0
    table = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(name) for line in table) for name in figures)
    assert sum("classifier cifar10" in line for line in table) == 6


def test_real_pictures_are_as_good_as_real_pictures(pictures):
    """A generator that returns training pictures has their figures and is caught memorising."""
    real = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    real = (real // 4 + torch.arange(64).view(-1, 1, 1, 1) * 3).to(torch.uint8)

    class Copier(torch.nn.Module):
        z_dim, num_classes, resolution, img_channels, class_names = 1, 0, 32, 3, None

        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, z, labels=None):
            rows = (z[:, 0].abs() * 1e4).long() % len(real)
            return real[rows].float() / 127.5 - 1

    figures = evaluate_generator(Copier(), real, torch.zeros(64), samples=32)["figures"]
    assert figures["precision"]["value"] > 0.7
    assert figures["nearest_neighbour_distance"]["value"] < 1e-3
    assert figures["nearest_neighbour_distance"]["real"] > 1e-2
    assert figures["noise_redraw_psnr_db"]["value"] == float("inf")
    assert "intended_class_accuracy" not in figures


def test_noise_redraw_follows_the_strength_of_the_noise(generator):
    before = noise_redraw_psnr(generator, 20)
    strengths = [layer.noise_strength for layer in generator.synthesis.convolutions]
    try:
        for strength in strengths:
            strength.mul_(0.1)
        # A tenth of the noise is 20 dB while the network is close to linear in it.
        assert noise_redraw_psnr(generator, 20) == pytest.approx(before + 20, abs=3)
        for strength in strengths:
            strength.zero_()
        assert noise_redraw_psnr(generator, 20) == float("inf")
    finally:
        for strength in strengths:
            strength.fill_(0.1)


def test_truncation_narrows_each_class_and_leaves_the_rest_alone(generator):
    strengths = [layer.noise_strength for layer in generator.synthesis.convolutions]
    try:
        for strength in strengths:
            strength.zero_()
        whole, labels = sample(generator, 40, seed=3)
        within = {}
        for share in (1.0, 0.5, 1e-6):
            drawn, same = sample(generator, 40, seed=3, truncation=share)
            assert torch.equal(labels, same)
            of_class = [drawn[labels == k].float() for k in range(10)]
            within[share] = torch.stack([x.std(dim=0).mean() for x in of_class]).mean()
            if share == 1:
                assert torch.equal(drawn, whole)
        assert within[1e-6] < 0.02 * within[1.0]
        assert 0.2 * within[1.0] < within[0.5] < 0.8 * within[1.0]
    finally:
        for strength in strengths:
            strength.fill_(0.1)


def test_the_report_says_how_far_it_was_truncated(checkpoint, pictures, tmp_path, capsys):
    figures = {}
    for share in ("1", "0.5"):
        out = tmp_path / f"{share}.json"
        assert evaluate(checkpoint, pictures, out, "--truncation", share) == 0
        report = json.loads(out.read_text())
        assert report["truncation"] == float(share)
        figures[share] = report["figures"]["frechet_distance"]["value"]
    assert figures["1"] != figures["0.5"]
    assert "20 samples at truncation 0.5, as many real" in capsys.readouterr().out


def test_too_few_real_pictures_are_no_fault_of_samples(checkpoint, pictures, tmp_path, capsys):
    few = write_pictures(tmp_path / "few", 1)
    assert evaluate(checkpoint, few, tmp_path / "report.json") == 2
    assert (
        "10 pictures are too few to compare with: it takes 32 at least." in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--truncation", "0"], "--truncation is 0.0; it must be above 0"),
        (["--samples", "2"], "--samples is 2, and must be at least 16"),
        (["--classifier", "gone.safetensors"], "gone.safetensors: there is no such file"),
        (["--accuracy_score", "10"], "pass --test_path"),
        (["--device", "nonsense"], "--device nonsense: not available here"),
        (["--path", "nowhere"], "nowhere: no such file or folder"),
        (["--features", "resnet"], "--features is resnet; pass classifier, mobilenet or inception"),
        (["--features", "classifier,classifier"], "each once"),
    ],
)
def test_mistakes_get_one_sentence_and_a_status(
    checkpoint, pictures, tmp_path, capsys, words, text
):
    assert evaluate(checkpoint, pictures, tmp_path / "report.json", *words) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_pictures_of_another_size_are_resized_when_asked(checkpoint, pictures, tmp_path, capsys):
    large = tmp_path / "large"
    for path in pictures.rglob("*.png"):
        target = large / path.relative_to(pictures)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((48, 40)).save(target)
    out = tmp_path / "report.json"
    assert evaluate(checkpoint, large, out) == 2
    error = capsys.readouterr().err
    assert "pass --resize true to crop pictures to a square and scale them" in error
    assert evaluate(checkpoint, large, out, "--resize") == 0
    assert json.loads(out.read_text())["samples"] == 20


def test_a_file_that_is_no_classifier(checkpoint, pictures, tmp_path, capsys):
    words = ["--classifier", checkpoint]
    assert evaluate(checkpoint, pictures, tmp_path / "report.json", *words) == 2
    assert "not a classifier that benchmarks/train_classifier.py wrote" in capsys.readouterr().err


def test_inception_that_cannot_be_had_is_one_sentence(
    checkpoint, pictures, tmp_path, capsys, monkeypatch
):
    def refuse(*args, **options):
        raise ModuleNotFoundError("torch-fidelity is not installed")

    monkeypatch.setattr("torchmetrics.image.fid.FrechetInceptionDistance", refuse)
    words = ["--features", "inception"]
    assert evaluate(checkpoint, pictures, tmp_path / "report.json", *words) == 2
    error = capsys.readouterr().err
    assert "--features inception: the network is not available here (torch-fidelity" in error
    assert "--features classifier" in error


def test_other_sizes_are_refused(tiny_generator):
    real = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(UserError, match="draws 8 pixels per side and the real pictures have 32"):
        evaluate_generator(tiny_generator, real, torch.zeros(64), samples=16)
