"""`LatentInpainter`: a batch of masked pictures in, completions and energies out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from .bank import PriorBank
from .completions import Completions
from .compositing import composite, to_uint8
from .errors import UserError
from .generators import load_generator
from .latents import LatentSpace
from .likelihood import known_psnr
from .noise import ChainStreams, Purpose
from .optim import AnnealedHMC, ChainOptimizer
from .posterior import Evidence, NoiseInputs, Posterior
from .state import SamplerState
from .walk import Report, Walk, walk

__all__ = ["LatentInpainter"]

SamplerCallable = Callable[[Iterable], ChainOptimizer]
DEFAULT_SAMPLER = AnnealedHMC
SECOND_CHANCE = 1 << 20  # chain numbers of restarted chains begin here


class LatentInpainter(pl.LightningModule):
    """Draws completions of masked pictures from the posterior of a pre-trained generator.

    ``predict_step`` treats each batch as an optimization over per-picture latents: one row of a
    matrix per chain, moved by a noise-injecting optimizer until the generator agrees with the known
    pixels. The generator stays frozen. A plain ``Trainer().predict(module, loader)`` works; batches
    are dicts with ``image`` (uint8 (N, C, H, W)), ``mask`` ((N, 1, H, W), **1 = fill, 0 = known**) and,
    if there are any, ``label`` ((N,), -1 = unknown) and ``id`` (names, which key the random streams).

    Args:
        generator: A bundled or published name, an address, a checkpoint file, or the import path of
            your own module; from Python also the module itself.
        weights: Which weights of a checkpoint to take, the moving average (G_ema) or the last (G).
        latents: What is sampled: z, z+, w or w+, then +noise (noise maps) and +slack if wanted.
        slack: Standard deviation of the slack, as a share of the features' own (latents +slack).
        sampler: The optimizer that walks (Seed, Diffusion, ...) with its options: from Python, a
            callable that receives the latents. None is AnnealedHMC.
        chains: Completions per picture.
        seed: Seed of all random streams; a picture's result depends on it, its id and its chain.
        noise_inputs: Noise maps that are not among the latents: random (redrawn at each call), const
            or off.
        warm_start: Prior draws per class that are scored to choose where chains start; 0 starts from
            the prior.
        report_every: Steps between reports to callbacks (progress, energies).
        compile: Compile the generator (torch.compile); pays for long jobs of equal batches.
    """

    def __init__(
        self,
        generator: str = "cifar10",
        weights: Literal["G_ema", "G"] = "G_ema",
        latents: str = "z++noise",
        slack: float | list[float] = 0.05,
        sampler: SamplerCallable | None = None,
        chains: int = 1,
        seed: int = 0,
        noise_inputs: NoiseInputs = "const",
        warm_start: int = 0,
        report_every: int = 10,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if chains < 1:
            raise UserError(f"--model.chains is {chains}; it must be at least 1")
        if report_every < 1:
            raise UserError(f"--model.report_every is {report_every}; it must be at least 1")
        if warm_start < 0:
            raise UserError(f"--model.warm_start is {warm_start}; it must not be negative")
        own = ["generator"] if isinstance(generator, nn.Module) else []
        self.save_hyperparameters(ignore=["sampler", *own])
        network: nn.Module = generator  # type: ignore[assignment]
        self.generator_name = type(network).__name__
        if isinstance(generator, str):
            network, self.generator_name = load_generator(generator, weights=weights), generator
        try:
            self.space = LatentSpace(network.eval().requires_grad_(False), latents, slack)
        except ValueError as error:
            raise UserError(f"--model.latents: {error}") from error
        self.sampler: SamplerCallable = DEFAULT_SAMPLER if sampler is None else sampler
        described = _described(self.sampler)
        self.sampler_name = type(described).__name__
        hidden = ("streams", "probe", "blocks", "scale_free")
        options = {k: v for k, v in described.defaults.items() if k not in hidden}
        self.sampler_options = {"steps": described.steps, **options}
        self.chains, self.seed, self.noise_inputs = chains, seed, noise_inputs
        self.warm_start, self.report_every = warm_start, report_every
        self._compute = torch.compile(self.space) if compile else None
        self._bank: PriorBank | None = None

    @property
    def generator(self) -> Any:
        """The frozen generator."""
        return self.space.generator

    def predict_step(
        self, batch: dict[str, Any], batch_idx: int = 0, dataloader_idx: int = 0
    ) -> Completions | None:
        """Complete one batch; None when it holds no picture.

        Raises:
            UserError: pictures, masks, labels or settings do not fit the generator.
        """
        if len(batch["image"]) == 0:
            return None
        # predict runs under inference mode, which autograd cannot leave with the tensors it made
        with torch.inference_mode(False), torch.enable_grad():
            batch = {k: v.clone() if isinstance(v, Tensor) else v for k, v in batch.items()}
            batch = self._checked(batch)
            streams = ChainStreams.grid(self.seed, batch["id"], self.chains, self.device)
            labels = self._labels(batch, streams)
            evidence = Evidence.of(batch["image"], batch["mask"], labels, self.chains)
            posterior = Posterior(self.space, evidence, streams, self.noise_inputs, self._compute)
            walked = self._walk(posterior, self._reporter(posterior, batch, batch_idx))
            walked, status = self._restart_failed(walked, posterior, batch)
            return self._completions(batch, posterior, walked, status)

    def _checked(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with its defaults filled in, after a look at shapes and labels."""
        image, mask = batch["image"], batch["mask"]
        n, channels, height, width = image.shape
        generator = self.generator
        expected = (int(generator.img_channels), *[int(generator.resolution)] * 2)
        if (channels, height, width) != expected:
            raise UserError(
                f"the batch's pictures are {channels}x{height}x{width}, but the generator "
                f"{self.generator_name} draws {expected[0]}x{expected[1]}x{expected[2]}; "
                "resize them (FolderMasks does)"
            )
        if mask.shape != (n, 1, height, width):
            raise UserError(
                f"the batch's mask has shape {tuple(mask.shape)}; it must be {(n, 1, height, width)}"
            )
        batch.setdefault("id", [f"{i}" for i in batch.get("index", range(n))])
        batch.setdefault("index", list(range(n)))
        batch.setdefault("source", [None] * n)
        batch.setdefault("label", torch.full((n,), -1, device=image.device))
        largest = int(batch["label"].max())
        if 0 < generator.num_classes <= largest:
            raise UserError(
                f"class {largest} is unknown to the generator {self.generator_name}, "
                f"which has classes 0 to {generator.num_classes - 1}"
            )
        return batch

    def _prior_bank(self, draws: int) -> PriorBank:
        if self._bank is None:
            self._bank = PriorBank(self.space, draws)
        return self._bank

    def _labels(self, batch: dict[str, Any], streams: ChainStreams) -> Tensor | None:
        """One class per chain: the given one, or a draw from p(class | known pixels)."""
        if not self.generator.num_classes:
            return None
        labels = batch["label"].repeat_interleave(self.chains)
        unknown = batch["label"] < 0
        if bool(unknown.any()):
            evidence = Evidence.of(batch["image"], batch["mask"], None, 1)
            bank = self._prior_bank(self.warm_start or 64)
            classes = bank.class_posterior(evidence.target, evidence.known)
            batch["class_posterior"] = classes
            chances = classes.repeat_interleave(self.chains, dim=0).cumsum(dim=1)
            draw = streams.uniform(0, 1, Purpose.LABEL).to(chances)
            inferred = (chances < draw).sum(dim=1).clamp(max=self.generator.num_classes - 1)
            labels = torch.where(labels < 0, inferred, labels)
        return labels

    def _start(self, posterior: Posterior) -> Tensor:
        if self.warm_start:
            evidence = posterior.evidence
            uniform = posterior.streams.uniform(0, 1, Purpose.RESAMPLE)
            bank = self._prior_bank(self.warm_start)
            return bank.start(evidence.target, evidence.known, evidence.labels, uniform)
        return posterior.streams.normal(0, self.space.dim, Purpose.START)

    def _walk(self, posterior: Posterior, report: Report | None) -> Walk:
        u = nn.Parameter(self._start(posterior))
        return walk(posterior, u, self._optimizer(u, posterior), report, self.report_every)

    def _restart_failed(
        self, walked: Walk, posterior: Posterior, batch: dict[str, Any]
    ) -> tuple[Walk, list[str]]:
        """Chains that ended in NaN start once more, from other numbers; the rest keep their result."""
        failed = (~walked.finite).nonzero()[:, 0]
        status = ["ok"] * len(walked.energy)
        if len(failed) == 0:
            return walked, status
        rows = failed.tolist()
        pictures = [batch["id"][row // self.chains] for row in rows]
        numbers = [row % self.chains + SECOND_CHANCE for row in rows]
        again = Posterior(
            self.space,
            posterior.evidence.select(failed),
            ChainStreams(self.seed, pictures, numbers, self.device),
            self.noise_inputs,
        )
        second = self._walk(again, None)
        for row, good in zip(rows, second.finite.tolist(), strict=True):
            status[row] = "restarted" if good else "failed: the energy is not finite"
        return walked.replace_rows(failed, second), status

    def _optimizer(self, u: nn.Parameter, posterior: Posterior) -> ChainOptimizer:
        group = {
            "params": [u],
            "streams": posterior.streams,
            "probe": posterior.squared_probe,
            "blocks": [part.shape for part in self.space.parts],
            "scale_free": self.space.scale_free,
        }
        try:
            optimizer = self.sampler([group])
        except ValueError as error:
            raise UserError(f"--model.sampler: {error}") from error
        if optimizer.exact and not posterior.deterministic:
            raise UserError(
                f"--model.sampler {self.sampler_name} is exact and needs a generator that answers the "
                "same for the same latents: add +noise to --model.latents, or set "
                "--model.noise_inputs const"
            )
        return optimizer

    def _reporter(
        self, posterior: Posterior, batch: dict[str, Any], batch_idx: int
    ) -> Report | None:
        """A function that hands the state of the walk to the callbacks that ask for it."""
        if self._trainer is None:
            return None
        trainer: Any = self.trainer
        hooks = [getattr(c, "on_sampler_step", None) for c in trainer.callbacks]
        decode = torch.no_grad()(posterior.decode)

        def report(step: int, steps: int, energy: Tensor, u: Tensor) -> None:
            state = SamplerState(step, steps, energy, batch_idx, batch, u, decode)
            for hook in hooks:
                if hook is not None:
                    hook(trainer, self, state)

        return report

    def _completions(
        self, batch: dict[str, Any], posterior: Posterior, walked: Walk, status: list[str]
    ) -> Completions:
        """Gather the result on the CPU, each picture's chains ordered by energy."""
        shape = (len(batch["id"]), self.chains)
        energy = walked.energy.unflatten(0, shape)
        order = energy.nan_to_num(nan=float("inf")).argsort(dim=1, stable=True)
        rows = (order + torch.arange(shape[0], device=order.device)[:, None] * shape[1]).flatten()

        def by_energy(values: Tensor) -> Tensor:
            return values[rows].unflatten(0, shape).cpu()

        channels = int(self.generator.img_channels)
        psnr = known_psnr(walked.energy, posterior.evidence.known, channels)
        raw = by_energy(to_uint8(walked.pictures))
        image = batch["image"]
        image = (to_uint8(image) if image.is_floating_point() else image).cpu()
        mask = batch["mask"].float().cpu()
        ordered_status = [status[row] for row in rows.tolist()]
        diagnostics = {k: by_energy(v.float()) for k, v in walked.diagnostics.items()}
        if posterior.evidence.labels is not None and "class_posterior" in batch:
            diagnostics["class"] = by_energy(posterior.evidence.labels.float())
        return Completions(
            id=list(batch["id"]),
            index=list(batch["index"]),
            label=batch["label"].cpu(),
            image=image,
            mask=mask,
            source=list(batch["source"]),
            raw=raw,
            composite=composite(image, mask, raw),
            energy=by_energy(walked.energy),
            first_energy=by_energy(walked.trace[0]),
            psnr=by_energy(psnr),
            trace=walked.trace[:, rows].unflatten(1, shape).cpu(),
            trace_steps=list(range(len(walked.trace))),
            latents=by_energy(walked.latents),
            chain=order.cpu(),
            seed=self.seed,
            steps=len(walked.trace),
            status=[ordered_status[i : i + self.chains] for i in range(0, len(rows), self.chains)],
            diagnostics=diagnostics,
        )


def _described(sampler: SamplerCallable) -> ChainOptimizer:
    """A throw-away sampler, to learn its class and options and to see bad ones at once."""
    dummy = {"params": [nn.Parameter(torch.zeros(1, 1))], "probe": lambda u, draw: u.square()}
    try:
        return sampler([dummy])
    except ValueError as error:
        raise UserError(f"--model.sampler: {error}") from error
