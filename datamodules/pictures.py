"""Pictures as they come, made into RGB uint8 arrays; masks into grey ones.

Whatever is wrong with a file comes out as a PictureError: one line that names the file and the
reason.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..images.source import PictureInfo
from .references import FileRef, PictureError

__all__ = [
    "MAX_PIXELS",
    "decode_mask",
    "decode_picture",
    "heif_available",
    "picture_array",
    "read_mask",
    "read_picture",
    "read_with_info",
]

MAX_PIXELS = 2**27
"""Pictures with more pixels (134 million; 11,585 x 11,585) are refused before they are decoded."""

# Only these: Pillow would hand an EPS file, whatever its name, to Ghostscript, which runs programs.
_FORMATS = (
    *("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "GIF", "BMP", "DIB"),
    *("TIFF", "PPM", "TGA", "ICO", "PSD", "DDS", "QOI", "SGI", "PCX", "ICNS", "HEIF"),
)
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})


def read_picture(file: FileRef) -> np.ndarray:
    """Read a picture: RGB uint8 (H, W, 3), upright, first frame, transparency over white.

    Raises:
        PictureError: with the reason, if it cannot be read.
    """
    return decode_picture(file.read(), str(file))


def picture_size(file: FileRef) -> tuple[int, int]:
    """Width and height that a picture's header says, not turned upright; nothing is decoded.

    Raises:
        PictureError: with the reason, if it cannot be read.
    """
    with _explained(str(file)):
        return Image.open(io.BytesIO(file.read()), formats=_formats()).size


def read_with_info(file: FileRef) -> tuple[np.ndarray, PictureInfo | None]:
    """`read_picture`, and what else the file says: profile, EXIF, resolution; None if nothing.

    Raises:
        PictureError: with the reason, if it cannot be read.
    """
    with _explained(str(file)):
        image = _first_frame(file.read(), str(file))
        info = _info(image)
        return _colours(_upright(image), str(file)), info


# What in EXIF's main directory is about the file that it came from: sizes, strips, tiles, profile, orientation.
_OF_THE_FILE = frozenset(
    {
        254,
        255,
        256,
        257,
        258,
        259,
        262,
        266,
        273,
        274,
        277,
        278,
        279,
        282,
        283,
        284,
        296,
        317,
        320,
        322,
    }
    | {
        323,
        324,
        325,
        330,
        338,
        339,
        347,
        512,
        513,
        514,
        529,
        530,
        531,
        532,
        700,
        33723,
        34377,
        34675,
    }
)


def _info(image: Image.Image) -> PictureInfo | None:
    icc = image.info.get("icc_profile")
    if not isinstance(icc, bytes) or icc[16:20] != b"RGB ":  # pixels become RGB
        icc = None
    try:
        block = _exif(image.getexif())
    except Exception:  # of odd entries, which say nothing that is worth a failure
        block = None
    dpi = image.info.get("dpi")
    try:
        across, down = float(dpi[0]), float(dpi[1])
        resolution = (across, down) if across > 0 and down > 0 else None
        if resolution and image.getexif().get(ExifTags.Base.Orientation, 1) > 4:
            resolution = (down, across)  # on its side
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        resolution = None
    info = PictureInfo(icc, block, resolution)
    return info if any(info) else None


def _exif(given: Image.Exif) -> bytes | None:
    """The block with what holds for the completion; None where it says nothing."""
    kept = Image.Exif()
    for tag, value in given.items():
        if tag not in _OF_THE_FILE:
            kept[tag] = value
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        inner = given.get_ifd(directory)
        if inner:
            kept.get_ifd(directory).update(inner)
            kept[directory] = kept.get_ifd(directory)
    return kept.tobytes() if len(kept) else None


def read_mask(file: FileRef) -> np.ndarray:
    """Read a mask: uint8 (H, W), 255 = fill, grey in between = partly.

    Raises:
        PictureError: with the reason, if it cannot be read.
    """
    return decode_mask(file.read(), str(file))


def read_alpha(file: FileRef) -> np.ndarray:
    """Read the alpha channel of a picture: uint8 (H, W), 0 = transparent, 255 = opaque.

    Raises:
        PictureError: with the reason, if it cannot be read or has none.
    """
    with _explained(str(file)):
        image = _open(file.read(), str(file))
        if not _has_alpha(image):
            raise PictureError(f"{file}: has no transparency that `masks=alpha` could take.")
        return np.array(image.convert("RGBA").getchannel("A"))


def decode_picture(data: bytes, name: str) -> np.ndarray:
    """Decode a picture from its bytes; see read_picture."""
    with _explained(name):
        return _colours(_open(data, name), name)


def picture_array(image: Image.Image, name: str) -> np.ndarray:
    """A PIL picture as read_picture would give it, grey ones as (H, W, 1)."""
    with _explained(name):
        image.load()
        array = _colours(ImageOps.exif_transpose(image), name)
    grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    return array[..., :1] if grey else array


def _colours(image: Image.Image, name: str) -> np.ndarray:
    flat = _eight_bit(_flat(image, "white"), name)
    return np.array(flat if flat.mode == "RGB" else flat.convert("RGB"))  # convert would copy it


def decode_mask(data: bytes, name: str) -> np.ndarray:
    """Decode a mask from its bytes; see read_mask.

    Transparent parts count as black. A JPEG's or WebP's nearly black and nearly white values are
    taken for black and white. A mask of zeros and ones is taken for one of 0 and 255.
    """
    with _explained(name):
        image = _open(data, name)
        lossy = image.format in ("JPEG", "MPO", "WEBP", "AVIF")
        mask = np.array(_eight_bit(_flat(image, "black"), name).convert("L"))
    if lossy:
        mask[mask < 24] = 0
        mask[mask > 231] = 255
    if mask.max() == 1:
        mask *= 255
    return mask


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn every failure to decode into a PictureError of one line."""
    try:
        with warnings.catch_warnings():
            # Our own limit on the number of pixels, and our own words on damage, replace Pillow's.
            warnings.simplefilter("ignore")
            yield
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            f"{name}: not a picture in a format that can be read (or cut off)."
        ) from None
    except Image.DecompressionBombError:
        raise PictureError(
            f"{name}: more than the {MAX_PIXELS:,} pixels allowed; scale it down."
        ) from None
    except MemoryError:
        raise PictureError(f"{name}: not enough memory to decode it.") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{name}: damaged: {reason.rstrip('.')}.") from None


@cache
def heif_available() -> bool:
    """Whether HEIC photographs can be read: pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    heif_available()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # a build may lack some


def _open(data: bytes, name: str) -> Image.Image:
    """Decode the first frame fully and turn it upright."""
    return _upright(_first_frame(data, name))


def _first_frame(data: bytes, name: str) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=_formats())
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name}: {width} x {height} pixels are more than the {MAX_PIXELS:,} "
            "allowed; scale it down."
        )
    image.seek(0)
    image.load()
    return image


def _upright(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)  # else one that is upright would be copied
    return image


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _ALPHA_MODES or "transparency" in image.info


def _flat(image: Image.Image, background: str) -> Image.Image:
    """Lay a picture with transparent parts over a colour."""
    if not _has_alpha(image) or image.mode.startswith("I"):  # 16-bit grey: one grey is see-through
        return image
    layer = image.convert("RGBA")
    flat = Image.new("RGBA", layer.size, background)
    flat.alpha_composite(layer)
    return flat


def _eight_bit(image: Image.Image, name: str) -> Image.Image:
    """Grey of 16 and 32 bits or float, scaled to 8 bits; other modes as they are."""
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image
    values = np.asarray(image).astype(np.float32)  # exact up to 2^24, far above what is let in
    if not np.isfinite(values).all() or values.min() < 0:
        raise PictureError(f"{name}: holds negative or non-finite values; save it as 8-bit PNG.")
    top = values.max()
    if image.mode == "F" and top <= 1:
        white = 1.0
    elif image.mode in ("I", "F") and top <= 255 and image.format != "PPM":
        white = 255.0
    elif top <= 65535:
        white = 65535.0
    else:
        raise PictureError(f"{name}: holds values above 65535; save it as 8-bit PNG.")
    return Image.fromarray(np.rint(values * np.float32(255 / white)).astype(np.uint8))
