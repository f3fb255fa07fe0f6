"""`fit around`: squares around holes, put back bit for bit, with what the file says beside its pixels."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import cli
from lightning_inpaint import complete
from lightning_inpaint.datamodules.fitting import fit_picture
from lightning_inpaint.datamodules.holes import squares_around
from lightning_inpaint.generators import save_generator

RANDOM = np.random.default_rng(0)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FEW = {"sampler": "map", "sampler_options": {"steps": 2}, "fit": "around"}


def mask_of(shape, *boxes):
    mask = np.zeros(shape, np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 255
    return mask


def test_a_square_is_half_as_large_again_as_its_hole_and_in_the_picture():
    (square,) = squares_around(mask_of((300, 400), (100, 50, 140, 70)), 32)
    left, top, right, bottom = square.box
    assert (right - left, bottom - top) == (60, 60)
    assert (left + right, top + bottom) == (240, 120)
    (corner,) = squares_around(mask_of((300, 400), (390, 290, 400, 300)), 32)
    assert corner.box == (368, 268, 400, 300)


def test_holes_far_apart_have_squares_of_their_own_and_neighbours_share_one():
    far = squares_around(mask_of((300, 400), (10, 10, 30, 30), (300, 200, 360, 260)), 32)
    assert [box for box, _ in far] == [(285, 185, 375, 275), (4, 4, 36, 36)]
    near = squares_around(mask_of((300, 400), (10, 10, 14, 14), (18, 10, 22, 14)), 32)
    assert len(near) == 1


def test_a_hole_longer_than_the_picture_is_high_gets_an_oblong():
    (square,) = squares_around(mask_of((50, 400), (0, 20, 400, 30)), 32)
    assert square.box == (0, 0, 400, 50)


BOXES = st.lists(
    st.tuples(st.integers(0, 90), st.integers(0, 60), st.integers(1, 30), st.integers(1, 30)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(boxes=BOXES)
def test_every_hole_is_filled_by_one_square(boxes):
    mask = mask_of((90, 120), *((x, y, x + w, y + h) for x, y, w, h in boxes))
    times = np.zeros(mask.shape, int)
    for (left, top, right, bottom), holes in squares_around(mask, 8):
        window = np.s_[top:bottom, left:right]
        own = mask[window] > 0
        if holes is not None:
            own &= holes.within(window)
        times[window] += own
    assert (times[mask > 0] == 1).all()


def test_random_pixels_do_not_end_in_thousands_of_squares():
    mask = np.where(RANDOM.random((600, 800)) < 0.002, np.uint8(255), np.uint8(0))
    assert len(squares_around(mask, 32)) <= 16


def test_nothing_to_fill_is_one_part():
    image = RANDOM.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    assert len(fit_picture(image, np.zeros((50, 60), np.uint8), 8, "around")) == 1


@pytest.mark.parametrize("size", [(40, 60), (33, 47), (90, 41)])
def test_several_holes_are_completed_and_known_pixels_kept(tiny_generator, size):
    photo = RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = mask_of(size, (2, 2, 8, 8), (size[1] - 7, size[0] - 6, size[1], size[0]))
    result = complete(photo, mask, n=2, generator=tiny_generator, **FEW)
    assert len(result) == 1
    assert len(result.source[0].patches) == 1
    for k in range(2):
        filled = result.array(0, k)
        np.testing.assert_array_equal(filled[mask == 0], photo[mask == 0])
        for part in (np.s_[2:8, 2:8], np.s_[-6:, -7:]):
            assert (filled[part] != photo[part]).any(axis=2).mean() > 0.9
    assert (result.energy[0, 0] <= result.energy[0, 1]).all()


def photograph(path, size=(60, 40), orientation=6, **options):
    picture = Image.fromarray(RANDOM.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    picture.save(path, exif=exif, icc_profile=PROFILE, dpi=(300, 300), **options)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_profile_exif_and_resolution_go_along(
    tiny_generator, tmp_path, monkeypatch, format, suffix
):
    monkeypatch.chdir(tmp_path)
    photograph(f"photo{suffix}")
    save_generator(tiny_generator, tmp_path / "g.safetensors", "float32")
    words = (
        f"--data FolderMasks --data.images photo{suffix} --data.masks center:0.2 --data.fit around"
    )
    words += " --model.generator g.safetensors --model.sampler map --model.sampler.steps 1"
    words += (
        f" --writer.format {format} --trainer.enable_progress_bar false --trainer.accelerator cpu"
    )
    assert cli.main(["predict", *words.split()]) == 0
    (path,) = (tmp_path / "outputs/composites").iterdir()
    written = Image.open(path)
    assert written.size == (40, 60)  # upright
    assert written.info["icc_profile"] == PROFILE
    assert written.getexif()[0x010F] == "Maker"
    assert written.getexif().get(0x0112, 1) == 1
    if format != "webp" and suffix != ".webp":
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_a_picture_of_the_generators_size_keeps_its_profile_too(tiny_generator, tmp_path):
    photograph(tmp_path / "photo.png", (8, 8), 1)
    result = complete(tmp_path / "photo.png", "right_half", generator=tiny_generator, **FEW)
    (path,) = result.save(tmp_path / "out")
    assert Image.open(path).info["icc_profile"] == PROFILE


def test_a_profile_of_other_channels_is_not_kept(tiny_generator, tmp_path):
    cmyk = Image.new("CMYK", (20, 20))
    profile = bytearray(PROFILE)
    profile[16:20] = b"CMYK"
    cmyk.save(tmp_path / "photo.jpg", icc_profile=bytes(profile))
    result = complete(tmp_path / "photo.jpg", "right_half", generator=tiny_generator, **FEW)
    assert result.source[0].info is None or result.source[0].info.icc is None


def test_large_originals_are_read_again_and_not_kept(tiny_generator, tmp_path):
    pixels = np.zeros((1100, 1000, 3), np.uint8)
    pixels[::7] = 200
    Image.fromarray(pixels).save(tmp_path / "large.png")
    result = complete(tmp_path / "large.png", "center:0.1", generator=tiny_generator, **FEW)
    source = result.source[0]
    assert "image" not in vars(source)
    assert source.size == (1000, 1100)
    filled = result.array(0)
    known = source.mask == 0
    np.testing.assert_array_equal(filled[known], pixels[known])
    assert (~known).any()


def test_much_enlargement_is_said_before_and_after(tiny_generator, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photograph("photo.png", (200, 200), 1)
    save_generator(tiny_generator, tmp_path / "g.safetensors", "float32")
    words = (
        "--data FolderMasks --data.images photo.png --data.masks center --trainer.accelerator cpu"
    )
    words += " --model.generator g.safetensors --model.sampler map --model.sampler.steps 1"
    with pytest.warns(UserWarning, match=r"enlarged up to 25.0-fold .* --data.fit around"):
        assert cli.main(["predict", *words.split()]) == 0
    assert "enlarged, up to 25-fold" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.heic", "a.CR2", "a.jxl"])
def test_pictures_that_cannot_be_read_are_counted(
    tiny_generator, tmp_path, monkeypatch, capsys, name
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning_inpaint.datamodules.listing.heif_available", lambda: False)
    photograph("photo.png", (8, 8), 1)
    (tmp_path / name).write_bytes(b"anything")
    save_generator(tiny_generator, tmp_path / "g.safetensors", "float32")
    words = "--data FolderMasks --data.images . --model.generator g.safetensors --trainer.accelerator cpu"
    with pytest.warns(UserWarning, match="cannot be read"):
        assert cli.main(["predict", *words.split(), "--model.sampler", "map"]) == 1
    assert "1 failed or skipped" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".jp2", ".dds", ".pcx", ".qoi"])
def test_formats_that_pillow_reads_are_read(tiny_generator, tmp_path, suffix):
    pixels = RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, Image.registered_extensions()[suffix])
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {suffix}")
    (tmp_path / f"a{suffix}").write_bytes(buffer.getvalue())
    result = complete(tmp_path / f"a{suffix}", "right_half", generator=tiny_generator, **FEW)
    np.testing.assert_array_equal(result.image[0].permute(1, 2, 0).numpy(), pixels)
