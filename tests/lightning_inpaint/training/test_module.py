"""The training step against a plain reference, averaging, resuming, stopping."""

import copy

import pytest
import torch
from safetensors.torch import save_file

from lightning_inpaint.errors import UserError
from lightning_inpaint.evaluation import Classifier
from lightning_inpaint.generators.checkpoints.native import load_native
from lightning_inpaint.training import (
    AverageGenerator,
    DivergenceGuard,
    ExportGenerator,
    GeneratorTraining,
    SampleGrid,
    Throughput,
)
from lightning_inpaint.training.draws import StepDraws


def plain_step(generator, judge, real, real_labels, gamma, interval):
    """The step as a textbook writes it: D on detached pictures with R1, then G through D."""
    draws = StepDraws(0, 0, torch.device("cpu"))
    stream = draws.stream(0)
    z = draws.normal(stream, len(real), generator.z_dim).double()
    labels = draws.integers(stream, len(real), generator.num_classes)
    noise = [n.double() for n in draws.noise(stream, len(real), generator.noise_shapes)]
    opt_g = torch.optim.Adam(generator.parameters(), 0.002, betas=(0.0, 0.99))
    opt_d = torch.optim.Adam(judge.parameters(), 0.0005, betas=(0.0, 0.99))
    real = real.clone().requires_grad_()
    on_real = judge(real, real_labels)
    (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    loss = torch.log1p(torch.exp(-on_real)).mean()
    loss = loss + torch.log1p(torch.exp(judge(generator(z, labels, noise).detach(), labels))).mean()
    loss = loss + interval * gamma / 2 * slope.square().sum() / len(real)
    opt_d.zero_grad()
    loss.backward()
    opt_d.step()
    opt_g.zero_grad()
    torch.log1p(torch.exp(-judge(generator(z, labels, noise), labels))).mean().backward()
    opt_g.step()


def test_a_step_equals_the_plain_reference_in_float64(make, trainer, monkeypatch):
    module, data = make(augment="", noise_limit=None, r1_gamma=3.0, r1_interval=4)
    module = module.double()
    generator = copy.deepcopy(module.generator)
    judge = copy.deepcopy(module.adversary.discriminator)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    real = batch["image"].double() / 127.5 - 1
    plain_step(generator, judge, real, batch["label"], gamma=3.0, interval=4)

    normal = StepDraws.normal
    monkeypatch.setattr(StepDraws, "normal", lambda *a: normal(*a).double())
    trainer(1).fit(module, data)
    # The module divides the bytes in float32, hence the tolerance.
    for (name, mine), theirs in zip(
        module.generator.named_parameters(), generator.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5, msg=name)
    for mine, theirs in zip(
        module.adversary.discriminator.parameters(), judge.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_average_has_its_half_life_in_pictures(make):
    module, _ = make(average_pictures=100.0, average_rampup=1.0)
    module.seen.fill_(1000)
    module.update_average(0)  # the first update copies
    start = module.generator.mapping.fc0.bias.clone()
    module.generator.mapping.fc0.bias.data.add_(8.0)
    module.update_average(100)
    torch.testing.assert_close(module.averaged.mapping.fc0.bias, start + 4.0)
    module.update_average(200)
    torch.testing.assert_close(module.averaged.mapping.fc0.bias, start + 7.0)


def test_average_is_ramped_up(make):
    module, _ = make(average_pictures=1e9, average_rampup=0.1)
    module.seen.fill_(1000)
    module.update_average(0)
    start = module.generator.mapping.fc0.bias.clone()
    module.generator.mapping.fc0.bias.data.add_(8.0)
    module.update_average(100)
    torch.testing.assert_close(module.averaged.mapping.fc0.bias, start + 4.0)


def test_resuming_goes_on_exactly(make, trainer, tmp_path):
    whole, data = make()
    # Five steps are two epochs and a half of two batches, three lie within the second.
    trainer(5, callbacks=[AverageGenerator()]).fit(whole, data)
    first, data = make()
    run = trainer(3, callbacks=[AverageGenerator()])
    run.fit(first, data)
    run.save_checkpoint(tmp_path / "half.ckpt")
    second, data = make()
    torch.manual_seed(99)
    trainer(5, callbacks=[AverageGenerator()]).fit(
        second, data, ckpt_path=tmp_path / "half.ckpt", weights_only=False
    )
    assert int(second.steps) == 5
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_noise_strength_is_bounded(make, trainer):
    module, data = make(noise_limit=1e-3, learning_rate=0.1)
    trainer(2).fit(module, data)
    strengths = [c.noise_strength.abs().item() for c in module.generator.synthesis.convolutions]
    assert max(strengths) == pytest.approx(1e-3)


def test_stops_after_the_pictures_asked_for(make, trainer):
    module, data = make(total_pictures=12)
    trainer(100).fit(module, data)
    assert int(module.seen) == 12


def test_callbacks_write_samples_and_a_generator_that_loads(make, trainer, tmp_path):
    module, data = make(total_pictures=8)
    callbacks = [
        AverageGenerator(),
        ExportGenerator(dtype="float32"),
        SampleGrid(2, rows=2),
        Throughput(1),
    ]
    run = trainer(2, callbacks=callbacks)
    run.fit(module, data)
    assert (tmp_path / "samples/step0000002.png").is_file()
    assert float(run.callback_metrics["pictures"]) == 8
    exported = load_native(tmp_path / "generator.safetensors")
    assert exported.class_names == ("ant", "bee")
    z, labels = torch.randn(2, 4), torch.tensor([0, 1])
    torch.testing.assert_close(exported(z, labels), module.averaged(z, labels))


def test_divergence_stops_the_run_with_a_sentence(make, trainer):
    module, data = make()
    module.generator.synthesis.b8.torgb.bias.data.fill_(float("nan"))
    with pytest.raises(UserError, match=r"Training diverged at step 1: .* is nan"):
        trainer(2, callbacks=[DivergenceGuard(1)]).fit(module, data)


def test_collapse_is_noticed(make, trainer):
    module, data = make()
    with pytest.raises(UserError, match="samples are all alike"):
        trainer(2, callbacks=[DivergenceGuard(1, min_spread=10.0)]).fit(module, data)


@pytest.fixture
def classifier_file(tmp_path):
    torch.manual_seed(0)
    net = Classifier((4, 4, 4), 2)
    state = {k: v for k, v in net.state_dict().items() if v.is_floating_point()}
    save_file(state, tmp_path / "classifier.safetensors")
    return str(tmp_path / "classifier.safetensors")


def test_projected_adversary_with_encoder_trains_and_leaves_the_trunk_alone(
    make, trainer, classifier_file
):
    module, data = make(
        resolution=32, adversary="projected", features=classifier_file, reconstruction=10.0
    )
    before = {k: v.clone() for k, v in module.state_dict().items()}
    run = trainer(1, max_steps=3)
    run.fit(module, data)
    now = module.state_dict()
    changed = {".".join(k.split(".")[:2]) for k in now if not torch.equal(now[k], before[k])}
    assert {"generator.synthesis", "generator.mapping", "adversary.heads"} <= changed
    assert {"encoder.first", "encoder.out"} <= changed
    assert "adversary.features" not in changed
    assert {"loss/pixels", "loss/kl"} <= set(run.callback_metrics)


def test_bad_settings_are_one_sentence():
    with pytest.raises(UserError, match="sees 32x32 pictures"):
        GeneratorTraining(resolution=64, adversary="projected")
    with pytest.raises(UserError, match="needs the features"):
        GeneratorTraining(resolution=8, adversary="stylegan2", reconstruction=1.0)
    with pytest.raises(UserError, match="there is no file"):
        GeneratorTraining(features="nowhere.safetensors")
