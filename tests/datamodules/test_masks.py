"""Masks by name: 255 = fill."""

import numpy as np
import pytest

from lightning_inpaint.datamodules.masks import MASK_KINDS, NamedMasks, resolve_masks
from lightning_inpaint.datamodules.streams import stream_key
from lightning_inpaint.errors import UserError

SIZES = [(32, 32), (33, 31), (1, 1), (1, 40), (7, 2), (64, 16)]


def draw(spec, picture="a", size=(32, 32), seed=0):
    masks = resolve_masks(spec, seed)
    assert isinstance(masks, NamedMasks)
    return masks.draw(picture, *size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MASK_KINDS)
def test_every_kind_is_binary_and_of_the_size_asked_for(name, size):
    mask = draw(name, size=size)
    assert mask.shape == size
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255}


@pytest.mark.parametrize(
    ("name", "hole"),
    [
        ("right_half", np.s_[:, 16:]),
        ("left_half", np.s_[:, :16]),
        ("top_half", np.s_[:16]),
        ("bottom_half", np.s_[16:]),
        ("center", np.s_[8:24, 8:24]),
        ("right_half:0.25", np.s_[:, 24:]),
        ("bottom_half:0.75", np.s_[8:]),
        ("center:0.25", np.s_[12:20, 12:20]),
        ("all", np.s_[:]),
        ("none", np.s_[:0]),
    ],
)
def test_fixed_kinds_fill_exactly_their_region(name, hole):
    expected = np.zeros((32, 32), np.uint8)
    expected[hole] = 255
    np.testing.assert_array_equal(draw(name), expected)


def test_halves_complement_each_other_at_odd_sizes():
    for one, other in [("left_half", "right_half"), ("top_half", "bottom_half")]:
        covered = (draw(one, size=(9, 9)) > 0) | (draw(other, size=(9, 9)) > 0)
        assert covered.all()


def test_checkerboard_cells():
    mask = draw("checkerboard:4")
    assert mask[0, 0] == 0
    assert mask[0, 4] == mask[4, 0] == 255
    assert (mask > 0).mean() == 0.5
    np.testing.assert_array_equal(mask[:4, :4], np.zeros((4, 4)))


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8, 1.0])
def test_random_pixels_hide_exactly_the_fraction(fraction):
    for picture in "abc":
        mask = draw(f"random_pixels:{fraction}", picture)
        assert np.count_nonzero(mask) == round(fraction * 1024)


def test_random_box_is_one_box_inside_with_the_area_asked_for():
    areas = []
    for number in range(50):
        mask = draw("random_box:0.25", str(number)) > 0
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        areas.append(mask.mean())
    assert np.mean(areas) == pytest.approx(0.25, abs=0.01)


def test_strokes_cover_at_least_the_fraction_and_not_everything():
    for number in range(20):
        assert 0.3 <= (draw("strokes:0.3", str(number)) > 0).mean() < 0.6


@pytest.mark.parametrize("name", ["random_box", "strokes", "random_pixels"])
def test_random_kinds_follow_seed_and_picture_alone(name):
    first = draw(name, "cat/0001", seed=3)
    np.testing.assert_array_equal(first, draw(name, "cat/0001", seed=3))
    assert (first != draw(name, "cat/0002", seed=3)).any()
    assert (first != draw(name, "cat/0001", seed=4)).any()


def test_the_random_stream_is_pinned():
    """The same on every machine, in every process, from one release to the next."""
    assert stream_key(5, "mask", "pässe/1") == 136486594775175910618624450341124770312
    mask = draw("random_pixels", "pässe/1", (8, 8), 5)
    assert np.packbits(mask > 0).tobytes().hex() == "af7287cf93490a58"


def test_stream_keys_do_not_run_together():
    assert stream_key(0, "ab", "c") != stream_key(0, "a", "bc") != stream_key(0, "abc")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("rigth_half", "did you mean right_half"),
        ("Random-Pixels:0.2", "did you mean random_pixels"),
        ("no/such/mask.png", "neither a file"),
        ("random_pixels:80", "above 0 and up to 1"),
        ("random_pixels:0", "above 0 and up to 1"),
        ("random_pixels:many", "above 0 and up to 1"),
        ("random_pixels:nan", "above 0 and up to 1"),
        ("checkerboard:0.5", "whole number"),
        ("checkerboard:inf", "whole number"),
        ("all:0.5", "takes no number"),
    ],
)
def test_wrong_masks_get_one_sentence(spec, said):
    with pytest.raises(UserError, match=said) as caught:
        resolve_masks(spec)
    assert "\n" not in str(caught.value)


def test_unknown_mask_lists_the_known_ones():
    with pytest.raises(UserError) as caught:
        resolve_masks("blob")
    assert all(name in str(caught.value) for name in MASK_KINDS)
