"""Pictures of any size at the generator's resolution. Masks: 255 (or 1) = fill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_inpaint.datamodules.fitting import fit_picture
from lightning_inpaint.datamodules.inspection import inspect_mask
from lightning_inpaint.datamodules.references import PictureError

SIDES = st.integers(1, 70)


def fitted_alone(*args, **options):
    (fitted,) = fit_picture(*args, **options)
    return fitted


def random_picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def random_mask(height, width, seed=0, levels=2):
    values = np.random.default_rng(seed).integers(0, levels, (height, width))
    return (values * 255 // (levels - 1)).astype(np.uint8)


def test_a_picture_of_the_right_size_is_left_alone():
    image, mask = random_picture(32, 32), random_mask(32, 32, levels=256)
    fitted = fitted_alone(image, mask, 32)
    np.testing.assert_array_equal(fitted.image, image)
    np.testing.assert_allclose(fitted.mask, mask / 255, rtol=0, atol=1e-7)
    assert fitted.source is None


@settings(deadline=None, max_examples=60)
@given(height=SIDES, width=SIDES, own=st.booleans(), crop=st.booleans(), seed=st.integers(0, 99))
def test_shapes_ranges_and_boxes(height, width, own, crop, seed):
    image = random_picture(height, width, seed)
    mask = random_mask(height, width, seed, 3) if own else random_mask(16, 16, seed, 3)
    fitted = fitted_alone(image, mask, 16, "crop" if crop else "resize")
    assert fitted.image.shape == (16, 16, 3)
    assert fitted.image.dtype == np.uint8
    assert fitted.mask.shape == (16, 16)
    assert fitted.mask.dtype == np.float32
    assert fitted.mask.min() >= 0
    assert fitted.mask.max() <= 1
    if (height, width) == (16, 16):
        return
    np.testing.assert_array_equal(fitted.source.image, image)
    assert fitted.source.mask.shape == (height, width)
    if own:
        np.testing.assert_array_equal(fitted.source.mask, mask)
    left, top, right, bottom = fitted.source.box
    side = min(height, width)
    assert (right - left, bottom - top) == ((side, side) if crop else (width, height))
    assert abs((left + right) - width) <= 1
    assert abs((top + bottom) - height) <= 1


@settings(deadline=None, max_examples=60)
@given(height=SIDES, width=SIDES, own=st.booleans(), crop=st.booleans(), seed=st.integers(0, 99))
def test_what_lies_in_the_hole_changes_no_known_pixel(height, width, own, crop, seed):
    image = random_picture(height, width, seed)
    mask = random_mask(height, width, seed) if own else random_mask(16, 16, seed)
    fit = "crop" if crop else "resize"
    one = fitted_alone(image, mask, 16, fit)
    if one.source is None:
        return
    other = image.copy()
    other[one.source.mask == 255] = random_picture(height, width, seed + 1)[one.source.mask == 255]
    two = fitted_alone(other, mask, 16, fit)
    np.testing.assert_array_equal(one.mask, two.mask)
    known = one.mask < 1
    np.testing.assert_array_equal(one.image[known], two.image[known])


def test_shrinking_takes_the_mean_of_the_known_pixels():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = 100
    image[0, 0] = 40
    mask = np.zeros((4, 4), np.uint8)
    mask[0, 0] = 255
    fitted = fitted_alone(image, mask, 2)
    np.testing.assert_array_equal(fitted.mask, [[0.25, 0], [0, 0]])
    np.testing.assert_array_equal(fitted.image[..., 0], [[100, 0], [0, 0]])


def test_the_hole_shows_the_original():
    image = np.full((64, 64, 3), 90, np.uint8)
    fitted = fitted_alone(image, np.full((64, 64), 255, np.uint8), 32)
    assert (fitted.image == 90).all()


def test_a_mask_on_the_generators_grid_stays_as_drawn():
    mask = random_mask(32, 32)
    fitted = fitted_alone(random_picture(96, 64), mask, 32)
    np.testing.assert_array_equal(fitted.mask, mask / 255)
    np.testing.assert_array_equal(fitted.source.mask, mask.repeat(3, 0).repeat(2, 1))


def test_centre_crop_keeps_the_proportions():
    image = random_picture(32, 100)
    fitted = fitted_alone(image, np.zeros((32, 32), np.uint8), 32, "crop")
    np.testing.assert_array_equal(fitted.image, image[:, 34:66])
    assert fitted.source.box == (34, 0, 66, 32)


@pytest.mark.parametrize("shape", [(64, 63), (31, 32), (63, 64)])
def test_a_mask_of_another_size_gets_one_line(shape):
    with pytest.raises(PictureError, match=r"p\.png: its mask m\.png has .* must have"):
        fitted_alone(
            random_picture(64, 64),
            np.zeros(shape, np.uint8),
            32,
            name="p.png",
            mask_name="its mask m.png",
        )


def kinds(mask, size=32, fit="resize", by_hand=True):
    fitted = fitted_alone(random_picture(size, size + 20), mask, 32, fit)
    return [kind for kind, _ in inspect_mask(mask, [fitted], by_hand, fit)]


def test_remarkable_masks():
    frame = np.full((32, 32), 255, np.uint8)
    frame[8:24, 8:24] = 0
    half = np.zeros((32, 52), np.uint8)
    half[:, 26:] = 255
    assert kinds(frame) == ["inverted"]
    assert kinds(frame, by_hand=False) == []
    assert kinds(255 - frame) == []
    assert kinds(np.zeros((32, 32), np.uint8)) == ["all known"]
    assert kinds(np.full((32, 32), 255, np.uint8)) == ["all hidden"]
    assert kinds(half) == []
    assert kinds(half, fit="crop") == ["outside"]
