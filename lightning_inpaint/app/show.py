"""What the page shows of a finished walk."""

from __future__ import annotations

import base64
import io
import json
import uuid
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from ..callbacks.chart import energy_chart
from ..callbacks.imaging import encode, to_array
from ..callbacks.records import picture_record
from ..callbacks.uncertainty import spread_colours
from .work import NAME, Finished, Request, command_line, python_lines

__all__ = ["archive", "captions", "curve", "enlarged", "figures", "in_own_file", "spread", "words"]

SMALL = 512  # pixels to which small pictures are enlarged for the eye


def enlarged(picture: Image.Image) -> Image.Image:
    """A small picture at a size that can be painted on; others as they are."""
    factor = SMALL // max(picture.size)
    if factor < 2:
        return picture
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def in_own_file(picture: Image.Image) -> Image.Image:
    """The picture, unlike any other in its metadata.

    Gradio names a file after its bytes and writes it again for each who asks: a visitor whose browser is just
    reading it would get a part.
    """
    copy = picture.copy()
    copy.info["shown"] = uuid.uuid4().hex
    return copy


def captions(finished: Finished) -> list[str]:
    """Under each completion: its place, energy and PSNR, and whether its chain has arrived."""
    result, texts = finished.result, []
    arrived, chi2 = (result.diagnostics.get(name) for name in ("arrived", "chi2"))
    for k in range(result.chains):
        text = (
            f"{k + 1}: energy {float(result.energy[0, k]):.4g}, {float(result.psnr[0, k]):.1f} dB"
        )
        if arrived is not None and chi2 is not None:
            text += ", arrived" if arrived[0, k] > 0 else f", not arrived (chi2 {chi2[0, k]:.1f})"
        texts.append(text)
    return texts


def spread(finished: Finished) -> Image.Image | None:
    """Where the completions disagree, at the size of the picture; None where there is one."""
    result = finished.result
    if result.chains < 2:
        return None
    arrays = np.stack([result.array(0, k) for k in range(min(result.chains, 8))])
    std = (arrays.astype(np.float32) / 255).std(axis=0, ddof=1)
    return enlarged(Image.fromarray(spread_colours(std)))


def curve(finished: Finished) -> Image.Image:
    """Energy of each chain against the step."""
    trace = finished.result.trace[:, 0].double().numpy()
    return energy_chart(trace.T, range(1, len(trace) + 1), "step", size=(480, 480))


def figures(finished: Finished) -> str:
    """The map and the chart as HTML, with words for those who do not see them."""
    parts = [(curve(finished), "The energy of each chain along the walk")]
    if (disagreement := spread(finished)) is not None:
        parts.insert(0, (disagreement, "Where the completions disagree: dark = they agree"))
    return '<div class="figures">' + "".join(_figure(*part) for part in parts) + "</div>"


def _figure(picture: Image.Image, text: str) -> str:
    data = base64.b64encode(_png(picture)).decode()
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def words(finished: Finished, request: Request) -> str:
    """The result in a few sentences, as Markdown."""
    result = finished.result
    best = float(result.psnr[0].max())
    lines = [
        f"**{result.chains} {'completion' if result.chains == 1 else 'completions'}** of "
        f"{result.steps} steps, seed {result.seed}, the lowest energy first. The full generated "
        f"pictures match the known pixels at up to **{best:.1f} dB**, at the generator's resolution."
    ]
    if "arrived" in result.diagnostics:
        count = int((result.diagnostics["arrived"][0] > 0).sum())
        lines.append(
            f"{count} of {result.chains} chains **arrived**: they match the known pixels as a draw does."
        )
    if result.class_posterior is not None and int(result.label[0]) < 0:
        chance, best_class = result.class_posterior[0].max(0)
        name = result.class_names[best_class] if result.class_names else str(int(best_class))
        lines.append(f"The class was inferred: {name}, {float(chance):.0%}.")
    return "  \n".join([*lines, *(f"⚠ {note}" for note in finished.notes)])


def archive(finished: Finished, request: Request, folder: Path) -> Path:
    """A zip of the picture, its mask, all completions, their record and the lines that make them again."""
    result = finished.result
    files = {
        "composite": [f"composites/{NAME}_c{k + 1:02d}.png" for k in range(result.chains)],
        "raw": [f"raw/{NAME}_c{k + 1:02d}.png" for k in range(result.chains)],
        "input": "picture.png",
    }
    notes = [{"kind": "note", "text": text} for text in finished.notes]
    record = picture_record(result, 0, files, finished.run, notes)
    path = folder / f"completions_{result.seed}.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("picture.png", _png(request.picture.convert("RGB")))
        target.writestr("mask.png", _png(Image.fromarray(request.mask)))
        for k in range(result.chains):
            target.writestr(files["composite"][k], _png(result.picture(0, k)))
            target.writestr(files["raw"][k], encode(to_array(result.raw[0, k])))
        target.writestr(f"records/{NAME}.json", json.dumps(record, indent=1))
        target.writestr("again.sh", command_line(request) + "\n")
        if request.like is not None:
            buffer = io.BytesIO()
            np.save(buffer, request.like.numpy())
            target.writestr("like.npy", buffer.getvalue())
        target.writestr("again.py", python_lines(request) + "\n")
    return path


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()
