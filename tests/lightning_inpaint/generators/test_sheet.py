"""The labelled grid of samples."""

import pytest
import torch
from PIL import Image

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator, sample_grid
from lightning_inpaint.generators.sheet import draw_samples
from lightning_inpaint.inference.latents import LatentSpace


def test_cells_are_the_generators_pictures(tmp_path, tiny_generator):
    path = sample_grid(tiny_generator, tmp_path / "new" / "grid.png", columns=4, seed=5, scale=1)
    sheet = torch.frombuffer(bytearray(Image.open(path).tobytes()), dtype=torch.uint8)
    sheet = sheet.view(*Image.open(path).size[::-1], 3).permute(2, 0, 1)
    expected = draw_samples(tiny_generator, [5, 6, 7, 8] * 3, [0] * 4 + [1] * 4 + [2] * 4)
    windows = sheet.unfold(1, 8, 1).unfold(2, 8, 1)
    for picture in expected:
        assert (windows == picture[:, None, None]).all(dim=(0, 3, 4)).any()


def test_a_cell_depends_on_seed_and_class_alone(tiny_generator):
    together = draw_samples(tiny_generator, [1, 2, 3], [0, 1, 2], batch_size=3)
    alone = draw_samples(tiny_generator, [2], [1])
    assert (together[1].int() - alone[0].int()).abs().max() <= 1
    assert not torch.equal(together[0], together[1])


def test_truncation_zero_draws_the_average_of_the_class(tiny_generator):
    pictures = draw_samples(tiny_generator, [1, 2, 1], [0, 0, 2], truncation=0.0)
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])


def test_truncated_samples_are_those_that_completions_come_from(tiny_generator):
    space = LatentSpace(tiny_generator, "z", truncation=0.5)
    z = torch.randn(8, generator=torch.Generator().manual_seed(4))[None]
    x = space(z, torch.tensor([1]), "const").clamp(-1, 1).add(1).mul(127.5).round().byte()
    assert torch.equal(draw_samples(tiny_generator, [4], [1], truncation=0.5), x)


@pytest.mark.parametrize("classes", [None, [2], ["bee", "0"], ["cow", "ant"]])
def test_classes_by_name_or_number(tmp_path, tiny_generator, classes):
    path = sample_grid(tiny_generator, tmp_path / "grid.png", classes, columns=2, scale=2)
    rows = 3 if classes is None else len(classes)
    assert rows * 16 < Image.open(path).height < rows * 18 + 30


def test_generators_without_classes_or_truncation(tmp_path):
    generator = load_generator("my_networks:DCGAN")
    assert sample_grid(generator, tmp_path / "grid.png", columns=3, rows=2).is_file()
    with pytest.raises(UserError, match="only StyleGAN2 generators have truncation"):
        sample_grid(generator, tmp_path / "other.png", truncation=0.7)
    with pytest.raises(UserError, match="no classes"):
        sample_grid(generator, tmp_path / "other.png", [1])
    assert not (tmp_path / "other.png").exists()


@pytest.mark.parametrize("name", ["dog", 3, "-1"])
def test_unknown_classes_are_named(tmp_path, tiny_generator, name):
    with pytest.raises(UserError, match=f"no class '{name}'; known are ant, bee, cow"):
        sample_grid(tiny_generator, tmp_path / "grid.png", [name])


def test_empty_grids_are_refused(tmp_path, tiny_generator):
    with pytest.raises(UserError, match="at least 1"):
        sample_grid(tiny_generator, tmp_path / "grid.png", columns=0)
