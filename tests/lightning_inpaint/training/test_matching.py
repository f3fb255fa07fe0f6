"""The energy distance between samples and real pictures of each class."""

from itertools import islice

import torch

from lightning_inpaint.training import diff_augment
from lightning_inpaint.training.draws import StepDraws
from lightning_inpaint.training.matching import EnergyDistance
from tests.lightning_inpaint.training.test_guidance import write_classifier
from tests.lightning_inpaint.training.test_step import latents


def filled(real, fake, **options):
    """With memories of one class, rows (M, width)."""
    made = EnergyDistance(1, real.shape[1], memory=len(real), **options).double()
    for rows, kind in ((real, True), (fake, False)):
        made.remember(rows, torch.zeros(len(rows), dtype=torch.int64), real=kind)
    return made


def rows(count, width, seed, shift=0.0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=stream, dtype=torch.float64) + shift


def test_equals_the_definition():
    real, fake, shown = rows(40, 8, 0), rows(40, 8, 1), rows(5, 8, 2)
    found = filled(real, fake, group=4)(shown, torch.zeros(5, dtype=torch.int64))

    centred = real - real.mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / 40)
    assert values.min() > values.mean() / 100  # the floor of narrow directions is not met
    whitened = vectors @ torch.diag(values**-0.25) @ vectors.T
    random = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    basis = whitened @ torch.linalg.qr(random).Q.double()
    total = 0.0
    for x in shown @ basis:
        for part in (slice(0, 4), slice(4, 8)):
            to_real = (x[part] - (real @ basis)[:, part]).norm(dim=1).mean()
            to_fake = (x[part] - (fake @ basis)[:, part]).norm(dim=1).mean()
            total += (to_real - to_fake) / 2
    torch.testing.assert_close(found, total / 5, rtol=1e-6, atol=1e-7)


def test_what_is_near_weighs_more():
    """d + 3 t (1 - exp(-d / t)) with t a quarter of the mean distance, over one group."""
    real, fake, shown = rows(40, 8, 0), rows(30, 8, 1), rows(5, 8, 2)
    made = EnergyDistance(1, 8, memory=40, group=8, near=0.25).double()
    none = torch.zeros(40, dtype=torch.int64)
    made.remember(real, none, real=True)
    made.remember(fake, none[:30], real=False)  # ten places of the memory are free
    basis = made._basis()

    def weighed(bank):
        d = torch.cdist(shown @ basis, bank @ basis)
        t = d.mean() / 4
        return (d + 3 * t * (1 - torch.exp(-d / t))).mean()

    torch.testing.assert_close(made(shown, none[:5]), weighed(real) - weighed(fake))


def test_is_nought_where_the_distributions_are_equal_and_grows_with_their_distance():
    real = rows(2000, 8, 0)
    labels = torch.zeros(500, dtype=torch.int64)
    values = []
    for shift in (0.0, 0.5, 1.0):
        made = filled(real, rows(2000, 8, 1, shift))
        values.append(float(made(rows(500, 8, 2, shift), labels)))
    assert abs(values[0]) < 0.02
    assert 0.05 < values[1] < values[2]


def test_samples_are_drawn_to_what_they_lack():
    """Real ones lie on both sides, samples on one: each is pushed towards the other."""
    real = torch.cat([rows(50, 8, 0, 3.0), rows(50, 8, 1, -3.0)])
    made = filled(real, rows(100, 8, 2, 3.0))
    shown = rows(20, 8, 3, 3.0).requires_grad_()
    made(shown, torch.zeros(20, dtype=torch.int64)).backward()
    assert (-shown.grad).mean(dim=0).max() < 0


def test_the_oldest_are_forgotten_and_classes_kept_apart():
    made = EnergyDistance(3, 8, memory=4).double()
    labels = torch.tensor([2, 0, 2, 2, 0])
    made.remember(rows(5, 8, 0), labels, real=True)
    assert made.seen.tolist() == [[2, 0, 3], [0, 0, 0]]
    made.remember(rows(5, 8, 1), labels, real=True)
    first, second = rows(5, 8, 0), rows(5, 8, 1)
    # the fourth place of class 2 was free, the next two were the oldest
    expected = torch.stack([second[2], second[3], first[3], second[0]])
    torch.testing.assert_close(made.real[2], expected)
    torch.testing.assert_close(made.real[0], torch.cat([first[[1, 4]], second[[1, 4]]]))
    assert not made.real[1].any()


def test_classes_of_which_something_is_missing_are_left_alone():
    made = EnergyDistance(2, 8, memory=4).double()
    both = torch.tensor([0, 0, 1, 1])
    made.remember(rows(4, 8, 0), both, real=True)
    made.remember(rows(2, 8, 1), torch.zeros(2, dtype=torch.int64), real=False)
    shown = rows(4, 8, 2).requires_grad_()
    made(shown, both).backward()
    assert shown.grad[:2].abs().min() > 0
    assert not shown.grad[2:].any()
    alone = EnergyDistance(2, 8).double()(shown.detach(), both)
    assert float(alone) == 0.0


def test_adds_its_slope_to_the_generator(make, trainer, tmp_path):
    """The second step, in which samples of the first are remembered; nothing moves meanwhile."""
    path = write_classifier(tmp_path / "guide.safetensors")
    options = {"resolution": 32, "channel_base": 64, "augment": "", "guide": path, "guidance": 0.0}
    slopes = []
    for weight in (0.0, 7.0):
        module, data = make(**options, matching=weight, learning_rate=0.0, discriminator_rate=0.0)
        module = module.double()
        trainer(2).fit(module, data)
        slopes.append({k: p.grad for k, p in module.generator.named_parameters()})

    memory = EnergyDistance(2, module.guide.width).double()
    _, data = make(**options)  # from the first batch on
    data.setup()
    for step, batch in enumerate(islice(data.train_dataloader(), 2)):
        draws = StepDraws(0, step, torch.device("cpu"), dtype=torch.float64)
        z, _, noise = latents(module.generator, draws, 4)
        labels, order = batch["label"].sort(stable=True)
        real = batch["image"][order].double() / 127.5 - 1
        fake = module.generator(z, labels, noise)
        seen = [
            module.guide(diff_augment(x, "translation", 1.0, draws.stream(k)))[1]
            for x, k in ((real, 4), (fake, 3))
        ]
        memory.remember(seen[0], labels, real=True)
        loss = 7.0 * memory(seen[1], labels)
        memory.remember(seen[1].detach(), labels, real=False)
    names, parameters = zip(*module.generator.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert sum(float(x.abs().sum()) for x in found if x is not None) > 0
    for name, more in zip(names, found, strict=True):
        wanted = slopes[0][name] + (0.0 if more is None else more)
        torch.testing.assert_close(slopes[1][name], wanted, rtol=1e-7, atol=1e-9)
    for name, value in memory.state_dict().items():
        torch.testing.assert_close(module.energy.state_dict()[name], value)


def test_resuming_goes_on_exactly(resumes_exactly, tmp_path):
    path = write_classifier(tmp_path / "guide.safetensors")
    options = {"resolution": 32, "channel_base": 64, "guide": path, "matching": 7.0}
    resumes_exactly(**options)
