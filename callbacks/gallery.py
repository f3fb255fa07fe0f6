"""``index.html``: all pictures of a run, to be looked at in a browser."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pytorch_lightning import Trainer

from ..completions import Completions
from ..errors import UserError
from .explaining import write_bytes, write_text
from .figure import Views, load_views
from .finish import Finisher
from .imaging import to_array, without_alpha
from .layout import OutputFolder
from .result import RunResult
from .uncertainty import spread_view

if TYPE_CHECKING:
    from .writer import CompletionWriter

__all__ = ["Gallery"]

TEMPLATE = Path(__file__).with_name("gallery.html")

#: Largest side of a thumbnail; smaller pictures are kept and enlarged by the browser.
SIDE = 96

#: Largest side of the original that a completion is compared with.
LARGE = 2048

#: Points and chains of the energy curves in the page, which is to stay small.
POINTS, CHAINS = 32, 4


class Gallery(Finisher):
    """Writes ``index.html`` when all pictures are done: open it in a browser, no server needed.

    Per picture: original, masked, completions, generated, uncertainty, energy curve; a click opens it large,
    with a before/after slider at the original's size, the figures of every completion and links to the files.
    Sorted by failures, energy, chi2, agreement or diversity. The page loads only what is on the screen, one
    strip of thumbnails (``thumbnails/<id>.webp``) per picture, so it also works with thousands of pictures.

    Args:
        pictures: How many pictures to show at most, from the first one on.
        chains: How many completions to show of each, from the best one on.
        title: Heading of the page.
    """

    def __init__(self, pictures: int = 10_000, chains: int = 4, title: str = "Completions") -> None:
        for name, value in (("pictures", pictures), ("chains", chains)):
            if value < 1:
                raise UserError(f"Gallery's {name} is {value}: it must be at least 1.")
        self.pictures = pictures
        self.chains = chains
        self.title = title

    def on_composite(
        self,
        writer: CompletionWriter,
        completions: Completions,
        n: int,
        k: int,
        composite: np.ndarray,
    ) -> None:
        """Keep what the completion of a larger picture is compared with: the original, whole and masked."""
        source = completions.source[n]
        if k > 0 or (source is None and completions.image.shape[-1] <= SIDE):
            return
        if source is None:
            image, mask = to_array(completions.image[n]), completions.mask[n, 0].numpy()
            hole = np.rint(255 * mask).astype(np.uint8)
        else:
            image, hole = without_alpha(source.image), source.mask
        whole = _picture(image).convert("RGB")
        masked = whole.copy()
        masked.putalpha(Image.fromarray(255 - hole))
        for kind, picture in (("originals", whole), ("masked", masked)):
            picture.thumbnail((LARGE, LARGE), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            picture.save(buffer, "webp", quality=85, method=2)
            write_bytes(writer.folder.file(kind, completions.id[n], ".webp"), buffer.getvalue())

    def finish(self, trainer: Trainer, run: RunResult) -> None:
        shown = run.records[: self.pictures]
        entries = [_entry(run.folder, record, self.chains) for record in shown]
        entries += [{"id": name, "status": status} for name, status in run.left_out]
        page = {
            "title": self.title,
            "left_out": len(run.records) - len(shown),
            "run": _settings(run.folder),
            "pictures": entries,
        }
        write_text(run.folder.root / "index.html", _page(page))


def _page(data: dict[str, Any]) -> str:
    # no "<" inside the script element, whatever the pictures are called
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return TEMPLATE.read_text().replace("{{DATA}}", text.replace("<", "\\u003c"))


def _settings(folder: OutputFolder) -> dict[str, Any]:
    """The settings of the run, by their names on the command line."""
    try:
        run = json.loads((folder.root / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    weights = {"weights (SHA-256)": run.get("generator")}
    return {**run.get("settings", {}), **weights, **run.get("versions", {})}


def _entry(folder: OutputFolder, record: dict[str, Any], chains: int) -> dict[str, Any]:
    """What the page knows of one picture; also writes its thumbnails."""
    picture, completions = record["id"], record["completions"]
    spread = folder.file("uncertainty", picture, ".png")
    arrays = spread.with_suffix(".npz")
    views = load_views(folder, record, chains)
    cells = [*_cells(views), *([spread_view(arrays)] if arrays.exists() else [])]
    strip = folder.file("thumbnails", picture, ".webp")
    write_bytes(strip, _strip(cells))
    statuses = [each["status"] for each in completions]
    return {
        "id": picture,
        "index": record["index"],
        "status": next((s for s in statuses if s != "ok"), "ok"),
        "energy": completions[0]["last_energy"],
        "psnr": completions[0]["known_psnr"],
        "diversity": record["diversity"],
        "label": _label(record),
        "strip": folder.relative(strip),
        "shown": len(views.generated),
        "spread": _there(folder, spread),
        "variation": _there(folder, folder.file("variation", picture, ".png")),
        "input": record["input"],
        "original": _there(folder, folder.file("originals", picture, ".webp")),
        "masked": _there(folder, folder.file("masked", picture, ".webp")),
        "chi2": completions[0]["diagnostics"].get("chi2"),
        "arrived": completions[0]["diagnostics"].get("arrived"),
        "rhat": completions[0]["diagnostics"].get("rhat"),
        "notes": [note["text"] for note in record.get("notes", [])],
        "box": _box(record["original"]),
        "files": [[each["composite"], each["raw"]] for each in completions],
        "figures": [_figures(each) for each in completions],
        "record": folder.relative(folder.record(picture)),
        "curve": _curve(record["curve"]),
    }


def _figures(completion: dict[str, Any]) -> list[Any]:
    """Energy, PSNR, chi2, chain, class, status: a row of the page's table."""
    chi2 = completion["diagnostics"].get("chi2")
    names = ("chain", "class", "status")
    return [
        *(completion["last_energy"], completion["known_psnr"], chi2),
        *(completion.get(name) for name in names),
    ]


def _there(folder: OutputFolder, path: Path) -> str | None:
    return folder.relative(path) if path.exists() else None


def _label(record: dict[str, Any]) -> Any:
    inferred = record.get("inferred")
    return f"{inferred['name']}, inferred" if inferred else record.get("class_name")


def _box(original: dict[str, Any] | None) -> list[float] | None:
    """Left, top, width and height of what the generator saw, as fractions of the original."""
    if original is None:
        return None
    left, top, right, bottom = original["box"]
    width, height = original["width"], original["height"]
    return [left / width, top / height, (right - left) / width, (bottom - top) / height]


def _cells(views: Views) -> Iterator[np.ndarray]:
    yield views.original
    yield views.masked
    yield from views.completions
    yield from views.generated


def _picture(array: np.ndarray) -> Image.Image:
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _strip(cells: list[np.ndarray]) -> bytes:
    """Thumbnails side by side in one file: one request per picture."""
    images = [_picture(cell).convert("RGB") for cell in cells]
    for image in images:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    width, height = images[0].size
    strip = Image.new("RGB", (width * len(images), height))
    for i, image in enumerate(images):
        strip.paste(image, (i * width, 0))
    buffer = io.BytesIO()  # small pictures exactly: their colours would run at half resolution
    effort = {"lossless": True, "quality": 0, "method": 0} if height <= 64 else {"quality": 85}
    strip.save(buffer, "webp", **effort)
    return buffer.getvalue()


def _curve(curve: dict[str, Any]) -> dict[str, Any]:
    """Few points and few digits are enough for a small chart."""
    last = len(curve["steps"]) - 1
    kept = sorted({round(i * last / (POINTS - 1)) for i in range(POINTS)}) if last > 0 else [0]
    return {
        "steps": [(curve.get("evaluations") or curve["steps"])[i] for i in kept],
        "unit": "gradient evaluations" if curve.get("evaluations") else "steps",
        "burn_in": curve.get("burn_in"),
        "floor": curve.get("floor"),
        "energies": [
            [None if e[i] is None else float(f"{e[i]:.3g}") for i in kept]
            for e in curve["energies"][:CHAINS]
        ],
    }
