"""Known pixels survive, the hole is filled, and the blend solves Poisson's equation."""

import numpy as np
import pytest
import torch

from lightning_inpaint.completions import Source
from lightning_inpaint.images.compositing import composite, gradient_blend, paste_into_source
from lightning_inpaint.images.membrane import membrane


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def direct_membrane(values, unknown, fixed):
    """The same equations as a dense linear system in float64."""
    places = list(zip(*np.nonzero(unknown), strict=True))
    number = {place: i for i, place in enumerate(places)}
    matrix, right = np.zeros((len(places), len(places))), np.zeros(len(places))
    for (y, x), i in number.items():
        for q in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= q[0] < values.shape[0] and 0 <= q[1] < values.shape[1]):
                continue
            if q in number:
                matrix[i, i] += 1
                matrix[i, number[q]] -= 1
            elif fixed[q]:
                matrix[i, i] += 1
                right[i] += values[q]
    result = np.where(fixed, values, 0.0)
    result[unknown] = np.linalg.solve(matrix, right)
    return result


def make_source(rng, channels=3, size=(90, 70), box=(5, 10, 65, 80), mask=None):
    height, width = size
    image = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    if mask is None:
        mask = np.zeros((height, width), np.uint8)
        mask[30:60, 20:50] = 255
    return Source("photo.png", image, mask, box)


@pytest.mark.parametrize("chains", [None, 3])
def test_composite_keeps_known_and_fills_hole_bit_for_bit(chains):
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, 3, 8, 8), generator=generator, dtype=torch.uint8)
    shape = (2, 3, 8, 8) if chains is None else (2, chains, 3, 8, 8)
    raw = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 4:] = 1
    result = composite(image, mask, raw)
    assert result.shape == raw.shape
    assert result.dtype == torch.uint8
    expected = image if chains is None else image[:, None].expand(-1, chains, -1, -1, -1)
    assert torch.equal(result[..., :4], expected[..., :4])
    assert torch.equal(result[..., 4:], raw[..., 4:])


def test_composite_blends_where_the_mask_is_soft():
    image, raw = torch.full((1, 3, 1, 1), 100).byte(), torch.full((1, 3, 1, 1), 200).byte()
    assert composite(image, torch.full((1, 1, 1, 1), 0.25), raw).flatten().tolist() == [125] * 3


@pytest.mark.parametrize("shape", [(9, 12), (31, 24), (40, 40)])
def test_membrane_agrees_with_a_direct_solve(rng, shape):
    values = rng.uniform(-255, 255, shape)
    unknown = rng.random(shape) < 0.2
    unknown[2:-3, 3 : shape[1] - 1] = True
    unknown[:, shape[1] // 2 :] = True  # reaches the border of the picture
    unknown[0, -1] = False
    fixed = ~unknown
    fixed[1, :2] &= False  # neither known nor unknown
    ours = membrane(values, unknown, fixed, tolerance=1e-5)
    np.testing.assert_allclose(ours, direct_membrane(values, unknown, fixed), atol=0.02)


def test_membrane_at_the_default_tolerance_is_within_half_a_grey_level(rng):
    yy, xx = np.mgrid[:48, :48]
    values = 60 * np.sin(xx / 9) + 40 * np.cos(yy / 5) + rng.normal(0, 5, (48, 48))
    unknown = np.zeros((48, 48), bool)
    unknown[4:44, 5:41] = True
    error = membrane(values, unknown, ~unknown) - direct_membrane(values, unknown, ~unknown)
    assert np.abs(error).max() < 0.5


def test_the_work_does_not_grow_with_the_size_of_a_hole_at_the_border(rng, monkeypatch):
    from lightning_inpaint.images import membrane as module

    solves = []
    cycle = module._v_cycle

    def counted(residual, levels):
        solves[-1] += residual.shape[0] == size
        return cycle(residual, levels)

    monkeypatch.setattr(module, "_v_cycle", counted)
    for size in (64, 256):
        unknown = np.zeros((size, size), bool)
        unknown[:, size // 2 :] = True
        solves.append(0)
        membrane(rng.uniform(0, 255, (size, size)), unknown, ~unknown)
    assert max(solves) <= 12


def test_gradient_blend_removes_an_offset_exactly(rng):
    image = rng.uniform(60, 200, (32, 32, 3)).astype(np.float32)
    hole = np.zeros((32, 32), bool)
    hole[8:24, 8:24] = True
    blended = gradient_blend(image, hole, image - 50)
    np.testing.assert_allclose(blended, image, atol=0.05)


def test_gradient_blend_of_a_picture_with_nothing_known_is_the_guide(rng):
    guide = rng.uniform(0, 255, (16, 16, 1)).astype(np.float32)
    hole = np.ones((16, 16), bool)
    np.testing.assert_array_equal(gradient_blend(np.zeros_like(guide), hole, guide), guide)


@pytest.mark.parametrize("blend", ["gradient", "none"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_paste_keeps_known_pixels_at_full_size(rng, blend, channels):
    source = make_source(rng, channels)
    raw = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    result = paste_into_source(source, raw, blend)
    known = source.mask == 0
    assert result.shape == source.image.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[known], source.image[known])
    assert (result[~known] != source.image[~known]).mean() > 0.9


def test_paste_without_blend_is_the_enlarged_picture(rng):
    source = make_source(rng)
    raw = np.full((16, 16, 3), (10, 90, 200), np.uint8)
    result = paste_into_source(source, raw, "none")
    assert (result[source.mask == 255] == (10, 90, 200)).all()


def test_paste_leaves_the_hole_outside_the_box(rng):
    mask = np.full((90, 70), 255, np.uint8)
    mask[:20] = 0
    source = make_source(rng, mask=mask, box=(5, 10, 65, 80))
    result = paste_into_source(source, np.zeros((16, 16, 3), np.uint8))
    outside = np.ones((90, 70), bool)
    outside[10:80, 5:65] = False
    np.testing.assert_array_equal(result[outside], source.image[outside])


def test_paste_removes_the_seam():
    image = np.tile(np.linspace(40, 220, 128)[None, :, None], (128, 1, 3)).astype(np.uint8)
    mask = np.zeros((128, 128), np.uint8)
    mask[32:96, 32:96] = 255
    source = Source("ramp.png", image, mask, (0, 0, 128, 128))
    darker = (image[::4, ::4] * 0.7).astype(np.uint8)

    def step_at_rim(blend):
        result = paste_into_source(source, darker, blend).astype(int)
        return np.abs(result[32:96, 32] - result[32:96, 31]).max()

    assert step_at_rim("gradient") <= 4 < 20 < step_at_rim("none")


def test_soft_mask_blends_towards_the_original(rng):
    image = np.full((20, 20, 3), 100, np.uint8)
    mask = np.full((20, 20), 51, np.uint8)
    source = Source("flat.png", image, mask, (0, 0, 20, 20))
    result = paste_into_source(source, np.full((4, 4, 3), 200, np.uint8), "none")
    assert (result == 120).all()
