"""Decoding: every awkward file gives the right picture or one clear line."""

import zipfile

import awkward_files as awkward
import numpy as np
import pytest
from PIL import Image

from lightning_inpaint.datamodules import pictures
from lightning_inpaint.datamodules.listing import list_pictures
from lightning_inpaint.datamodules.pictures import read_alpha, read_mask, read_picture
from lightning_inpaint.datamodules.references import FileRef, PictureError


def save(path, data):
    path.write_bytes(data)
    return FileRef(str(path))


@pytest.mark.parametrize("name", awkward.GOOD)
def test_awkward_pictures_are_read(name, tmp_path):
    data, expected, tolerance = awkward.GOOD[name]
    array = read_picture(save(tmp_path / name.replace("/", "_"), data))
    assert array.dtype == np.uint8
    assert array.shape == expected.shape
    assert array.flags.writeable
    assert np.abs(array.astype(int) - expected.astype(int)).max() <= tolerance


@pytest.mark.parametrize("name", awkward.BAD)
def test_unreadable_files_give_one_line_that_names_them(name, tmp_path):
    data, reason = awkward.BAD[name]
    with pytest.raises(PictureError, match=reason) as caught:
        read_picture(save(tmp_path / name, data))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to(path / "nowhere"), "broken symbolic link|symbolic links"),
        (lambda path: path.symlink_to(path.parent / "gone.png"), "broken symbolic link"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: __import__("os").mkfifo(path), "not a regular file"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_is_not_a_file(make, reason, tmp_path):
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(PictureError, match=reason):
        read_picture(FileRef(str(path)))


def test_permission_denied(tmp_path, monkeypatch):
    file = save(tmp_path / "secret.png", awkward.PNG)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "read_bytes", refuse)
    with pytest.raises(PictureError, match=r"secret\.png: permission denied"):
        read_picture(file)


def test_pixel_limit_is_checked_before_decoding(tmp_path, monkeypatch):
    file = save(tmp_path / "a.png", awkward.PNG)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 479)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PictureError, match="20 x 24 pixels are more than the 479 allowed"):
        read_picture(file)


def test_a_large_picture_within_the_limit_is_read(tmp_path):
    file = save(tmp_path / "8k.png", awkward.encode(Image.new("L", (8192, 8192), 7)))
    array = read_picture(file)
    assert array.shape == (8192, 8192, 3)
    assert array[5000, 5000].tolist() == [7, 7, 7]


def test_masks_are_read_as_grey(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:], mask[0, 0] = 255, 100
    for data in (
        awkward.encode(mask),
        awkward.encode(np.repeat(mask[..., None], 3, -1)),
        awkward.encode((mask.astype(np.uint16) * 257).astype(np.uint16)),
        awkward.encode(mask, "BMP"),
    ):
        np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", data)), mask)


def test_a_mask_of_zeros_and_ones_counts_as_black_and_white(tmp_path):
    mask = np.eye(8, dtype=np.uint8)
    file = save(tmp_path / "m.png", awkward.encode(mask))
    np.testing.assert_array_equal(read_mask(file), mask * 255)


def test_a_jpeg_mask_has_clean_black_and_white(tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = 255
    noisy = save(tmp_path / "m.jpg", awkward.encode(mask, "JPEG", quality=60))
    np.testing.assert_array_equal(read_mask(noisy), mask)


def test_white_strokes_on_transparent_ground_are_a_mask(tmp_path):
    layer = np.full((8, 8, 4), 255, np.uint8)
    layer[:4, :, 3] = 0
    mask = read_mask(save(tmp_path / "m.png", awkward.encode(layer)))
    np.testing.assert_array_equal(mask, layer[..., 3])


def test_the_alpha_channel(tmp_path):
    file = save(tmp_path / "a.png", awkward.encode(awkward.HALF))
    np.testing.assert_array_equal(read_alpha(file), awkward.HALF[..., 3])
    with pytest.raises(PictureError, match="no transparency"):
        read_alpha(save(tmp_path / "b.png", awkward.PNG))


def test_damaged_and_missing_zip_members(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.png", awkward.PNG)
        archive.writestr("bad.png", awkward.PNG)
    data = bytearray(path.read_bytes())
    data[data.rfind(awkward.PNG) + 60] ^= 0xFF
    path.write_bytes(data)
    np.testing.assert_array_equal(read_picture(FileRef("good.png", str(path))), awkward.RGB)
    for name, reason in [("bad.png", "CRC"), ("gone.png", "no item")]:
        with pytest.raises(PictureError, match=reason) as caught:
            read_picture(FileRef(name, str(path)))
        assert "\n" not in str(caught.value)


def test_a_plain_picture_is_held_once(tmp_path, monkeypatch):
    """One of 69 megapixels took 1.3 GB: turning it upright and making it RGB each made a copy."""
    path = tmp_path / "plain.png"
    Image.fromarray(np.full((6, 8, 3), 7, np.uint8)).save(path)
    monkeypatch.setattr(Image.Image, "copy", None)
    assert read_picture(FileRef(str(path))).shape == (6, 8, 3)


@pytest.mark.parametrize("mode", [("F", ".pfm"), ("RGB", ".vda"), ("RGB", ".rgb")])
def test_rarer_endings_are_pictures(mode, tmp_path):
    kind, suffix = mode
    Image.new(kind, (8, 6)).save(tmp_path / f"one{suffix}")
    ((name, file),) = list_pictures(tmp_path, "path").files
    assert name == f"one{suffix}"
    assert read_picture(file).shape == (6, 8, 3)


@pytest.mark.parametrize("suffix", [".eps", ".FLI", ".xpm", ".wmf", ".svg", ".fits"])
def test_pictures_of_kinds_that_are_not_read_are_named(suffix, tmp_path):
    """They were passed over in silence."""
    (tmp_path / f"one{suffix}").write_bytes(b"something")
    listing = list_pictures(tmp_path, "path")
    assert not listing.files
    ((name, reason),) = listing.skipped
    assert name == f"one{suffix}"
    assert f"{suffix[1:].upper()} cannot be read" in reason
