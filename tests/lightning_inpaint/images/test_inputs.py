"""Any form of a picture and a mask comes out as the same levels; a wrong one gets one sentence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torchvision.transforms.functional import to_tensor

from lightning_inpaint import UserError
from lightning_inpaint.images.inputs import grey_or_colour, masks_of, pictures_of

COLOUR = arrays(np.uint8, st.tuples(st.integers(5, 9), st.integers(5, 9), st.just(3)))
HOLE = arrays(bool, st.tuples(st.integers(5, 9), st.integers(5, 9)))

PICTURES = {
    "array": lambda x: x,
    "batch of one": lambda x: x[None],
    "channels first": lambda x: np.moveaxis(x, 2, 0),
    "int64": lambda x: x.astype(np.int64),
    "float64 in [0, 1]": lambda x: x / 255,
    "float32 in [0, 1]": lambda x: (x / 255).astype(np.float32),
    "not contiguous": lambda x: np.asfortranarray(x),
    "PIL": Image.fromarray,
    "ToTensor": lambda x: to_tensor(x),
    "ToTensor in a batch": lambda x: to_tensor(x)[None],
    "float16 tensor": lambda x: to_tensor(x).half(),
    "uint8 tensor": lambda x: torch.from_numpy(x.copy()).permute(2, 0, 1),
    "tensor with channels last": lambda x: torch.from_numpy(x.copy()),
    "list of one": lambda x: [x],
    "tuple of tensors": lambda x: (to_tensor(x),),
    "opaque": lambda x: np.concatenate([x, np.full_like(x[..., :1], 255)], axis=2),
}
MASKS = {
    "bool": lambda m: m,
    "0 and 1": lambda m: m.astype(np.uint8),
    "0 and 255": lambda m: m.astype(np.uint8) * 255,
    "int64 of 0 and 255": lambda m: m.astype(np.int64) * 255,
    "float": lambda m: m.astype(np.float64),
    "float of 0 and 255": lambda m: m * 255.0,
    "PIL, one bit": Image.fromarray,
    "PIL, grey": lambda m: Image.fromarray(m.astype(np.uint8) * 255),
    "PIL, colour": lambda m: Image.fromarray(np.stack([m.astype(np.uint8) * 255] * 3, axis=2)),
    "tensor": lambda m: torch.from_numpy(m.copy()),
    "tensor with channel": lambda m: torch.from_numpy(m.copy())[None].float(),
    "tensor with channel and batch": lambda m: torch.from_numpy(m.copy())[None, None],
    "channel last": lambda m: m[..., None],
    "colours": lambda m: np.stack([m] * 3, axis=2),
    "list": lambda m: [m],
}


@pytest.mark.parametrize("form", PICTURES)
@settings(max_examples=20, deadline=None)
@given(picture=COLOUR)
def test_every_form_of_a_picture_has_its_levels(form, picture):
    (got,) = pictures_of(PICTURES[form](picture))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, picture)


@pytest.mark.parametrize("form", MASKS)
@settings(max_examples=20, deadline=None)
@given(mask=HOLE)
def test_every_form_of_a_mask_has_its_hole(form, mask):
    (got,) = masks_of(MASKS[form](mask))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, mask)


@settings(max_examples=60, deadline=None)
@given(
    values=arrays(
        np.float32, (3, 6, 7), elements=st.floats(-300, 300, width=32, allow_subnormal=False)
    )
    | arrays(np.float32, (3, 6, 7), elements=st.floats(0, 1, width=32, allow_subnormal=False))
)
def test_floats_are_read_as_unit_range_or_refused(values):
    inside = values.min() >= -0.5 / 255 and values.max() <= 1 + 0.5 / 255
    if not inside:
        with pytest.raises(UserError, match=r"^image holds values (up|down) to"):
            pictures_of(torch.from_numpy(values))
        return
    (got,) = pictures_of(torch.from_numpy(values))
    assert np.abs(got - np.moveaxis(values, 0, 2).clip(0, 1) * 255).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(
    "shape", [(4, 3, 8, 8), (4, 8, 8, 3), (4, 1, 8, 8), (5, 8, 8), (4, 8, 8, 4)]
)
@pytest.mark.parametrize("make", [np.array, torch.from_numpy])
def test_batches_come_apart(shape, make):
    batch = np.arange(np.prod(shape)).reshape(shape) % 256
    got = pictures_of(make(batch.astype(np.uint8)))
    assert len(got) == shape[0]
    assert {each.shape[:2] for each in got} == {(8, 8)}


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 1, 8, 8), (3, 8, 8, 1)])
def test_a_batch_of_masks_is_not_a_colour_mask(shape):
    batch = np.zeros(shape, bool)
    batch[1] = True
    got = masks_of(torch.from_numpy(batch), pictures=3)
    assert [each.mean() for each in got] == [0, 1, 0]


def test_transparency_lies_over_white():
    picture = np.zeros((6, 6, 4), np.uint8)
    picture[:3, :, 3] = 255
    (got,) = pictures_of(picture)
    assert (got[:3] == 0).all()
    assert (got[3:] == 255).all()


def test_grey_to_colour_and_back():
    grey = np.arange(36, dtype=np.uint8).reshape(6, 6, 1)
    np.testing.assert_array_equal(grey_or_colour(grey_or_colour(grey, 3), 1), grey)
    assert grey_or_colour(np.full((2, 2, 3), (0, 255, 0), np.uint8), 1)[0, 0, 0] == 150


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.full((6, 6, 3), -0.5), r"down to -0.5.*\[0, 1\].*\(image \+ 1\) / 2"),
        (np.full((6, 6, 3), 200.0), r"up to 200.*image / 255"),
        (np.full((6, 6, 3), np.nan), "not finite"),
        (np.full((6, 6, 3), 256), "0 to 255"),
        (np.full((6, 6, 3), "x"), "array of <U1"),
        (np.zeros(6), r"shape \(6,\)"),
        (np.zeros((2, 6, 6, 6)), "1 to 4 channels"),
        (np.zeros((0, 3, 6, 6), np.uint8), "no picture"),
        ([], "empty list"),
        (5, "int"),
        ({"a": 1}, "dict"),
    ],
)
def test_a_wrong_picture_gets_one_sentence(value, words):
    with pytest.raises(UserError, match=f"(?i){words}") as caught:
        pictures_of(value)
    assert str(caught.value).startswith("image ")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.full((6, 6), -1.0), "0 or False"),
        (np.full((6, 6), 300), "0 or False"),
        (np.full((6, 6), np.inf), "not finite"),
        (np.zeros(6), "shape"),
        ("mask", "str"),
        ([], "empty list"),
    ],
)
def test_a_wrong_mask_gets_one_sentence(value, words):
    with pytest.raises(UserError, match=words) as caught:
        masks_of(value)
    assert str(caught.value).startswith("mask ")
