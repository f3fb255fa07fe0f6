"""Batches of a plain loader: whatever form they have, one result; names that never restart."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from lightning_inpaint import Completions, LatentInpainter, UserError
from lightning_inpaint.inference.batch import labels_of
from lightning_inpaint.optim import PluginDiffusion
from tests.lightning_inpaint.generators.my_networks import Dense

NAMES = ("ant", "bee", "cow")


def inpainter(generator, **options):
    return LatentInpainter(
        generator,
        latents="z",
        sampler=lambda p: PluginDiffusion(p, steps=3),
        truncation=1,
        **options,
    )


def predict(module, loader):
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    return trainer.predict(module, loader)


def pictures(n=5, channels=3):
    levels = torch.randint(0, 256, (n, channels, 8, 8), generator=torch.Generator().manual_seed(1))
    return levels.to(torch.uint8)


def masks(n=5):
    mask = torch.zeros(n, 1, 8, 8)
    mask[..., 4:] = 1
    return mask


FORMS = {
    "floats in [0, 1]": (lambda x: x / 255, lambda m: m),
    "numpy, channels last": (lambda x: x.permute(0, 2, 3, 1).numpy(), lambda m: m.numpy()),
    "masks of 255": (lambda x: x, lambda m: m * 255),
    "bool masks without channel": (lambda x: x, lambda m: m[:, 0] > 0),
    "one mask": (lambda x: x, lambda m: m[0, 0]),
    "PIL": (
        lambda x: [Image.fromarray(each.permute(1, 2, 0).numpy()) for each in x],
        lambda m: [Image.fromarray((each[0] * 255).byte().numpy()) for each in m],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_completions(tiny_generator, form):
    module = inpainter(tiny_generator)
    batch = {"image": pictures(), "mask": masks(), "label": torch.zeros(5, dtype=torch.long)}
    expected = module.predict_step(batch)
    of_image, of_mask = FORMS[form]
    got = module.predict_step(
        {"image": of_image(pictures()), "mask": of_mask(masks()), "label": ["ant"] * 5}
    )
    assert torch.equal(got.image, expected.image)
    assert torch.equal(got.composite, expected.composite)
    assert torch.equal(got.energy, expected.energy)


def test_a_picture_without_batch_dimension(tiny_generator):
    got = inpainter(tiny_generator).predict_step({"image": pictures()[0] / 255, "mask": masks()[0]})
    assert len(got) == 1
    assert torch.equal(got.image[0], pictures()[0])


def test_a_plain_loader_of_tuples_names_each_picture_once(tiny_generator):
    loader = DataLoader(TensorDataset(pictures() / 255, masks()), batch_size=2)
    parts = predict(inpainter(tiny_generator), loader)
    assert [name for part in parts for name in part.id] == [f"{k}" for k in range(5)]
    assert [index for part in parts for index in part.index] == list(range(5))
    # the same picture in another place has another stream
    same = TensorDataset(pictures(1).expand(4, -1, -1, -1), masks(4))
    latents = torch.cat(
        [part.latents for part in predict(inpainter(tiny_generator), DataLoader(same, 2))]
    )
    assert len(torch.unique(latents.flatten(1), dim=0)) == 4


def test_names_do_not_depend_on_the_batch_size(tiny_generator):
    data = TensorDataset(pictures(), masks())
    module = inpainter(tiny_generator)
    joined = [Completions.joined(predict(module, DataLoader(data, size))) for size in (1, 4)]
    assert joined[0].id == joined[1].id
    assert torch.allclose(joined[0].latents, joined[1].latents, atol=1e-4)


def test_batches_without_a_trainer_are_told_apart_by_their_number(tiny_generator):
    module = inpainter(tiny_generator)
    batch = (pictures(2), masks(2))
    first, second = module.predict_step(batch, 0), module.predict_step(batch, 1)
    assert not set(first.id) & set(second.id)
    assert torch.equal(first.latents, module.predict_step(batch, 0).latents)


def test_a_grey_generator_completes_colour_pictures_in_their_colours():
    module = inpainter(Dense())
    got = module.predict_step({"image": pictures(2), "mask": masks(2)})
    assert got.image.shape == (2, 1, 8, 8)
    known = masks(2)[0, 0] == 0
    original = pictures(2)[0].permute(1, 2, 0)
    assert (torch.from_numpy(got.array(0))[known] == original[known]).all()


def test_a_grey_generator_leaves_grey_pictures_grey():
    module = inpainter(Dense())
    got = module.predict_step({"image": pictures(2, 1).expand(-1, 3, -1, -1), "mask": masks(2)})
    assert got.array(0).shape == (8, 8, 1)
    assert torch.equal(got.image, pictures(2, 1))


def test_a_colour_generator_takes_grey_pictures(tiny_generator):
    got = inpainter(tiny_generator).predict_step({"image": pictures(2, 1), "mask": masks(2)})
    assert torch.equal(got.image, pictures(2, 1).expand(-1, 3, -1, -1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": pictures() / 127.5 - 1}, r"float pictures must be in \[0, 1\]"),
        ({"image": pictures()[..., :4]}, "3x8x4, but the generator StyleGAN2Generator draws 3x8x8"),
        ({"mask": masks(4)}, "4 masks for 5 pictures"),
        ({"mask": masks()[..., :4]}, "mask has shape"),
        ({"mask": masks() - 1}, "0 or False"),
        ({"mask": None}, "no mask"),
        ({"label": ["bat"] * 5}, "unknown class 'bat'"),
        ({"label": [0, 1]}, "2 labels for 5 pictures"),
        ({"label": torch.full((5,), 3)}, "class 3 is unknown"),
        ({"label": [0.5] * 5}, "neither the name nor the number"),
        ({"id": ["a"] * 5}, "'a' is there twice"),
        ({"id": ["a"]}, "1 entries of id"),
    ],
)
def test_a_wrong_batch_gets_one_sentence(tiny_generator, change, words):
    batch = {"image": pictures(), "mask": masks()} | change
    with pytest.raises(UserError, match=words) as caught:
        inpainter(tiny_generator).predict_step(batch)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("batch", [torch.zeros(3), [torch.zeros(3)], "x", None])
def test_what_is_no_batch_is_refused(tiny_generator, batch):
    with pytest.raises(UserError, match="dict with image and mask"):
        inpainter(tiny_generator).predict_step(batch)


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (None, [-1, -1]),
        ("bee", [1, 1]),
        (2, [2, 2]),
        (["Bee", 0], [1, 0]),
        (("2", None), [2, -1]),
        (np.array([1, 2]), [1, 2]),
        (torch.tensor([0, -1]), [0, -1]),
        ([1.0, np.int64(2)], [1, 2]),
    ],
)
def test_labels_as_names_or_numbers(value, labels):
    assert labels_of(value, 2, 3, NAMES) == labels
