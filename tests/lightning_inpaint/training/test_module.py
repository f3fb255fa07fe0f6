"""Averaging, resuming, stopping, and what callbacks write."""

import pytest
import torch

from lightning_inpaint.callbacks.training import (
    AverageGenerator,
    DivergenceGuard,
    ExportGenerator,
    SampleGrid,
    Throughput,
)
from lightning_inpaint.errors import UserError
from lightning_inpaint.generators.checkpoints.native import load_native
from lightning_inpaint.training import GeneratorTraining


def test_average_has_its_half_life_in_pictures(make):
    module, _ = make(average_pictures=100.0)
    module.seen = 10_000
    start = module.generator.mapping.fc0.bias.clone()
    module.generator.mapping.fc0.bias.data.add_(8.0)
    module.update_average(100)
    torch.testing.assert_close(module.averaged.mapping.fc0.bias, start + 4.0)
    module.update_average(200)
    torch.testing.assert_close(module.averaged.mapping.fc0.bias, start + 7.0)


def test_average_is_ramped_up(make):
    module, _ = make(average_pictures=1e9)
    module.seen = 2000
    start = module.generator.mapping.fc0.bias.clone()
    module.generator.mapping.fc0.bias.data.add_(8.0)
    module.update_average(100)
    torch.testing.assert_close(module.averaged.mapping.fc0.bias, start + 4.0)


def test_average_does_not_depend_on_how_often_it_is_taken(make, trainer):
    # Of a generator that stands still it is that generator.
    module, data = make(learning_rate=0.0)
    trainer(3, callbacks=[AverageGenerator(every_n_steps=2)]).fit(module, data)
    for averaged, now in zip(
        module.averaged.parameters(), module.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(averaged, now)


def test_resuming_goes_on_exactly(make, trainer, tmp_path):
    options = {"r1_interval": 2}
    whole, data = make(**options)
    # Five steps are two epochs and a half of two batches, three lie within the second.
    trainer(5, callbacks=[AverageGenerator()]).fit(whole, data)
    first, data = make(**options)
    run = trainer(3, callbacks=[AverageGenerator()])
    run.fit(first, data)
    run.save_checkpoint(tmp_path / "half.ckpt")
    second, data = make(**options)
    torch.manual_seed(99)
    trainer(5, callbacks=[AverageGenerator()]).fit(
        second, data, ckpt_path=tmp_path / "half.ckpt", weights_only=True
    )
    assert (second.steps, second.seen) == (5, 20)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_a_resumed_run_takes_new_learning_rates(make, trainer, tmp_path):
    first, data = make()
    run = trainer(1)
    run.fit(first, data)
    run.save_checkpoint(tmp_path / "one.ckpt")
    second, data = make(learning_rate=0.0)
    trainer(2).fit(second, data, ckpt_path=tmp_path / "one.ckpt", weights_only=True)
    for before, after in zip(
        first.generator.parameters(), second.generator.parameters(), strict=True
    ):
        assert torch.equal(before, after)
    assert not torch.equal(first.discriminator.fc.weight, second.discriminator.fc.weight)


def test_noise_strength_is_bounded(make, trainer):
    module, data = make(noise_limit=1e-3, learning_rate=0.1)
    trainer(2).fit(module, data)
    strengths = [c.noise_strength.abs().item() for c in module.generator.synthesis.convolutions]
    assert max(strengths) == pytest.approx(1e-3)


def test_stops_after_the_pictures_asked_for(make, trainer):
    module, data = make(total_pictures=12)
    trainer(100).fit(module, data)
    assert module.seen == 12


def test_half_precision_stays_near_full_precision(make, trainer):
    gradients = []
    for dtype in ("float32", "bfloat16"):
        module, data = make(convolution_dtype=dtype, augment="")
        trainer(1).fit(module, data)
        parameters = [*module.generator.parameters(), *module.discriminator.parameters()]
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]))
        assert gradients[-1].dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99


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


def test_exports_with_a_number_in_their_name_are_all_kept(make, trainer, tmp_path):
    module, data = make()
    export = ExportGenerator("g-{steps}-{pictures}.safetensors", every_n_steps=1)
    trainer(2, callbacks=[export]).fit(module, data)
    names = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert names == ["g-1-4.safetensors", "g-2-8.safetensors"]


def test_divergence_stops_the_run_with_a_sentence(make, trainer):
    module, data = make()
    module.generator.synthesis.b8.torgb.bias.data.fill_(float("nan"))
    with pytest.raises(UserError, match=r"Training diverged at step 1: .* is nan"):
        trainer(2, callbacks=[DivergenceGuard(1)]).fit(module, data)


def test_collapse_is_noticed(make, trainer):
    module, data = make()
    with pytest.raises(UserError, match="samples are all alike"):
        trainer(2, callbacks=[DivergenceGuard(1, min_spread=10.0)]).fit(module, data)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"resolution": 12}, "`resolution` is 12, and must be a power of two from 8 on"),
        ({"augment": "color,sharpen"}, "unknown augmentation 'sharpen'"),
    ],
)
def test_bad_settings_are_one_sentence(options, text):
    with pytest.raises(UserError, match=text):
        GeneratorTraining(**options)
