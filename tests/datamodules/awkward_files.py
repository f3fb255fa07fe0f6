"""A folder of deliberately awkward files, each with what is to come of it."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["BAD", "GOOD", "build", "encode", "gradient"]


def gradient(height: int = 24, width: int = 20) -> np.ndarray:
    """An RGB picture without symmetry: uint8 (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 // max(1, width - 1), y * 255 // max(1, height - 1)
    return np.stack([red, green, (red // 2 + green // 2)], -1).astype(np.uint8)


RGB = gradient()
GREY = RGB[..., 0]
RGBA = np.concatenate([RGB, np.full((*GREY.shape, 1), 255, np.uint8)], -1)
HALF = RGBA.copy()
HALF[:, 10:, 3] = 0
OVER_WHITE = np.where(HALF[..., 3:] == 0, 255, RGB).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    """Bytes of a picture in a format."""
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, -1)


def _png_of_size(width: int, height: int) -> bytes:
    """A valid PNG header that promises any number of pixels, with next to no data behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _animation(kind: str) -> bytes:
    frames = [Image.fromarray(a).quantize(256) for a in (_grey(GREY), _grey(255 - GREY))]
    if kind != "GIF":
        frames = [Image.fromarray(a) for a in (RGB, 255 - RGB)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(RGB, exif=exif)


SIXTEEN = (GREY.astype(np.uint16) * 257).astype(np.uint16)
PALETTE = Image.fromarray(_grey(GREY // 16 * 16)).quantize(32)
SEE_THROUGH = Image.fromarray(RGB // 128 * 128).quantize(8)
_index = np.asarray(SEE_THROUGH)
SEE_THROUGH_RGB = np.array(SEE_THROUGH.convert("RGB"))
SEE_THROUGH_RGB[_index == _index[0, 0]] = 255
KEYED = RGB.copy()
KEYED[(RGB[3, 3] == RGB).all(-1)] = 255
BITS = GREY > 127
JPEG = encode(RGB, "JPEG", quality=95)
PNG = encode(RGB)

# name: (bytes, expected array, greatest difference allowed)
GOOD: dict[str, tuple[bytes, np.ndarray, int]] = {
    "rgb.png": (PNG, RGB, 0),
    "rgb.bmp": (encode(RGB, "BMP"), RGB, 0),
    "rgb.tif": (encode(RGB, "TIFF"), RGB, 0),
    "deflate.tiff": (encode(RGB, "TIFF", compression="tiff_adobe_deflate"), RGB, 0),
    "rgb.ppm": (encode(RGB, "PPM"), RGB, 0),
    "rgb.tga": (encode(RGB, "TGA"), RGB, 0),
    "lossless.webp": (encode(RGB, "WEBP", lossless=True), RGB, 0),
    "lossy.webp": (encode(RGB, "WEBP", quality=95), RGB, 60),
    "photo.jpg": (JPEG, RGB, 25),
    "progressive.jpeg": (encode(RGB, "JPEG", quality=95, progressive=True), RGB, 25),
    "UPPER.PNG": (PNG, RGB, 0),
    "png_called.jpg": (PNG, RGB, 0),
    "jpeg_called.png": (JPEG, RGB, 25),
    "no_extension": (PNG, RGB, 0),
    "wrong.dat": (JPEG, RGB, 25),
    "grey.png": (encode(GREY), _grey(GREY), 0),
    "grey.jpg": (encode(GREY, "JPEG", quality=95), _grey(GREY), 25),
    "grey_alpha.png": (
        encode(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(HALF[..., 3])])),
        np.where(HALF[..., 3:] == 0, 255, _grey(GREY)),
        0,
    ),
    "grey16.png": (encode(SIXTEEN), _grey(GREY), 0),
    "grey16_dark.png": (encode(SIXTEEN // 514), _grey(np.zeros_like(GREY)), 1),
    "grey16.tif": (encode(SIXTEEN, "TIFF"), _grey(GREY), 0),
    "grey32.tif": (encode(Image.fromarray(SIXTEEN.astype(np.int32)), "TIFF"), _grey(GREY), 0),
    "float.tif": (encode(GREY.astype(np.float32) / 255, "TIFF"), _grey(GREY), 0),
    "float255.tif": (encode(GREY.astype(np.float32), "TIFF"), _grey(GREY), 0),
    "grey16.pgm": (
        b"P5 20 24 65535\n" + SIXTEEN.astype(">u2").tobytes(),
        _grey(GREY),
        0,
    ),
    "one_bit.png": (encode(Image.fromarray(BITS)), _grey(BITS.astype(np.uint8) * 255), 0),
    "palette.png": (encode(PALETTE), np.array(PALETTE.convert("RGB")), 0),
    "palette_see_through.png": (
        encode(SEE_THROUGH, transparency=int(_index[0, 0])),
        SEE_THROUGH_RGB,
        0,
    ),
    "keyed.png": (encode(RGB, transparency=tuple(map(int, RGB[3, 3]))), KEYED, 0),
    "alpha.png": (encode(HALF), OVER_WHITE, 0),
    "alpha.webp": (encode(HALF, "WEBP", lossless=True), OVER_WHITE, 0),
    "opaque_alpha.png": (encode(RGBA), RGB, 0),
    "cmyk.jpg": (encode(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95), RGB, 30),
    "cmyk.tif": (encode(Image.fromarray(RGB).convert("CMYK"), "TIFF"), RGB, 1),
    "animated.gif": (_animation("GIF"), _grey(GREY), 0),
    "animated.webp": (_animation("WEBP"), RGB, 0),
    "animated.png": (_animation("PNG"), RGB, 0),
    "pages.tif": (_animation("TIFF"), RGB, 0),
    "turned6.png": (_turned(6), np.rot90(RGB, -1), 0),
    "turned3.png": (_turned(3), np.rot90(RGB, 2), 0),
    "mirrored2.png": (_turned(2), RGB[:, ::-1], 0),
    "one_pixel.png": (encode(RGB[:1, :1]), RGB[:1, :1], 0),
    "one_row.png": (encode(RGB[:1]), RGB[:1], 0),
    "name with spaces.png": (PNG, RGB, 0),
    "Grüße 猫 🐈.png": (PNG, RGB, 0),
    "dots.in.name.png": (PNG, RGB, 0),
    "-dash.png": (PNG, RGB, 0),
    "new\nline.png": (PNG, RGB, 0),
    "percent%20.png": (PNG, RGB, 0),
    "same.png": (PNG, RGB, 0),
    "same.bmp": (encode(RGB, "BMP"), RGB, 0),
    "SAME.png": (PNG, RGB, 0),
    "sub/deep/er.png": (PNG, RGB, 0),
    "sub_deep/er.png": (PNG, RGB, 0),
    "folder.png/inside.png": (PNG, RGB, 0),
    "extra_bytes.png": (PNG + b"rubbish", RGB, 0),
}
"""Files that hold a picture."""

_broken = bytearray(PNG)
_broken[len(PNG) // 2] ^= 0xFF

# name: (bytes, what the reason must say)
BAD: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "empty"),
    "text.png": (b"this is not a picture\n", "not a picture"),
    "page.jpg": (b"<html><body>404</body></html>", "not a picture"),
    "zeros.png": (bytes(1000), "not a picture"),
    "half.jpg": (JPEG[: len(JPEG) // 2], "damaged"),
    "half.png": (PNG[: len(PNG) // 2], "damaged"),
    "header_only.png": (PNG[:33], "damaged|not a picture"),
    "magic_only.png": (PNG[:8], "damaged|not a picture"),
    "bit_error.png": (bytes(_broken), "damaged"),
    "half.webp": (encode(RGB, "WEBP")[:60], "damaged|not a picture"),
    "half.bmp": (encode(RGB, "BMP")[:200], "damaged"),
    "half.gif": (_animation("GIF")[:20], "damaged|not a picture"),
    "half.tif": (encode(RGB, "TIFF")[:300], "damaged|not a picture"),
    "bomb.png": (_png_of_size(60_000, 60_000), "pixels"),
    "wide_bomb.png": (_png_of_size(2_000_000_000, 1), "pixels"),
    "too_big.png": (_png_of_size(12_000, 12_000), "pixels"),
    "short_of_data.png": (_png_of_size(500, 500), "damaged"),
    "no_width.png": (_png_of_size(0, 10), "damaged|not a picture"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "vector.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture"),
    "negative.tif": (encode(GREY.astype(np.float32) - 99, "TIFF"), "negative"),
    "nan.tif": (encode(GREY.astype(np.float32) * np.nan, "TIFF"), "non-finite"),
    "huge_values.tif": (encode(GREY.astype(np.float32) * 1e6, "TIFF"), "above 65535"),
}
"""Files that look like pictures by their names and cannot be read."""


def build(root: Path) -> None:
    """Write all of them, and some that only a file system can hold."""
    for name, (data, *_) in {**GOOD, **BAD}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "x.png").mkdir()
    (root / "broken.png").symlink_to(root / "nowhere.png")
    (root / "link.png").symlink_to(root / "rgb.png")
    (root / "loop").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "pipe.png")
    (root / ".hidden.png").write_bytes(PNG)
    (root / "readme.txt").write_text("not a picture and not called one")
    (root / os.fsdecode(b"latin\xe9.png")).write_bytes(PNG)
