"""A classifier that pulls samples into their class."""

import pytest
import torch
from safetensors.torch import save_file

import cli
from lightning_inpaint.errors import UserError
from lightning_inpaint.evaluation import Classifier, FeatureVectors, load_judge
from lightning_inpaint.training import diff_augment
from lightning_inpaint.training.draws import StepDraws
from lightning_inpaint.training.guidance import load_guide
from tests.lightning_inpaint.training.test_step import latents

TINY = {"resolution": 32, "channel_base": 64, "mismatch": 0.0, "augment": "translation"}
LOSSES = {"rows apart": {"group": 0}, "rows meet": {"group": 2}}


def write_classifier(path, names=("ant", "bee"), count=2):
    torch.manual_seed(1)
    network = Classifier((4, 4, 4), count)
    state = {k: v.contiguous() for k, v in network.state_dict().items() if v.is_floating_point()}
    metadata = {"class_names": "\n".join(names)} if names else {}
    save_file(state, path, metadata=metadata)
    return str(path)


def test_the_least_loss_is_at_the_confidence_asked_for(tmp_path):
    """With smoothing s and k classes, the loss is least at probability 1 - s + s / k, not at 1."""
    guide = load_guide(write_classifier(tmp_path / "guide.safetensors"), 32, 2, ("ant", "bee"))
    logits = torch.zeros(5, 2, dtype=torch.float64)
    logits[:, 0] = torch.tensor([1.0, 2.0, torch.tensor(0.9 / 0.1).log(), 3.0, 9.0])
    label = torch.zeros(1, dtype=torch.int64)
    losses = [float(guide.cross_entropy(row[None], label)) for row in logits]
    assert min(losses) == losses[2]
    assert losses[2] == pytest.approx(
        -0.9 * torch.tensor(0.9).log() - 0.1 * torch.tensor(0.1).log()
    )


def test_sees_what_the_classifier_says(tmp_path):
    path = write_classifier(tmp_path / "guide.safetensors")
    guide, classifier = load_guide(path, 32, 2, ("ant", "bee")), Classifier.from_file(path)
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    logits, features = guide(x)
    torch.testing.assert_close(logits, classifier(x))
    judged = FeatureVectors(classifier)(((x + 1) * 127.5).round().byte())
    assert features.shape == judged.shape == (3, guide.width)
    torch.testing.assert_close(features, judged, rtol=0.1, atol=0.05)  # rounded to bytes


@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
def test_adds_its_slope_to_the_generator_alone(losses, make, trainer, tmp_path):
    path = write_classifier(tmp_path / "guide.safetensors")
    slopes = []
    for guide in (None, path):
        module, data = make(**TINY, **losses, guide=guide, guidance=3.0)
        module = module.double()
        start = module.generator.state_dict()
        start = {k: v.clone() for k, v in start.items()}
        trainer(1).fit(module, data)
        slopes.append({k: p.grad for k, p in module.named_parameters() if p.requires_grad})

    module.generator.load_state_dict(start)
    _, data = make(**TINY)  # from the first batch on
    data.setup()
    batch = next(iter(data.train_dataloader()))
    draws = StepDraws(0, 0, torch.device("cpu"), dtype=torch.float64)
    z, labels, noise = latents(module.generator, draws, 4)
    if losses["group"]:
        labels = batch["label"].sort(stable=True).values
    fake = diff_augment(module.generator(z, labels, noise), "translation", 1.0, draws.stream(3))
    logs = module.guide.classifier(fake).log_softmax(dim=1)
    target = torch.full_like(logs, 0.1)
    target[torch.arange(4), labels] = 0.9
    loss = -3.0 * (target * logs).sum(dim=1).mean()
    names, parameters = zip(*module.generator.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    expected = dict(zip((f"generator.{name}" for name in names), found, strict=True))
    assert sum(float(slope.abs().sum()) for slope in found if slope is not None) > 0
    for name, slope in slopes[0].items():
        more = expected.get(name)
        wanted = slope if more is None else slope + more
        torch.testing.assert_close(slopes[1][name], wanted, rtol=1e-8, atol=1e-11, msg=name)


def test_neither_learns_nor_is_saved(make, trainer, tmp_path):
    module, data = make(**TINY, guide=write_classifier(tmp_path / "guide.safetensors"))
    before = {k: v.clone() for k, v in module.guide.classifier.state_dict().items()}
    trainer(2).fit(module, data)
    assert not [name for name in module.state_dict() if name.startswith("guide")]
    module.load_state_dict(module.state_dict())
    for name, value in module.guide.classifier.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_is_silent_while_the_discriminator_learns_alone(make, trainer, tmp_path):
    path = write_classifier(tmp_path / "guide.safetensors")
    module, data = make(**TINY, guide=path, head_start=8)
    module.guide.forward = None
    trainer(2).fit(module, data)
    with pytest.raises(TypeError):
        trainer(3).fit(module, data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": ("ant", "cow")}, r"classes \(ant, cow\) than the data has \(ant, bee\)"),
        ({"names": None, "count": 3}, r"\(3 without names\) than the data has \(ant, bee\)"),
        ({"resolution": 64}, "pictures of 32 pixels, and `resolution` is 64"),
        ({"path": "nowhere"}, "`guide=nowhere`: there is no such file"),
    ],
)
def test_what_cannot_guide_is_one_sentence(change, words, tmp_path):
    resolution, path = change.pop("resolution", 32), change.pop("path", None)
    path = path or write_classifier(tmp_path / "guide.safetensors", **change)
    with pytest.raises(UserError, match=words):
        load_guide(path, resolution, 2, ("ant", "bee"))


def test_classes_without_names_need_only_be_as_many(tmp_path):
    path = write_classifier(tmp_path / "guide.safetensors", names=None)
    assert load_guide(path, 32, 2, None).classifier.head.out_features == 2
    with pytest.raises(UserError, match="0 without names"):
        load_guide(path, 32, 0, None)


def test_the_bundled_guide_is_not_the_judge():
    judge = load_judge()
    guide = load_guide("cifar10", 32, 10, judge.class_names)
    assert guide.width == 256
    assert (
        guide.classifier.blocks[1].conv1.weight.shape
        != judge.classifier.blocks[1].conv1.weight.shape
    )


def test_matching_needs_a_guide(make):
    with pytest.raises(UserError, match=r"`matching` .* `guide`"):
        make(matching=1.0)


def test_through_the_command_line(folder, tmp_path, capsys):
    path = write_classifier(tmp_path / "guide.safetensors")
    network = ["--model.z_dim=4", "--model.w_dim=4", "--model.channel_base=64"]
    trainer = ["accelerator=cpu", "devices=1", "max_steps=2", f"default_root_dir={tmp_path}"]
    words = ["fit", f"--data.path={folder}", "--data.resize=true", "--data.batch_size=4"]
    words += [*network, "--model.discriminator_base=64", *(f"--trainer.{x}" for x in trainer)]
    assert cli.main([*words, f"--model.guide={path}", "--model.matching=10"]) == 0
    assert cli.main([*words, "--model.guide=missing.safetensors"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        "lightning-inpaint: error: --model.guide missing.safetensors: there is no such file"
    )
