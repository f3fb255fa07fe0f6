"""`LatentInpainter`: a batch of masked pictures in, completions and energies out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from .completions import Completions
from .errors import ArgumentError, require_at_least
from .generators import LatentPrior, generator_name, load_generator
from .generators.stylegan2 import StyleGAN2Generator
from .inference.bank import PriorBank
from .inference.batch import PictureNumbers, named_batch, prepared_batch
from .inference.classes import chain_labels
from .inference.discrepancy import discrepancy_of
from .inference.float32 import whole_float32
from .inference.gathering import gather_completions
from .inference.latents import LatentSpace
from .inference.marginal import Marginal
from .inference.memory import BatchSplitter
from .inference.observation import Observation
from .inference.parts import join_parts
from .inference.posterior import NoiseInputs, Posterior, Precision
from .inference.restarts import chain_number, restart_failed
from .inference.sampler import NoiseStd, chosen_sampler, seated_sampler
from .inference.speed import AskedCompile, AskedPrecision, Job, Speed, SpeedChoice
from .inference.starts import bank_draws, moved_near, prior_draws
from .inference.state import report_to_callbacks
from .inference.walk import Report, Walk, walk
from .noise import ChainStreams
from .optim import ChainOptimizer

__all__ = ["LatentInpainter"]

SamplerCallable = Callable[[Iterable], ChainOptimizer]


class LatentInpainter(pl.LightningModule):
    """Draws completions of masked pictures from the posterior of a pre-trained generator.

    ``predict_step`` treats each batch as an optimization over per-picture latents: one row of a
    matrix per chain, moved by a noise-injecting optimizer until the generator agrees with the known
    pixels. The generator stays frozen. A plain ``Trainer().predict(module, loader)`` works; batches
    are dicts with ``image`` (uint8 (N, C, H, W)), ``mask`` ((N, 1, H, W), **1 = fill, 0 = known**) and,
    if there are any, ``label`` ((N,), -1 = unknown) and ``id`` (names, which key the random streams);
    see :meth:`predict_step` for other forms.

    Args:
        generator: A bundled or published name, an address, a checkpoint file, or your own class as
            'package.module:Class(nz=100)@weights.pt#key', in a YAML file also as class_path, init_args and
            weights; from Python also the module itself, or (Class, {'nz': 100}).
        weights: Which weights of a checkpoint to take, the moving average (G_ema) or the last (G).
        latent_prior: What the latents of your own class were in training: gaussian, uniform (in [-1, 1]),
            uniform01 (in [0, 1]), sphere (of radius 1) or large_sphere (of radius sqrt(D)). null is its
            attribute of this name, or gaussian.
        value_range: Values of black and white in the pictures of your own class; null finds [-1, 1], [0, 1] and
            [0, 255] out by itself.
        latents: What is sampled: z, z+, w or w+, then +noise (noise maps) and +slack if wanted. null is
            z+noise, the generator's own Gaussian inputs, with slack unless that is null, or z for a module of
            your own.
        slack: Standard deviation of the slack, as a share of the features' own, where a pixel is known:
            that of the finest resolution (two and three times as much at coarser ones), or a list; null
            leaves it out of latents that are null.
        truncation: Share of its deviation from its class's mean style that a style keeps, in (0, 1]; 1
            samples the posterior of the whole generator, less gives more typical pictures. For a module of
            your own it does nothing.
        sampler: The optimizer that walks (HMC, Langevin, ...) with its options: from Python also a short name,
            a class, or a callable that receives the latents. None is ByLatents: Search where z is all there
            is, with at most 1024 values, and an annealed descent (MAP) for more latents.
        noise_std: Standard deviation of a known value around the generator's, pictures in [-1, 1]; less matches
            them more closely. null is the sampler's own. auto is for one that nobody knows: it is integrated
            out, for samplers that see energies alone.
        discrepancy: Standard deviation of a smooth Gaussian field between the generator's pictures and yours,
            pictures in [-1, 1], integrated out in closed form: real pictures match on any generator. It is part
            of the full generated image and dies away in the hole. null = none.
        chains: Completions per picture.
        slots: Chains that walk at once, where the sampler has a stopping rule (stop_psnr of MAP): those that
            have stopped make room for waiting ones of the same batch, so let --data.batch_size be several
            times as large. null is all chains of a batch.
        seed: Seed of all random streams; a picture's result depends on it, its id and its chain.
        noise_inputs: Noise maps that are not among the latents: random (redrawn at each call), const
            or off.
        warm_start: Prior draws per class that are scored to choose where chains start; 0 starts from
            the prior.
        report_every: Steps between reports to callbacks (progress, energies).
        compile: Compile the steps (torch.compile; CUDA graphs on a GPU). Takes a minute or two; auto compiles
            for StyleGAN2 networks where the job is long enough to pay for it. Without a compiler the
            run is eager.
        recompute: Keep few of the generator's features and make them again for the gradient: large
            pictures fit in larger batches, at a third more time. StyleGAN2 generators only.
        precision: bfloat16 runs the convolutions in it where a sampler tolerates rough gradients: not
            in its last part, and never where a Metropolis test follows. auto takes it for StyleGAN2 networks
            on a device that has it, where no step is a draw.
    """

    def __init__(
        self,
        generator: str | dict[str, Any] = "cifar10",
        weights: Literal["G_ema", "G"] = "G_ema",
        latent_prior: LatentPrior | None = None,
        value_range: list[float] | None = None,
        latents: str | None = None,
        slack: float | list[float] | None = 0.2,
        truncation: float = 0.5,
        sampler: SamplerCallable | None = None,
        noise_std: NoiseStd | None = None,
        discrepancy: float | None = None,
        chains: int = 1,
        slots: int | None = None,
        seed: int = 0,
        noise_inputs: NoiseInputs = "const",
        warm_start: int = 0,
        report_every: int = 10,
        compile: AskedCompile = "auto",
        recompute: bool = False,
        precision: AskedPrecision = "auto",
    ) -> None:
        super().__init__()
        require_at_least(1, chains=chains, report_every=report_every, slots=slots)
        require_at_least(0, warm_start=warm_start)
        if not 0 < truncation <= 1:
            raise ArgumentError(f"`truncation` is {truncation}; it must be above 0, and 1 at most")
        self._speed = SpeedChoice(precision, compile, recompute)
        if generator is None:
            raise ArgumentError(
                "`generator` is None: this was a network of your own, whose weights a checkpoint holds but "
                "not its class; give load_from_checkpoint the network as generator=..."
            )
        self.save_hyperparameters(ignore=["sampler", "generator"])
        self.generator_name = generator_name(generator)
        own = isinstance(generator, nn.Module)
        self.hparams["generator"] = None if own else self.generator_name
        network = load_generator(
            generator, weights=weights, latent_prior=latent_prior, value_range=value_range
        )
        if isinstance(network, StyleGAN2Generator):
            network.to(memory_format=torch.channels_last)  # what convolutions like best
            network.synthesis.recompute = recompute
        elif recompute:
            raise ArgumentError(
                f"`recompute` is for StyleGAN2 generators, and {self.generator_name} is none: "
                "leave it out."
            )
        try:
            self.space = LatentSpace(network, latents, slack, truncation)
        except ValueError as error:
            raise ArgumentError(f"`latents`: {error}") from error
        self.hparams["latents"] = self.space.name  # what null has come to, for records of the run
        self.sampler = chosen_sampler(sampler, noise_std, self.space)
        self.noise_std = None if noise_std == "auto" else self.sampler.noise_std
        self.hparams["sampler"] = self.sampler.portable  # a checkpoint gives the same sampler back
        self.hparams["noise_std"] = noise_std if noise_std == "auto" else self.noise_std
        self._marginal = Marginal(self.sampler.noise_std or 1.0) if noise_std == "auto" else None
        self._discrepancy = discrepancy_of(
            discrepancy, self.noise_std, int(self.generator.resolution)
        )
        if slots is not None and not self.sampler.stops:
            raise ArgumentError(
                f"`slots` needs chains that stop before the last step, which {self.sampler.name}'s do "
                "not here: take MAP with `sampler.stop_psnr`, or leave it out."
            )
        self.chains, self.slots = chains, slots
        self.seed, self.noise_inputs = seed, noise_inputs
        self.warm_start, self.report_every = warm_start, report_every
        self.near: Tensor | None = None
        self._bank: PriorBank | None = None
        self._split = BatchSplitter()
        self._numbers = PictureNumbers()

    @property
    def generator(self) -> Any:
        """The frozen generator."""
        return self.space.generator

    @property
    def speed(self) -> Speed:
        """What ``precision`` and ``compile`` come to in the job at hand, and why, in a line."""
        trainer = self._trainer
        device = self.device if trainer is None else trainer.strategy.root_device
        return self._speed.made(self.generator, self.sampler, self.chains, device, Job.of(trainer))

    def go_on_as(self, begun: tuple[Precision, bool] | None) -> None:
        """Decide ``auto`` as an earlier start of the same job has: precision, and whether compiled."""
        self._speed.begun = begun

    @property
    def _together(self) -> int:
        """Neighbouring rows that depend on each other."""
        return self.chains if self.sampler.cls.interacting else 1

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(id, reason) of the pictures that did not fit into memory, alone in their batch."""
        return self._split.failures

    def predict_step(
        self, batch: Any, batch_idx: int = 0, dataloader_idx: int = 0
    ) -> Completions | None:
        """Complete one batch; None when it holds no picture, or none that fits into memory.

        Args:
            batch: A dict, or a tuple (image, mask) or (image, mask, label). ``image`` and ``mask`` (**1, 255
                or True = fill, 0 = known**) are arrays, tensors or lists of PIL pictures of the generator's
                size; floats are in [0, 1] (see :mod:`.images.inputs`). ``label``: names or numbers,
                -1 = unknown. ``id`` names the pictures' files and keys their random streams; without it,
                ``index``, or else the place in the data set, does.
            batch_idx: Number of the batch; without a trainer it sets the ids of batches apart.
            dataloader_idx: Not used.

        Raises:
            UserError: pictures, masks, labels or settings do not fit the generator.
        """
        batch = named_batch(batch)
        if len(batch["image"]) == 0:
            return None
        # predict runs under inference mode, which autograd cannot leave with the tensors it made
        with torch.inference_mode(False), torch.enable_grad(), whole_float32():
            batch = {k: v.clone() if isinstance(v, Tensor) else v for k, v in batch.items()}
            done: list[Completions] = []
            for part in self._split(self._prepared(batch, batch_idx)):
                with part:
                    done.append(self._complete(part.batch, batch_idx))
        return join_parts(Completions.joined(done)) if done else None

    def _complete(self, batch: dict[str, Any], batch_idx: int) -> Completions:
        streams = ChainStreams.grid(self.seed, batch["id"], self.chains, self.device)
        labels = chain_labels(batch, streams, self.generator, self._prior_bank)
        observation = Observation.of(batch["image"], batch["mask"], labels, self.chains)
        if self._discrepancy is not None:
            observation = self._discrepancy.observed(observation, self.chains)
        speed = self.speed
        posterior = Posterior(
            self.space,
            observation,
            streams,
            self.noise_inputs,
            self._speed.compiler(speed),
            speed.precision,
            self.noise_std,
            self._marginal,
            self._discrepancy,
        )

        def again(rows: Tensor, attempt: int) -> Walk:
            pictures = [batch["id"][row // self.chains] for row in rows.tolist()]
            numbers = [chain_number(row % self.chains, attempt) for row in rows.tolist()]
            others = ChainStreams(self.seed, pictures, numbers, self.device)
            chosen = posterior.over(observation.select(rows), others, plain=True)
            return self._walk(chosen, None, 0.5**attempt)

        report = report_to_callbacks(self, posterior, batch, batch_idx)
        walked = self._walk(posterior, report)
        walked, status = restart_failed(walked, again, self._together)
        names = tuple(getattr(self.generator, "class_names", None) or ())
        return gather_completions(batch, posterior, walked, status, self.chains, self.seed, names)

    def on_predict_start(self) -> None:
        """Start to number the pictures that have no id."""
        self._numbers = PictureNumbers()

    def _prepared(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        numbers = self._numbers.next(self._trainer, batch_idx)
        ready = prepared_batch(batch, self.generator, self.generator_name, self.device, *numbers)
        self._numbers.seen += len(ready["id"])
        return ready

    def _prior_bank(self) -> PriorBank:
        if self._bank is None:
            self._bank = PriorBank(self.space, self.warm_start or 64)
        return self._bank

    def _start(self, posterior: Posterior) -> Tensor:
        banked = self.warm_start > 0
        start = bank_draws(posterior, self._prior_bank()) if banked else prior_draws(posterior)
        return start if self.near is None else moved_near(start, self.near)

    def _walk(self, posterior: Posterior, report: Report | None, step_scale: float = 1.0) -> Walk:
        make = partial(
            seated_sampler, self.sampler, self.chains, self.generator_name, step_scale=step_scale
        )
        return walk(
            posterior,
            make,
            self._start,
            together=self._together,
            slots=self.slots,
            fill=self._split.fits is None,
            keep_draws=self.chains > 1,
            report=report,
            every=self.report_every,
        )
