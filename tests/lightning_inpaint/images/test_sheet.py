"""Labelled sheets of pictures."""

import numpy as np
import pytest

from lightning_inpaint.images.sheet import contact_sheet, hatched, thumbnail


def test_contact_sheet_shortens_captions_and_takes_grey():
    grey = np.full((4, 4, 1), 77, np.uint8)
    sheet = contact_sheet([("row", [grey, grey])], ["short", "a very long caption " * 5], side=64)
    assert (np.array(sheet) == 77).all(axis=2).sum() == 2 * 64 * 64


def test_a_long_title_fits():
    grey = np.full((4, 4), 77, np.uint8)
    plain = contact_sheet([("", [grey])], side=32)
    titled = contact_sheet([("", [grey])], side=32, title="much wider than one small picture")
    assert titled.width > plain.width
    assert titled.height > plain.height


@pytest.mark.parametrize(("size", "shown"), [((10, 10), (60, 60)), ((100, 300), (21, 64))])
def test_thumbnails_grow_by_whole_factors_and_shrink_to_fit(size, shown):
    assert thumbnail(np.zeros((size[1], size[0], 3), np.uint8), 64).size == shown


def test_only_the_hole_is_hatched():
    picture = np.full((4, 4, 3), 9, np.uint8)
    mask = np.zeros((4, 4, 1), np.float32)
    mask[:, 2:] = 1
    drawn = hatched(picture, mask)
    assert (drawn[:, :2] == 9).all()
    assert set(np.unique(drawn[:, 2:])) == {176, 208}
