"""Training of the compact classifier, on real pictures or on generated ones alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..images.levels import from_uint8
from .classifier import Classifier

__all__ = ["accuracy", "fit_classifier"]

MOMENTUM = 0.85
# Jordan's values: a learning rate per 1024 examples that does not depend on the momentum.
KILO = 1024 * (1 + 1 / (1 - MOMENTUM))
LEARNING_RATE, WEIGHT_DECAY, NORM_FACTOR = 11.5 / KILO, 0.0153 * 1024 / KILO, 64


def _batches(
    pictures: Tensor, labels: Tensor, size: int, epoch: int, seed: int, cutout: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shifted by up to two pixels, mirrored in every other epoch (arXiv:2404.00498, section 3), and
    without a square of ``cutout`` pixels (arXiv:1708.04552)."""
    stream = torch.Generator().manual_seed(seed * 1000 + epoch)
    mirror = torch.rand(len(pictures), generator=torch.Generator().manual_seed(seed)) < 0.5
    mirror = mirror ^ bool(epoch % 2)
    side = pictures.shape[-1]
    for rows in torch.randperm(len(pictures), generator=stream).split(size):
        padded = F.pad(from_uint8(pictures[rows]), (2,) * 4, mode="reflect").permute(0, 2, 3, 1)
        shift = torch.randint(0, 5, (2, len(rows), 1), generator=stream)
        y, x = shift + torch.arange(side)
        x = torch.where(mirror[rows][:, None], x.flip(1), x)
        index = torch.arange(len(rows))[:, None, None]
        shown = padded[index, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
        if cutout:
            place = torch.randint(0, side - cutout + 1, (2, len(rows), 1), generator=stream)
            y, x = (torch.arange(side) - place) % side < cutout
            shown = shown.masked_fill((y[:, :, None] & x[:, None, :])[:, None], 0.0)
        yield shown, labels[rows]


def _rate(step: int, total: int) -> float:
    """Triangle: from 0.2 up to 1 at 23 % of the run, down to 0.07 at its end."""
    share = step / max(total, 1)
    return 0.2 + 0.8 * share / 0.23 if share < 0.23 else 1 - 0.93 * (share - 0.23) / 0.77


def _trainable(start: Classifier) -> Classifier:
    """A copy of ``start`` of which what a classifier learns can be learned."""
    net = copy.deepcopy(start)
    for name, parameter in net.named_parameters():
        fixed = name.startswith("whiten") or ("norm" in name and name.endswith("weight"))
        parameter.requires_grad_(not fixed)
    return net


def _optimizer(net: Classifier, rate: float) -> torch.optim.SGD:
    names = dict(net.named_parameters())
    norms = [p for n, p in names.items() if p.requires_grad and ("norm" in n or n == "whiten.bias")]
    others = [p for n, p in names.items() if "norm" not in n and "whiten" not in n]
    decay, lr = WEIGHT_DECAY / LEARNING_RATE, LEARNING_RATE * rate
    groups = [
        {"params": norms, "lr": lr * NORM_FACTOR, "weight_decay": decay / NORM_FACTOR},
        {"params": others, "lr": lr, "weight_decay": decay},
    ]
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)


class _Lookahead:
    """Every fifth step the weights return to a slow average of themselves."""

    def __init__(self, net: Classifier) -> None:
        self.slow = {k: v.clone() for k, v in net.state_dict().items() if v.is_floating_point()}

    @torch.no_grad()
    def update(self, net: Classifier, decay: float) -> None:
        for name, value in net.state_dict().items():
            if name in self.slow:
                self.slow[name].lerp_(value, 1 - decay)
                value.copy_(self.slow[name])


def fit_classifier(
    pictures: Tensor,
    labels: Tensor,
    *,
    epochs: float = 10,
    batch_size: int = 1000,
    widths: tuple[int, int, int] = (64, 256, 256),
    start: Classifier | None = None,
    rate: float = 1.0,
    cutout: int = 0,
    seed: int = 0,
    half_precision: bool = False,
    report: Callable[[int, int, float], None] | None = None,
) -> Classifier:
    """Train a :class:`Classifier` with SGD (recipe of arXiv:2404.00498).

    Args:
        pictures: uint8 (N, 3, 32, 32).
        labels: (N,).
        epochs: passes over the pictures; need not be whole.
        batch_size: pictures per step.
        widths: channels of the three blocks.
        start: network to go on from, whose widths are kept; None = random weights.
        rate: by which all learning rates are multiplied; less than 1 suits a ``start``.
        cutout: side of the square that is blanked in each picture, in pixels; 0 = none.
        seed: of weights, order and augmentation.
        half_precision: bfloat16 convolutions (autocast), about twice as fast where the processor has
            instructions for them.
        report: called with (step, steps, loss) after each step.

    Returns:
        The network in evaluation mode, on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier(widths, int(labels.max()) + 1)
    if start is None:
        net.init_whitening(from_uint8(pictures[:5000]))
    else:
        net = _trainable(start)
    net = net.to(memory_format=torch.channels_last).train()
    optimizer, slow = _optimizer(net, rate), _Lookahead(net)
    total = max(1, round(epochs * len(pictures) / batch_size))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total))
    step = epoch = 0
    while step < total:
        net.whiten.bias.requires_grad_(epoch < 3 and start is None)
        for x, y in _batches(pictures, labels, batch_size, epoch, seed, cutout):
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=half_precision):
                logits = net(x)
            loss = F.cross_entropy(logits.float(), y, label_smoothing=0.2, reduction="sum")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step % 5 == 0:
                slow.update(net, 0.95**5 * (step / total) ** 3)
            if report is not None:
                report(step, total, loss.item() / len(y))
            if step >= total:
                break
        epoch += 1
    return net.eval()


@torch.no_grad()
def accuracy(net: Classifier, pictures: Tensor, labels: Tensor) -> float:
    """Share of uint8 pictures (N, 3, 32, 32) classified right, mean logits with the mirror image."""
    right = 0
    for part, y in zip(pictures.split(500), labels.split(500), strict=True):
        x = from_uint8(part)
        right += int(((net(x) + net(x.flip(3))).argmax(dim=1) == y).sum())
    return right / len(labels)
