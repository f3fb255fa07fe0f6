"""Training of a generator as a LightningModule with manual optimization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..errors import ArgumentError
from ..generators.stylegan2 import StyleGAN2Generator
from ..images.levels import from_uint8
from .augment import diff_augment, operations
from .checkpoints import check_settings
from .discriminator import Discriminator
from .draws import RowStream, StepDraws
from .guidance import load_guide
from .losses import Opposition, opposing_term, r1_penalty
from .matching import EnergyDistance
from .pretrained import load_pyramid
from .projected import ProjectedDiscriminator
from .start import judge_from, start_from

__all__ = ["GeneratorTraining"]


COUNTERS = ("steps", "seen")
NEAR = 0.25  # of the mean distance in the features of `features`: what counts as near
RAMP_UP = 0.05  # the average's half-life is at most this share of the pictures shown so far


class GeneratorTraining(pl.LightningModule):
    """Trains a native StyleGAN2 generator from scratch, conditional or not.

    Generator and discriminator descend together: one forward and one backward pass through both
    serve both updates (see :class:`.losses.Opposition`), a third less arithmetic than two passes.
    With ``group``, gradients at the generated pictures cost another pass through the discriminator.
    Latents are a function of seed and step, so a resumed run goes on exactly, and several devices
    draw rows of one joint batch.

    Args:
        resolution: Pixels per side, a power of two.
        num_classes: Classes; 0 trains an unconditional generator (the CLI links it to the data).
        class_names: Names of the classes (the CLI links it to the data).
        z_dim: Dimensions of z.
        w_dim: Dimensions of the style vectors.
        mapping_layers: Fully connected layers of the mapping network.
        channel_base: Channels at resolution r are min(channel_base / r, channel_max).
        channel_max: Largest number of channels.
        noise_limit: Bound on the strength of the noise inputs, so that the picture lives in z; null
            for none.
        start: Generator to go on from, of the same settings: cifar10, what the bundled generator's training
            has come to since it was shipped, or a file (see ``predict``). null starts from random weights.
        start_discriminator: Discriminator to go on from, of the same settings: cifar10, its opponent, or a
            file that export wrote; it needs no head_start. null starts from random weights.
        features: Trained network whose activations the discriminator judges: efficientnet_lite0 or
            a model of torchvision (:func:`.pretrained.load_pyramid`); a generator that already draws
            pictures (``start``) learns many times faster so. null judges the pixels.
        discriminator_base: channel_base of the discriminator.
        discriminator_max: channel_max of the discriminator.
        group: Pictures of about one class whose deviation the discriminator sees, against samples that
            are all alike; 0 for none. The batch on each device must be a multiple of it.
        augment: What the discriminator sees is augmented by: color, translation and cutout, joined by
            commas (DiffAugment, arXiv:2006.10738). Empty for none, which learns faster as long as
            pictures are shown a few dozen times at most.
        mismatch: Weight of real pictures under wrong classes as negatives, which draws samples
            towards recognisable classes; for conditional generators.
        guide: Classifier that pulls samples into their class (arXiv:2202.00273), a file of
            benchmarks/train_classifier.py or cifar10, that of the bundled generator; null for none. Measure
            with another one: what it says itself is no evidence.
        guidance: Weight of its cross-entropy in the generator's loss.
        matching: Weight of the energy distance between samples and real pictures of each class in its
            features (:class:`.matching.EnergyDistance`), which asks for what the samples lack.
        feature_matching: Weight of the same in the activations of ``features``, their means and deviations over
            places at each depth: for variety and shape, which a small classifier does not see.
        r1_gamma: Weight of the R1 gradient penalty; null is 0.05, and 0 with ``features``, whose
            slopes spectral norm bounds.
        r1_interval: Steps from one penalty to the next, which is weighted up in turn.
        learning_rate: Of the generator's Adam (betas 0 and 0.99).
        discriminator_rate: Of the discriminator's.
        head_start: Pictures from which the discriminator alone learns, before a generator that draws
            pictures already (``start``) would follow a random one.
        total_pictures: Stop after this many pictures; null to go by the trainer's limits.
        average_pictures: Half-life of the exponential moving average in pictures; a twentieth of those shown
            so far at most.
        convolution_dtype: bfloat16 runs the arithmetic of the convolutions in half precision.
        compile: Compile generator and discriminator with torch.compile.
        seed: Of all latents.

    Attributes:
        steps: updates made.
        seen: real pictures shown, on all devices together. Both are plain numbers, as reading a
            tensor would wait for the device in every step; the state dict holds them as tensors.
    """

    def __init__(
        self,
        resolution: int = 32,
        num_classes: int = 0,
        class_names: Sequence[str] | None = None,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 2,
        channel_base: int = 1536,
        channel_max: int = 192,
        noise_limit: float | None = 0.01,
        start: str | None = None,
        start_discriminator: str | None = None,
        features: str | None = None,
        discriminator_base: int = 1536,
        discriminator_max: int = 256,
        group: int = 4,
        augment: str = "color,translation,cutout",
        mismatch: float = 0.0,
        guide: str | None = None,
        guidance: float = 1.0,
        matching: float = 0.0,
        feature_matching: float = 0.0,
        r1_gamma: float | None = None,
        r1_interval: int = 16,
        learning_rate: float = 0.002,
        discriminator_rate: float = 0.002,
        head_start: int = 0,
        total_pictures: int | None = None,
        average_pictures: float = 20_000,
        convolution_dtype: Literal["float32", "bfloat16"] = "float32",
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check(resolution, augment, features)
        self.automatic_optimization = False
        self.save_hyperparameters()
        self.generator = StyleGAN2Generator(
            z_dim,
            num_classes,
            w_dim,
            resolution,
            mapping_layers=mapping_layers,
            channel_base=channel_base,
            channel_max=channel_max,
            class_names=class_names or None,
        )
        if start is not None:
            start_from(self.generator, start)
        self.average = AveragedModel(self.generator)
        self.average.requires_grad_(False).eval()
        self.discriminator: Discriminator | ProjectedDiscriminator
        if features is not None:
            pyramid = load_pyramid(features, resolution)
            self.discriminator = ProjectedDiscriminator(pyramid, num_classes, group)
        else:
            self.discriminator = Discriminator(
                resolution,
                num_classes,
                channel_base=discriminator_base,
                channel_max=discriminator_max,
                group=group,
            )
        if start_discriminator is not None:
            judge_from(self.discriminator, start_discriminator)
        self.gamma = r1_gamma if r1_gamma is not None else 0.0 if features else 0.05
        self.guide = None
        if guide is not None:
            self.guide = load_guide(guide, resolution, num_classes, class_names)
        elif matching:
            raise ArgumentError("`matching` compares features of a classifier: pass `guide`.")
        self.energy = self.feature_energy = None
        if matching and self.guide is not None:
            self.energy = EnergyDistance(num_classes, self.guide.width)
        if feature_matching:
            if not isinstance(self.discriminator, ProjectedDiscriminator):
                raise ArgumentError(
                    "`feature_matching` compares activations of a frozen network: pass `features`."
                )
            width = self.discriminator.pyramid.pooled_width
            self.feature_energy = EnergyDistance(
                max(num_classes, 1), width, group=math.gcd(width, 16), near=NEAR
            )
        # Batch norm and deviations make a row's score depend on the others.
        self.rows_meet = bool(group or features)
        self.steps = self.seen = 0
        self.register_state_dict_post_hook(_put_counters)
        self.register_load_state_dict_pre_hook(_take_counters)
        self.half_precision = convolution_dtype == "bfloat16"
        if self.half_precision:
            self.generator.set_compute(torch.bfloat16)
        self.to(memory_format=torch.channels_last)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One Adam with a group of parameters for each player."""
        generator = {"params": self.generator.parameters(), "lr": self.hparams.learning_rate}
        judge = {"params": self.discriminator.parameters(), "lr": self.hparams.discriminator_rate}
        return torch.optim.Adam([generator, judge], betas=(0.0, 0.99), fused=True)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse, in one sentence, a checkpoint of other networks."""
        check_settings(checkpoint, self)

    def on_fit_start(self) -> None:
        """Compile in place, which leaves the names in the state dict alone."""
        if self.hparams.compile:
            if self.rows_meet:  # opposing_term goes twice through the same graph
                torch._functorch.config.donated_buffer = False
            self.generator.compile()
            self.discriminator.compile()

    @property
    def _ahead(self) -> bool:
        """Whether the discriminator learns alone."""
        return self.seen < self.hparams.head_start

    def _set_rates(self, optimizer: Any) -> None:
        """Those given, also in a resumed run; the generator waits for the head start to pass."""
        rates = (self.hparams.learning_rate * (not self._ahead), self.hparams.discriminator_rate)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    @property
    def learning(self) -> list[nn.Parameter]:
        """What the step moves."""
        return [p for p in self.parameters() if p.requires_grad]

    @property
    def draws(self) -> StepDraws:
        """The random streams of this step, on this device."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return StepDraws(self.hparams.seed, self.steps, self.device, rank, world, self.dtype)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One update of generator and discriminator.

        Args:
            batch: ``image`` uint8 (N, C, H, W) and ``label`` (N,).
        """
        draws, group = self.draws, self.hparams.group
        if group and len(batch["image"]) > group and len(batch["image"]) % group:
            raise ArgumentError(
                f"{len(batch['image'])} pictures a step on each device are no multiple of `group` "
                f"{group}: pass another `data.batch_size`."
            )
        real = from_uint8(batch["image"], self.dtype)
        real = real.contiguous(memory_format=torch.channels_last)
        loss = self.joint_loss(draws, real, batch["label"])
        optimizer: Any = self.optimizers()
        self._set_rates(optimizer)
        optimizer.zero_grad()
        # Not to the pictures that were judged: a frozen network would be gone through in vain.
        self.manual_backward(loss, inputs=self.learning)
        if self._ahead:  # else the first steps after it would be ten times too long
            self.generator.zero_grad()
        optimizer.step()
        self._limit_noise()
        self.steps += 1
        self.seen += len(real) * self.trainer.world_size

    def joint_loss(self, draws: StepDraws, real: Tensor, real_labels: Tensor) -> Tensor:
        """The discriminator's loss, whose backward pass gives both players their gradients.

        Args:
            draws: source of latents, noise and augmentation.
            real: (N, C, H, W) in [-1, 1].
            real_labels: (N,).
        """
        z, labels, noise = self._latents(draws, len(real))
        if self.hparams.group and labels is not None:
            # Both halves hold the same classes in the same order: their deviations compare.
            labels, order = real_labels.sort(stable=True)
            real, real_labels = real[order], labels
        fresh = self.steps == 0 and self.hparams.start_discriminator is None
        if fresh and isinstance(self.discriminator, ProjectedDiscriminator):
            reduce = self.trainer.strategy.reduce
            every = self.discriminator.variances(real)
            self.discriminator.calibrate([reduce(v, reduce_op="mean") for v in every])
        # The generator has a precision of its own: styles and pictures stay float32.
        with torch.set_grad_enabled(not self._ahead):
            fake = self.generator(z, labels, noise)
        opposition = Opposition()
        shown = fake.detach().requires_grad_() if self.rows_meet else opposition(fake)
        seen_real = self._augmented(real, draws.stream(2))
        every_real, every_fake = self._scores(
            seen_real, self._augmented(shown, draws.stream(1)), joint=not self.rows_meet
        )
        on_real, on_fake = _of(every_real, real_labels), _of(every_fake, labels)
        loss = self.discriminator.loss(on_real, on_fake)
        if self._ahead:  # processes that share a batch wait for a gradient of every parameter
            loss = loss + 0.0 * sum(p.sum() for p in self.generator.parameters())
        elif self.rows_meet:
            loss = loss + opposing_term(fake, shown, self.discriminator.opposed_loss(on_fake))
        else:
            opposition.set_logits(on_fake)
        self._log_players(loss, on_real, on_fake)
        if self.discriminator.num_classes > 1 and self.hparams.mismatch:
            mismatch = self.discriminator.mismatch_loss(every_real, real_labels)
            self.log("loss/mismatch", mismatch.detach())
            loss = loss + self.hparams.mismatch * mismatch
        if not self._ahead:
            loss = loss + self._guidance(draws, real, real_labels, fake, labels)
        if self.gamma and self.steps % self.hparams.r1_interval == 0:
            loss = loss + self.hparams.r1_interval * self._penalty(seen_real, real_labels)
        return loss

    def _guidance(
        self,
        draws: StepDraws,
        real: Tensor,
        real_labels: Tensor,
        fake: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """What frozen networks add to the generator's loss: cross-entropy and energy distances."""
        loss = fake.new_zeros(())
        if self.guide is None and self.feature_energy is None:
            return loss
        # Moved but whole, as the guide was trained.
        shown = diff_augment(fake, "translation", 1.0, draws.stream(3))
        matched = self.energy is not None or self.feature_energy is not None
        moved = diff_augment(real, "translation", 1.0, draws.stream(4)) if matched else real
        if self.guide is not None and labels is not None:
            logits, features = self.guide(shown)
            cross_entropy = self.guide.cross_entropy(logits, labels)
            self.log("loss/guidance", cross_entropy.detach())
            loss = loss + self.hparams.guidance * cross_entropy
            if self.energy is not None:
                with torch.no_grad():
                    wanted = self.guide(moved)[1]
                distance = self._distance(self.energy, wanted, real_labels, features, labels)
                self.log("loss/energy", distance.detach())
                loss = loss + self.hparams.matching * distance
        if self.feature_energy is not None:
            pooled = self.discriminator.pyramid.pooled
            if labels is None:
                labels = real_labels = torch.zeros_like(real_labels)
            with torch.no_grad():
                wanted = pooled(moved)
            distance = self._distance(
                self.feature_energy, wanted, real_labels, pooled(shown), labels
            )
            self.log("loss/feature_energy", distance.detach())
            loss = loss + self.hparams.feature_matching * distance
        return loss

    def _distance(
        self,
        energy: EnergyDistance,
        real: Tensor,
        real_labels: Tensor,
        fake: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """From samples to what is remembered, these real features included; then they are remembered too."""
        energy.remember(*self._gathered(real, real_labels), real=True)
        distance: Tensor = energy(fake, labels)
        energy.remember(*self._gathered(fake.detach(), labels), real=False)
        return distance

    def _gathered(self, *rows: Tensor) -> list[Tensor]:
        """Those of all processes, so that all remember the same."""
        if self.trainer.world_size == 1:
            return list(rows)
        return [self.all_gather(x).flatten(0, 1) for x in rows]

    def _scores(self, real: Tensor, fake: Tensor, *, joint: bool) -> tuple[Tensor, Tensor]:
        """The discriminator's scores in one pass or two; :func:`opposing_term` is cheaper after two."""
        parts = [torch.cat([real, fake])] if joint else [real, fake]
        with self._autocast():
            scores = [
                self.discriminator(x.contiguous(memory_format=torch.channels_last)) for x in parts
            ]
        every_real, every_fake = torch.cat(scores).to(real.dtype).split(len(real))
        return every_real, every_fake

    def _penalty(self, real: Tensor, labels: Tensor) -> Tensor:
        def judge(x: Tensor) -> Tensor:
            # Compiled graphs have no second derivative, and .forward is never compiled.
            with self._autocast():
                return _of(self.discriminator.forward(x), labels)

        penalty = r1_penalty(judge, real, self.gamma)
        self.log("loss/r1", penalty.detach())
        return penalty

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half_precision)

    def _latents(self, draws: StepDraws, count: int) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Latents, classes and noise maps."""
        stream, network = draws.stream(0), self.generator
        z = stream.normal(count, network.z_dim)
        labels = None
        if network.num_classes:
            labels = stream.integers(count, 0, network.num_classes)
        noise = stream.noise(count, network.noise_shapes)
        return z, labels, noise

    def _augmented(self, pictures: Tensor, stream: RowStream) -> Tensor:
        return diff_augment(pictures, self.hparams.augment, 1.0, stream)

    def _log_players(self, loss: Tensor, on_real: Tensor, on_fake: Tensor) -> None:
        self.log("loss/discriminator", loss.detach())
        self.log("loss/generator", self.discriminator.opposed_loss(on_fake.detach()))
        self.log("logits/real", on_real.detach().mean())
        self.log("logits/fake", on_fake.detach().mean())

    @torch.no_grad()
    def _limit_noise(self) -> None:
        limit = self.hparams.noise_limit
        if limit is None:
            return
        for layer in self.generator.synthesis.convolutions:
            if layer.use_noise:
                layer.noise_strength.clamp_(-limit, limit)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop when enough pictures were shown."""
        total = self.hparams.total_pictures
        if total is not None and self.seen >= total:
            self.trainer.should_stop = True

    @torch.no_grad()
    def update_average(self, pictures: int) -> None:
        """Move the moving average on by ``pictures``, with a half-life counted in pictures."""
        rampup = RAMP_UP * max(self.seen, 1)
        half_life = max(min(self.hparams.average_pictures, rampup), 1e-8)
        weight = 1 - 0.5 ** (pictures / half_life)
        # AveragedModel.update_parameters would read its counter from the device twice a step.
        averages, current = self.average.module.parameters(), self.generator.parameters()
        torch._foreach_lerp_(list(averages), list(current), weight)
        self.average.n_averaged += 1

    @property
    def averaged(self) -> nn.Module:
        """The generator with averaged weights: what is shown, measured and shipped."""
        return self.average.module


def _of(scores: Tensor, labels: Tensor | None) -> Tensor:
    """Scores (N, classes, ...) to those of ``labels`` (N,); one column is an unconditional score."""
    if labels is None or scores.shape[1] == 1:
        return scores[:, 0]
    return torch.take_along_dim(scores, labels.view(-1, *[1] * (scores.ndim - 1)), dim=1)[:, 0]


def _check(resolution: int, augment: str, features: str | None) -> None:
    if resolution < 8 or resolution & (resolution - 1):
        raise ArgumentError(f"`resolution` is {resolution}, and must be a power of two from 8 on.")
    if features is not None and resolution < 16:
        raise ArgumentError(
            f"`features` sees nothing in pictures of {resolution} pixels: pass "
            "`resolution=16` or more, or leave it out."
        )
    try:
        operations(augment)
    except ValueError as error:
        raise ArgumentError(f"`augment`: {error}.") from None


def _put_counters(module: Any, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in COUNTERS:
        state[prefix + name] = torch.tensor(getattr(module, name))


def _take_counters(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in COUNTERS:
        if prefix + name in state:
            setattr(module, name, int(state.pop(prefix + name)))
