"""A module that makes completions up, and data to go with it: callbacks need no generator."""

import numpy as np
import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lightning_inpaint.completions import Completions, Source
from lightning_inpaint.images.compositing import composite
from lightning_inpaint.inference.state import SamplerState

RESOLUTION = 8
STEPS = 30


class Pictures(Dataset):
    """Gradients of many colours, right half masked; every third one has a larger original."""

    def __init__(self, names, with_sources=False):
        self.names = list(names)
        self.with_sources = with_sources

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, RESOLUTION, RESOLUTION), generator=generator).byte()
        mask = torch.zeros(1, RESOLUTION, RESOLUTION)
        mask[..., RESOLUTION // 2 :] = 1
        source = self._source(index) if self.with_sources and index % 3 == 0 else None
        return {
            "image": image,
            "mask": mask,
            "label": index % 4 - 1,
            "id": self.names[index],
            "index": index,
            "source": source,
        }

    @staticmethod
    def _source(index):
        rng = np.random.default_rng(index)
        mask = np.zeros((20, 24), np.uint8)
        mask[:, 12:] = 255
        image = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        return Source(f"in/{index}.png", image, mask, (0, 0, 24, 20))


def collate(items):
    batch = {key: [item[key] for item in items] for key in items[0]}
    stacked = {key: torch.stack(batch[key]) for key in ("image", "mask")}
    return {**batch, **stacked, "label": torch.tensor(batch["label"])}


class MadeUp(LightningModule):
    """Stands in for LatentInpainter: the same attributes, hooks and results, no mathematics."""

    def __init__(self, chains=1, seed=0, failing=(), rhat=None, failures=(), dies_at=None):
        super().__init__()
        self.save_hyperparameters(ignore=["failing", "rhat", "failures", "dies_at"])
        self.rhat = rhat
        self.failures = list(failures)
        self.dies_at = dies_at
        self.generator = nn.Linear(2, 2)
        nn.init.constant_(self.generator.weight, 0.5)
        nn.init.zeros_(self.generator.bias)
        self.chains = chains
        self.seed = seed
        self.failing = set(failing)
        self.predicted = []

    def predict_step(self, batch, batch_idx):
        if batch_idx == self.dies_at:
            raise KeyError(batch_idx)
        self.predicted += batch["id"]
        made = [self._picture(name) for name in batch["id"]]
        raw = torch.stack([raw for raw, _ in made])
        trace = torch.stack([trace for _, trace in made], dim=1)
        self._report(batch, batch_idx, trace)
        shape = raw.shape[:2]
        failed = [name in self.failing for name in batch["id"]]
        return Completions(
            id=batch["id"],
            index=batch["index"],
            label=batch["label"],
            image=batch["image"],
            mask=batch["mask"],
            source=batch["source"],
            raw=raw,
            composite=composite(batch["image"], batch["mask"], raw),
            energy=trace[-1],
            first_energy=trace[0],
            psnr=30 - trace[-1].log10(),
            trace=trace,
            trace_steps=list(range(STEPS)),
            latents=torch.zeros(*shape, 4),
            chain=torch.arange(shape[1]).repeat(shape[0], 1),
            seed=self.seed,
            steps=STEPS,
            status=[["failed: not finite" if bad else "ok"] * shape[1] for bad in failed],
            diagnostics=self._diagnostics(shape),
        )

    def _diagnostics(self, shape):
        figures = {"acceptance": 0.5} | ({} if self.rhat is None else {"rhat": self.rhat})
        return {name: torch.full(shape, value) for name, value in figures.items()}

    def _picture(self, name):
        """Raw pictures (K, C, H, W) and energies (T, K), the lowest last energy first."""
        generator = torch.Generator().manual_seed(sum(name.encode()) + 1000 * self.seed)
        shape = (self.chains, 3, RESOLUTION, RESOLUTION)
        raw = torch.randint(0, 256, shape, generator=generator).byte()
        scale = torch.rand(self.chains, generator=generator).sort().values + 1
        steps = torch.arange(1, STEPS + 1)[:, None]
        return raw, 500 * scale / steps

    def _report(self, batch, batch_idx, trace):
        for step in range(10, STEPS + 1, 10):
            energy = trace[step - 1].flatten()
            latents = torch.full((len(energy), 4), step / STEPS)
            state = SamplerState(step, STEPS, energy, batch_idx, batch, latents, self._decode)
            self._tell(state)

    def _tell(self, state):
        for callback in self.trainer.callbacks:
            if hasattr(callback, "on_sampler_step"):
                callback.on_sampler_step(self.trainer, self, state)

    @staticmethod
    def _decode(latents):
        values = latents.mean(dim=1) * 2 - 1
        return values[:, None, None, None].expand(-1, 3, RESOLUTION, RESOLUTION)


class MadeUpData(LightningDataModule):
    """Stands in for the data modules: it can leave pictures out and lists those it skipped."""

    def __init__(self, ids, batch_size=2, skipped=(), kind="right_half"):
        super().__init__()
        self.save_hyperparameters("kind")
        self.ids = list(ids)
        self.order = list(range(len(self.ids)))
        self.batch_size = batch_size
        self.skipped = list(skipped)
        self.notes = []

    def leave_out(self, ids):
        self.order = [position for position in self.order if self.ids[position] not in ids]
        return len(self.order)

    def block_size(self, devices):
        return self.batch_size

    def predict_dataloader(self):
        pictures = Pictures(self.ids)
        chosen = torch.utils.data.Subset(pictures, self.order)
        return DataLoader(chosen, batch_size=self.batch_size, collate_fn=collate)


def predict(callbacks, *, module=None, names=("a", "b", "cat/c", "d"), data=None, **options):
    """Run the callbacks in a plain trainer; returns it."""
    bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    settings = {"logger": False, "enable_progress_bar": bar, "accelerator": "cpu"}
    settings |= {"enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(callbacks=list(callbacks), **(settings | options))
    module = MadeUp() if module is None else module
    if data is None:
        data = DataLoader(Pictures(names, with_sources=True), batch_size=3, collate_fn=collate)
    trainer.predict(module, data, return_predictions=False)
    return trainer


def files_below(root):
    """Names of all files, relative to a folder, sorted."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
