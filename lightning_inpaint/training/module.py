"""Training of a generator as a LightningModule with manual optimization."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lightning_inpaint.errors import UserError
from lightning_inpaint.evaluation.classifier import Classifier
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

from .adversaries import ProjectedAdversary, StyleGAN2Adversary
from .discriminator import StyleGAN2Discriminator
from .draws import StepDraws, mixed_styles
from .reconstruction import PictureEncoder, reconstruction_loss

__all__ = ["GeneratorTraining"]

BUNDLED_CLASSIFIER = Path(__file__).parents[1] / "evaluation/weights/cifar10.safetensors"


def _towards(weight: float, averages: Any, currents: Any, _: Any) -> None:
    """Move averages towards current values (a module-level function, so that it can be pickled)."""
    torch._foreach_lerp_(list(averages), list(currents), weight)


class GeneratorTraining(pl.LightningModule):
    """Trains a native StyleGAN2 generator from scratch, conditional or not.

    One forward pass of the generator serves both updates of a step: first the discriminator on the
    detached pictures, then the generator through the updated discriminator. Latents are a function of
    seed and step, so a resumed run goes on exactly, and several devices draw rows of one joint batch.

    Args:
        resolution: Pixels per side, a power of two.
        num_classes: Classes; 0 trains an unconditional generator (the CLI links it to the data).
        class_names: Names of the classes (the CLI links it to the data).
        z_dim: Dimensions of z.
        w_dim: Dimensions of the style vectors.
        mapping_layers: Fully connected layers of the mapping network.
        channel_base: Channels at resolution r are min(channel_base / r, channel_max).
        channel_max: Largest number of channels.
        architecture: How blocks add up to a picture: skip, resnet or orig.
        noise_limit: Bound on the strength of the noise inputs, so that the picture lives in z; null
            for none.
        adversary: projected (heads on a frozen classifier; for CPUs and pictures like CIFAR-10) or
            stylegan2 (a discriminator of its own; for GPUs and pictures of any kind).
        features: Classifier for the projected adversary; null for the bundled CIFAR-10 one.
        head_weights: Weight of each of the projected adversary's heads in the generator's loss, from
            the finest level to the coarsest; deep heads' gradients are the larger.
        reconstruction: Weight of the reconstruction of real pictures through an encoder (VAE/GAN,
            projected adversary only); 0 trains without an encoder.
        reconstruction_sigma: Standard deviation of its picture model on the [-1, 1] scale.
        discriminator_channels: channel_base of the stylegan2 discriminator.
        augment: Augmentations of what the adversary sees, of color, translation and cutout, joined
            by commas; null for the adversary's default (none for projected, all for stylegan2).
        augment_p: Probability of each augmentation.
        r1_gamma: Weight of the R1 gradient penalty (stylegan2 only).
        r1_interval: Steps from one penalty to the next, which is weighted up in turn.
        style_mixing: Probability that a picture's style comes from two latents.
        learning_rate: Of the generator's Adam (betas 0 and 0.99).
        adversary_learning_rate: Of the adversary's, and of the encoder's.
        total_pictures: Stop after this many pictures; null to go by the trainer's limits, whose steps
            count each optimizer's.
        average_pictures: Half-life of the exponential moving average in pictures.
        average_rampup: The half-life is at most this share of the pictures shown so far.
        convolution_dtype: bfloat16 runs the arithmetic of the convolutions in half precision.
        compile: Compile generator and adversary with torch.compile.
        seed: Of initial weights' projections and of all latents.
    """

    steps: Tensor
    seen: Tensor

    def __init__(
        self,
        resolution: int = 32,
        num_classes: int = 0,
        class_names: Sequence[str] | None = None,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 2,
        channel_base: int = 2048,
        channel_max: int = 192,
        architecture: Literal["skip", "resnet", "orig"] = "skip",
        noise_limit: float | None = 0.1,
        adversary: Literal["projected", "stylegan2"] = "projected",
        features: str | None = None,
        head_weights: tuple[float, float, float, float] = (3.0, 1.2, 1.0, 0.5),
        reconstruction: float = 0.0,
        reconstruction_sigma: float = 0.2,
        discriminator_channels: int = 4096,
        augment: str | None = None,
        augment_p: float = 1.0,
        r1_gamma: float = 0.01,
        r1_interval: int = 16,
        style_mixing: float = 0.0,
        learning_rate: float = 0.002,
        adversary_learning_rate: float = 0.0005,
        total_pictures: int | None = None,
        average_pictures: float = 10_000,
        average_rampup: float = 0.05,
        convolution_dtype: Literal["float32", "bfloat16"] = "float32",
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
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
            architecture=architecture,
            class_names=class_names or None,
        )
        self.average = AveragedModel(self.generator)
        self.average.requires_grad_(False).eval()
        self.adversary = self._build_adversary()
        self.encoder = self._build_encoder() if reconstruction else None
        self.register_buffer("steps", torch.zeros([], dtype=torch.int64))
        self.register_buffer("seen", torch.zeros([], dtype=torch.int64))
        self.half_precision = convolution_dtype == "bfloat16"
        if self.half_precision:
            self.generator.set_compute(torch.bfloat16)
        self.to(memory_format=torch.channels_last)

    def _build_adversary(self) -> ProjectedAdversary | StyleGAN2Adversary:
        h = self.hparams
        policy = {} if h.augment is None else {"policy": h.augment}
        if h.adversary == "projected":
            if h.resolution != 32:
                raise UserError(
                    f"--model.adversary projected sees 32x32 pictures and --model.resolution is "
                    f"{h.resolution}: pass --model.adversary stylegan2."
                )
            path = Path(h.features) if h.features else BUNDLED_CLASSIFIER
            if not path.is_file():
                raise UserError(f"--model.features: there is no file {path}.")
            features = Classifier.from_file(path)
            return ProjectedAdversary(
                features,
                h.num_classes,
                p=h.augment_p,
                seed=h.seed,
                head_weights=h.head_weights,
                **policy,
            )
        judge = StyleGAN2Discriminator(
            h.resolution,
            h.num_classes,
            channel_base=h.discriminator_channels,
            cmap_dim=h.w_dim,
        )
        return StyleGAN2Adversary(judge, h.r1_gamma, p=h.augment_p, **policy)

    def _build_encoder(self) -> PictureEncoder:
        if not isinstance(self.adversary, ProjectedAdversary):
            raise UserError(
                "--model.reconstruction needs the features of --model.adversary projected: set it to "
                "0 or change the adversary."
            )
        channels = self.adversary.features.channels
        return PictureEncoder(channels, self.hparams.num_classes, self.hparams.z_dim)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for generator, trainable part of the adversary and encoder, if there is one."""
        rate, slower = self.hparams.learning_rate, self.hparams.adversary_learning_rate
        trainable = [p for p in self.adversary.parameters() if p.requires_grad]
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(self.generator.parameters(), rate, betas=(0.0, 0.99)),
            torch.optim.Adam(trainable, slower, betas=(0.0, 0.99)),
        ]
        if self.encoder is not None:
            encoder = torch.optim.Adam(self.encoder.parameters(), slower, betas=(0.5, 0.99))
            optimizers.append(encoder)
        return optimizers

    def on_fit_start(self) -> None:
        """Compile in place, which leaves the names in the state dict alone."""
        if self.hparams.compile:
            self.generator.compile()
            if isinstance(self.adversary, ProjectedAdversary):
                self.adversary.features.compile()
            else:
                self.adversary.discriminator.compile()

    @property
    def draws(self) -> StepDraws:
        """The random streams of this step, on this device."""
        trainer = self.trainer
        seed, step = int(self.hparams.seed), int(self.steps)
        return StepDraws(seed, step, self.device, trainer.global_rank, trainer.world_size)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One update of the adversary, then one of the generator (and encoder).

        Args:
            batch: ``image`` uint8 (N, C, H, W) and ``label`` (N,).
        """
        draws = self.draws
        real = batch["image"].to(self.dtype).div(127.5).sub(1)
        real = real.contiguous(memory_format=torch.channels_last)
        real_labels = batch["label"] if self.generator.num_classes else None
        opt_g, opt_d, *others = self.optimizers()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half_precision):
            with torch.no_grad():
                real_views = self.adversary.see(real, draws.stream(2))
            z, labels, noise, code = self._latents(draws, real, real_views, real_labels)
            fake = self.generator(z, labels, noise)
            views = self.adversary.see(fake, draws.stream(1))
            d_loss = self._train_adversary(opt_d, real_views, real_labels, views, labels)
            self._train_judge(False)
            loss = self.adversary.generator_loss(self.adversary.judge(views, labels))
            self.log("loss/generator", loss.detach())
            if code is not None:
                loss = loss + self._reconstruction(fake, real, views, real_views, code)
        for optimizer in (opt_g, *others):
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in (opt_g, *others):
            optimizer.step()
        self._train_judge(True)
        self._limit_noise()
        self.steps += 1
        self.seen += len(real) * self.trainer.world_size
        self.log("loss/discriminator", d_loss.detach())

    def _latents(
        self,
        draws: StepDraws,
        real: Tensor,
        views: list[Tensor],
        real_labels: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, list[Tensor], tuple[Tensor, Tensor] | None]:
        """Latents, classes and noise maps; after them the real pictures' codes, if encoded."""
        count, stream, network = len(real), draws.stream(0), self.generator
        z = draws.normal(stream, count, network.z_dim)
        labels = None
        if network.num_classes:
            labels = draws.integers(stream, count, network.num_classes)
        noise = draws.noise(stream, count, network.noise_shapes)
        if self.hparams.style_mixing:
            z = mixed_styles(z, network.num_ws, self.hparams.style_mixing, draws, stream)
        if self.encoder is None:
            return z, labels, noise, None
        stream = draws.stream(3)
        mean, log_variance = self.encoder(real, views, real_labels)
        coded = mean + (log_variance / 2).exp() * draws.normal(stream, count, network.z_dim)
        coded = coded if z.ndim == 2 else coded[:, None].expand(-1, z.shape[1], -1)
        if labels is not None and real_labels is not None:
            labels = torch.cat([labels, real_labels])
        maps = draws.noise(stream, count, network.noise_shapes)
        noise = [torch.cat(pair) for pair in zip(noise, maps, strict=True)]
        return torch.cat([z, coded]), labels, noise, (mean, log_variance)

    def _reconstruction(
        self,
        fake: Tensor,
        real: Tensor,
        views: list[Tensor],
        real_views: list[Tensor],
        code: tuple[Tensor, Tensor],
    ) -> Tensor:
        n = len(real)
        parts = reconstruction_loss(
            fake[n:],
            real,
            [v[n:] for v in views],
            real_views,
            *code,
            sigma=self.hparams.reconstruction_sigma,
        )
        for name in ("pixels", "features", "kl"):
            self.log(f"loss/{name}", parts[name].detach())
        return self.hparams.reconstruction * parts["total"]

    def _train_adversary(
        self,
        optimizer: Any,
        real: list[Tensor],
        real_labels: Tensor | None,
        fake: list[Tensor],
        labels: Tensor | None,
    ) -> Tensor:
        judge = self.adversary.judge
        on_real, on_fake = judge(real, real_labels), judge([v.detach() for v in fake], labels)
        loss = self.adversary.discriminator_loss(on_real, on_fake)
        total = loss
        if int(self.steps) % self.hparams.r1_interval == 0:
            penalty = self.adversary.penalty(real, real_labels)
            if penalty is not None:
                total = loss + penalty * self.hparams.r1_interval
                self.log("loss/r1", penalty.detach())
        optimizer.zero_grad()
        self.manual_backward(total)
        optimizer.step()
        for kind, logits in (("real", on_real), ("fake", on_fake)):
            mean = torch.stack([v.detach().float().mean() for v in logits]).mean()
            self.log(f"logits/{kind}", mean)
        return loss

    def _train_judge(self, flag: bool) -> None:
        """Switch gradients of the judge on or off; a frozen trunk has no parameters."""
        for parameter in self.adversary.parameters():
            parameter.requires_grad_(flag)

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
        if total is not None and int(self.seen) >= total:
            self.trainer.should_stop = True

    def update_average(self, pictures: int) -> None:
        """Move the moving average on by ``pictures``, with a half-life counted in pictures."""
        half_life = min(
            self.hparams.average_pictures, self.hparams.average_rampup * max(int(self.seen), 1)
        )
        weight = 1 - 0.5 ** (pictures / max(half_life, 1e-8))
        self.average.multi_avg_fn = partial(_towards, weight)
        self.average.update_parameters(self.generator)

    @property
    def averaged(self) -> nn.Module:
        """The generator with averaged weights: what is shown, measured and shipped."""
        return self.average.module
