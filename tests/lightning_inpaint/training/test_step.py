"""Two training steps against what a textbook writes, in float64."""

import copy
from itertools import islice

import pytest
import torch

from lightning_inpaint.training import diff_augment
from lightning_inpaint.training.draws import StepDraws

HYPER = {"r1_gamma": 3.0, "r1_interval": 2, "mismatch": 0.7, "noise_limit": None}
RATES = {"learning_rate": 0.003, "discriminator_rate": 0.001}


def softplus(x):
    return torch.log1p(torch.exp(x))


def pick(scores, labels):
    """The score of each row's own class."""
    column = torch.zeros(len(scores), dtype=torch.int64) if labels is None else labels
    return scores[torch.arange(len(scores)), column]


def latents(generator, draws, count):
    """z, classes and noise in the order in which a step draws them."""
    stream = draws.stream(0)
    z = stream.normal(count, generator.z_dim)
    labels = stream.integers(count, 0, generator.num_classes) if generator.num_classes else None
    noise = stream.noise(count, generator.noise_shapes)
    return z, labels, noise


class Textbook:
    """Each player has its own forward and backward pass; then both are updated."""

    def __init__(self, generator, judge, augment):
        self.generator, self.judge = generator, judge
        self.augment = augment
        self.opt_g = torch.optim.Adam(generator.parameters(), 0.003, betas=(0.0, 0.99))
        self.opt_d = torch.optim.Adam(judge.parameters(), 0.001, betas=(0.0, 0.99))

    def judged(self, pictures, stream):
        return self.judge(diff_augment(pictures, self.augment, 1.0, stream))

    def discriminator_loss(self, draws, step, real, labels, fake, fake_labels):
        seen = diff_augment(real, self.augment, 1.0, draws.stream(2)).requires_grad_()
        scores = self.judge(seen)
        own = pick(scores, labels if self.judge.num_classes else None)
        loss = softplus(-own).mean()
        loss = loss + softplus(pick(self.judged(fake, draws.stream(1)), fake_labels)).mean()
        if self.judge.num_classes > 1:
            total = softplus(scores).sum() - softplus(pick(scores, labels)).sum()
            loss = loss + 0.7 * total / (scores.numel() - len(scores))
        if step % 2 == 0:
            (slope,) = torch.autograd.grad(own.sum(), seen, create_graph=True)
            loss = loss + 2 * 3.0 / 2 * slope.square().sum() / len(real)
        return loss

    def step(self, step, real, labels):
        draws = StepDraws(0, step, torch.device("cpu"), dtype=torch.float64)
        z, fake_labels, noise = latents(self.generator, draws, len(real))
        if self.judge.group:  # generated pictures in the classes of the real ones, neighbours alike
            order = sorted(range(len(labels)), key=lambda i: int(labels[i]))
            real, labels = real[order], labels[order]
            fake_labels = labels
        fake = self.generator(z, fake_labels, noise)
        self.opt_d.zero_grad()
        self.discriminator_loss(draws, step, real, labels, fake.detach(), fake_labels).backward()
        gradients = [p.grad.clone() for p in self.judge.parameters()]
        self.opt_g.zero_grad()
        softplus(-pick(self.judged(fake, draws.stream(1)), fake_labels)).mean().backward()
        for parameter, gradient in zip(self.judge.parameters(), gradients, strict=True):
            parameter.grad = gradient  # without what the generator's pass added
        self.opt_d.step()
        self.opt_g.step()


@pytest.mark.parametrize(
    ("conditional", "augment", "group"),
    [
        (True, "", 0),
        (True, "color,translation,cutout", 0),
        (False, "color", 0),
        (True, "translation", 2),
    ],
)
def test_steps_equal_the_textbook(make, trainer, conditional, augment, group):
    options = {"augment": augment, "group": group}
    module, data = make(conditional=conditional, **options, **HYPER, **RATES)
    module = module.double()
    book = Textbook(copy.deepcopy(module.generator), copy.deepcopy(module.discriminator), augment)
    data.setup()
    for step, batch in enumerate(islice(data.train_dataloader(), 2)):
        book.step(step, batch["image"].double() / 127.5 - 1, batch["label"])
    trainer(2).fit(module, data)
    assert (module.steps, module.seen) == (2, 8)
    for mine, theirs in ((module.generator, book.generator), (module.discriminator, book.judge)):
        pairs = zip(mine.named_parameters(), theirs.parameters(), strict=True)
        for (name, parameter), expected in pairs:
            for ours, its in ((parameter.grad, expected.grad), (parameter, expected)):
                torch.testing.assert_close(
                    ours, its, rtol=1e-7, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}"
                )
