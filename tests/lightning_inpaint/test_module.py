"""The module through a plain Trainer: invariance, exactness of composites, prior, settings."""

import logging

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from lightning_inpaint import LatentInpainter, UserError
from lightning_inpaint.errors import ArgumentError
from lightning_inpaint.optim import HMC, Diffusion, PluginDiffusion

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Pictures(Dataset):
    """Made-up 8x8 pictures, in any order."""

    def __init__(self, order=range(8), mask_columns=4, label=None):
        random = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (8, 3, 8, 8), generator=random, dtype=torch.uint8)
        self.mask = torch.zeros(1, 8, 8)
        self.mask[..., 8 - mask_columns :] = 1
        self.order, self.label = list(order), label

    def __len__(self):
        return len(self.order)

    def __getitem__(self, k):
        i = self.order[k]
        label = i % 3 if self.label is None else self.label
        return {
            "image": self.images[i],
            "mask": self.mask,
            "label": torch.tensor(label),
            "id": f"p{i}",
        }


def predict(module, pictures, batch_size=8, **options):
    trainer = pl.Trainer(
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    return trainer.predict(module, DataLoader(pictures, batch_size=batch_size))


def by_id(batches):
    return {name: (b, k) for b in batches for k, name in enumerate(b.id)}


def inpainter(generator, **options):
    options = {"sampler": lambda p: PluginDiffusion(p, steps=15), "chains": 2, **options}
    return LatentInpainter(generator, **options)


@pytest.mark.parametrize("latents", ["z", "z+", "z++noise+slack", "w+noise"])
@pytest.mark.parametrize(
    ("batch_size", "order"), [(1, range(8)), (3, range(8)), (8, [5, 2, 7, 0, 1, 6, 3, 4])]
)
def test_results_do_not_depend_on_batch_mates(tiny_generator, latents, batch_size, order):
    module = inpainter(tiny_generator, latents=latents, noise_inputs="random")
    reference = by_id(predict(module, Pictures()))
    other = by_id(predict(module, Pictures(order), batch_size))
    assert reference.keys() == other.keys()
    for name, (a, i) in reference.items():
        b, j = other[name]
        assert torch.allclose(a.latents[i], b.latents[j], rtol=1e-4, atol=1e-4)
        assert torch.allclose(a.energy[i], b.energy[j], rtol=1e-4)


def test_chains_and_seeds_differ(tiny_generator):
    a = predict(inpainter(tiny_generator), Pictures([0]))[0].latents[0]
    b = predict(inpainter(tiny_generator, seed=1), Pictures([0]))[0].latents[0]
    assert not torch.allclose(a[0], a[1])
    assert not torch.allclose(a.sum(0), b.sum(0))


def test_composites_keep_known_pixels_and_raw_is_there(tiny_generator):
    result = predict(inpainter(tiny_generator), Pictures())[0]
    known = (result.mask == 0)[:, None].expand_as(result.composite)
    image = result.image[:, None].expand_as(result.composite)
    assert torch.equal(result.composite[known], image[known])
    assert torch.equal(result.composite[~known], result.raw[~known])
    assert (result.energy[:, 0] <= result.energy[:, 1]).all()


def test_energy_is_that_of_the_raw_output(tiny_generator):
    result = predict(inpainter(tiny_generator), Pictures())[0]
    raw = result.raw.float() / 127.5 - 1
    target = (result.image.float() / 127.5 - 1)[:, None]
    clipped = ((raw - target).square() * (1 - result.mask)[:, None]).sum(dim=(2, 3, 4))
    inside = (result.raw > 0).all() & (result.raw < 255).all()
    if inside:  # otherwise rounding to uint8 clamps, and the energy of the file is lower
        assert torch.allclose(result.energy, clipped, rtol=0.05)
    assert (clipped <= result.energy * 1.05 + 0.05).all()


def test_nothing_known_returns_draws_from_the_prior(tiny_generator):
    """400 chains of 8 latents; bounds are four standard errors."""
    sampler = {"sampler": lambda p: PluginDiffusion(p, steps=60), "latents": "z"}
    module = inpainter(tiny_generator, chains=50, **sampler)
    u = predict(module, Pictures(mask_columns=8))[0].latents.flatten(0, 1).double()
    n = u.shape[0]
    assert u.mean(dim=0).abs().max() < 4 / n**0.5
    assert (u.var(dim=0) - 1).abs().max() < 4 * (2 / n) ** 0.5


def test_frozen_generator_in_eval_mode(tiny_generator):
    module = inpainter(tiny_generator)
    predict(module, Pictures([0]))
    assert not module.generator.training
    assert not any(p.requires_grad for p in module.parameters())
    assert all(p.grad is None for p in module.parameters())


def test_unknown_labels_are_inferred_from_the_known_pixels(tiny_generator):
    result = predict(inpainter(tiny_generator), Pictures(label=-1))[0]
    assert (result.label == -1).all()
    assert result.class_names == ("ant", "bee", "cow")
    assert result.class_posterior.shape == (8, 3)
    assert torch.allclose(result.class_posterior.sum(dim=1), torch.ones(8))
    assert ((result.chain_label >= 0) & (result.chain_label <= 2)).all()


def test_given_labels_are_certain(tiny_generator):
    result = predict(inpainter(tiny_generator), Pictures([0, 1, 2]))[0]
    assert torch.equal(result.class_posterior, torch.eye(3))
    assert result.chain_label.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_a_chain_that_is_not_finite_starts_again_and_is_reported(tiny_generator):
    class Fragile(PluginDiffusion):
        """Breaks the second row of a full batch, once."""

        def step(self, closure):
            energy = super().step(closure)
            if len(self.latents) > 1 and self.step_count == 3:
                self.latents.data[1] = float("nan")
            return energy

    module = inpainter(tiny_generator, sampler=lambda p: Fragile(p, steps=5), chains=1)
    result = predict(module, Pictures([0, 1, 2]))[0]
    assert result.status == [["ok"], ["restarted"], ["ok"]]
    assert result.latents.isfinite().all()
    assert result.energy.isfinite().all()


def test_callbacks_see_the_walk(tiny_generator):
    class Watcher(pl.Callback):
        seen = ()

        def on_sampler_step(self, trainer, pl_module, state):
            self.seen = (*self.seen, (state.step, state.steps, tuple(state.energy.shape)))
            assert state.decode(state.latents).shape == (4, 3, 8, 8)

    watcher = Watcher()
    module = inpainter(tiny_generator, report_every=6)
    predict(module, Pictures([0, 1]), callbacks=[watcher])
    assert watcher.seen == ((6, 15, (4,)), (12, 15, (4,)), (15, 15, (4,)))


def test_batches_need_no_ids_or_labels_without_classes(tiny_generator):
    class Bare(torch.nn.Module):
        z_dim, num_classes, resolution, img_channels = 8, 0, 8, 3

        def forward(self, z, labels=None):
            return torch.tanh(z[:, :3, None, None].expand(-1, -1, 8, 8) + z[:, 3:4, None, None])

    module = inpainter(Bare(), latents="z")
    batch = {"image": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "mask": torch.zeros(2, 1, 8, 8)}
    result = module.predict_step(batch)
    assert result.id == ["0", "1"]
    assert result.raw.shape == (2, 2, 3, 8, 8)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"chains": 0}, "`chains` is 0"),
        ({"report_every": 0}, "`report_every` is 0"),
        ({"truncation": 1.5}, "`truncation` is 1.5"),
        ({"warm_start": -1}, "`warm_start` is -1"),
        ({"latents": "y"}, "latents 'y' are unknown"),
        ({"latents": "z+slack", "slack": -0.1}, "none negative"),
        ({"sampler": lambda p: Diffusion(p, steps=0)}, "steps must be at least 1, got 0"),
    ],
)
def test_bad_settings_get_one_sentence(tiny_generator, options, text):
    with pytest.raises(UserError, match=text):
        inpainter(tiny_generator, **options)


def test_an_argument_is_a_flag_on_the_command_line():
    error = ArgumentError("`slots` needs `sampler.stop_psnr`; `chains` is 0")
    assert error.flagged() == ("--model.slots needs --model.sampler.stop_psnr; --model.chains is 0")
    assert ArgumentError("`path` is empty", "data").flagged() == "--data.path is empty"
    error = ArgumentError("`path=x y` is none: pass `resize=True` or `trainer.devices` 2", "data")
    assert error.flagged() == (
        "--data.path x y is none: pass --data.resize true or --trainer.devices 2"
    )
    assert error.flagged(data="--").startswith("--path x y is none: pass --resize true")
    assert ArgumentError("`seed`: use `data=FolderMasks`", "").flagged() == (
        "--seed: use --data FolderMasks"
    )


def test_pictures_that_do_not_fit_get_one_sentence(tiny_generator):
    module = inpainter(tiny_generator)
    image, mask = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.ones(1, 1, 8, 8)
    with pytest.raises(UserError, match="pictures are 3x9x9"):
        module.predict_step({"image": torch.zeros(1, 3, 9, 9, dtype=torch.uint8), "mask": mask})
    with pytest.raises(UserError, match="mask has shape"):
        module.predict_step({"image": image, "mask": mask[..., :4]})
    with pytest.raises(UserError, match="class 3 is unknown"):
        module.predict_step({"image": image, "mask": mask, "label": torch.tensor([3])})


def checkpoint_of(module, folder) -> str:
    """The module's checkpoint as a trainer writes it."""
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.save_checkpoint(folder / "module.ckpt")
    return str(folder / "module.ckpt")


def test_a_checkpoint_gives_back_the_same_sampler(tmp_path) -> None:
    module = LatentInpainter(sampler=lambda p: HMC(p, steps=7, leapfrog=3), noise_std=0.11)
    path = checkpoint_of(module, tmp_path)
    again = LatentInpainter.load_from_checkpoint(path, map_location="cpu")
    assert (again.sampler.cls, again.sampler.options) == (HMC, module.sampler.options)
    assert again.noise_std == 0.11
    other = LatentInpainter.load_from_checkpoint(
        path, map_location="cpu", sampler="map", noise_std=None
    )
    assert other.sampler.name == "MAP"


def test_a_checkpoint_with_a_sampler_or_network_of_ones_own_is_refused(
    tmp_path, tiny_generator
) -> None:
    class Own(HMC):
        pass

    path = checkpoint_of(LatentInpainter(sampler=Own), tmp_path)
    with pytest.raises(UserError, match=r"there is no sampler '.*Own'"):
        LatentInpainter.load_from_checkpoint(path, map_location="cpu")
    module = LatentInpainter(tiny_generator, sampler="map")
    path = checkpoint_of(module, tmp_path)
    with pytest.raises(UserError, match="give load_from_checkpoint the network as generator="):
        LatentInpainter.load_from_checkpoint(path, map_location="cpu")
    again = LatentInpainter.load_from_checkpoint(path, map_location="cpu", generator=tiny_generator)
    assert again.sampler == module.sampler


def test_noise_std_is_that_of_the_posterior_and_of_the_sampler(tiny_generator) -> None:
    module = LatentInpainter(tiny_generator, sampler="plugin", noise_std=0.25)
    assert module.sampler.options["temp"] == 2 * 0.25**2
    image, mask = torch.zeros(2, 3, 8, 8).byte(), torch.zeros(2, 1, 8, 8)
    done = module.predict_step((image, mask, torch.tensor([0, 1])))
    assert done.noise_std == 0.25
    for bad, words in [(0.0, "must be positive"), (0.3, "leave one of them out")]:
        with pytest.raises(UserError, match=words):
            LatentInpainter(tiny_generator, sampler=lambda p: HMC(p, noise_std=0.2), noise_std=bad)
