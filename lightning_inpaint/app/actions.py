"""What the page's buttons do, without the page: requests, walks and what is shown of them."""

from __future__ import annotations

import dataclasses
import html
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image
from torch import Tensor

from ..datamodules import resolve_masks
from ..datamodules.generated import draw_picture
from ..datamodules.masks import NamedMasks
from ..datamodules.streams import torch_stream
from ..errors import UserError
from ..generators import load_generator
from . import show
from .canvas import background_of, editor_value, is_enlarged, painted
from .work import Finished, Progress, Request, command_line, python_lines, walk

__all__ = ["ANYWHERE", "EXAMPLES", "MOST", "UNKNOWN", "Page", "Shown", "progress_bar"]

MOST = 16  # completions of one job
KEPT = 2 * MOST  # completions that the page shows
MOST_PIXELS = 32_000_000  # of a picture
UNKNOWN = "unknown: inferred"
EXAMPLES = {  # class, number of the sample, mask by name; where there are these classes
    "horse, right half": ("horse", 21, "right_half"),
    "ship, right half": ("ship", 3, "right_half"),
    "car, strokes": ("automobile", 11, "strokes"),
    "airplane, centre": ("airplane", 22, "center"),
}
ANYWHERE = {
    "first sample, right half": ("", 0, "right_half"),
    "second sample, centre": ("", 1, "center"),
    "third sample, strokes": ("", 2, "strokes"),
}


class Shown(NamedTuple):
    """A completion on the page: picture, caption, latents (D,) and class."""

    picture: Image.Image
    text: str
    latents: Tensor
    label: str | None


class Page:
    """What the page's buttons do.

    Args:
        generators: names that can be chosen, the first by default.
        folder: for downloads; emptied by who made it.
    """

    def __init__(self, generators: Sequence[str], folder: Path) -> None:
        self.generators, self.folder = list(generators), folder

    def classes(self, generator: str) -> list[str]:
        """Choices of the class."""
        network: Any = load_generator(generator)
        names = getattr(network, "class_names", None) or range(int(network.num_classes))
        return [UNKNOWN, *map(str, names)]

    def sample(self, generator: str, label: str, number: float) -> tuple[dict[str, Any], Any, int]:
        """One of the generator's own pictures, which has a perfect completion; and the number of the next."""
        network = load_generator(generator)
        classes = self.classes(generator)[1:]
        chosen = (
            classes.index(label) if label in classes else (8 + int(number)) % max(1, len(classes))
        )
        stream = torch_stream(0, "generated", f"{int(number):04d}")  # those that predict completes
        pixels = draw_picture(network, chosen if classes else -1, stream)
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return editor_value(show.enlarged(picture)), picture, int(number) + 1

    def examples(self, generator: str) -> dict[str, tuple[str, int, str]]:
        """Samples with a mask, by name: class, number and mask by name."""
        classes = self.classes(generator)
        known = {name: each for name, each in EXAMPLES.items() if each[0] in classes}
        return known or ANYWHERE

    def example(self, generator: str, name: str) -> tuple[dict[str, Any], Any]:
        """The editor with an example, ready to be completed, and its picture; no name changes nothing."""
        if not name:
            return gr.skip(), gr.skip()
        label, number, mask = self.examples(generator)[name]
        editor, picture, _ = self.sample(generator, label, number)
        return self.named_mask(editor, picture, mask), picture

    def named_mask(self, editor: dict[str, Any] | None, original: Any, name: str) -> dict[str, Any]:
        """The editor with a mask by name painted over its picture."""
        background = background_of(editor)
        if background is None:
            raise _error("Open a picture first, or draw a sample.")
        if not name:
            return editor_value(background)
        small = original if is_enlarged(background, original) else background
        provider = resolve_masks(name)
        assert isinstance(provider, NamedMasks)
        levels = provider.draw("picture", small.height, small.width)
        hole = Image.fromarray(levels).resize(background.size, Image.Resampling.NEAREST)
        return editor_value(background, hole)

    def request(
        self,
        editor: dict[str, Any] | None,
        original: Any,
        generator: str,
        config: str,
        chains: float,
        seed: float | None,
        truncation: float,
        label: str,
        fit: str,
    ) -> Request:
        """What the controls say.

        Raises:
            gr.Error: there is no picture, it is too large, or a control is out of range.
        """
        background = background_of(editor)
        if background is None:
            raise _error("Open a picture first, or draw a sample.")
        if background.width * background.height > MOST_PIXELS:
            raise _error(
                f"The picture has more than {MOST_PIXELS / 1e6:.0f} megapixels: scale it down."
            )
        if generator not in self.generators:
            raise _error("This page was not started with that generator.")
        if not 1 <= int(chains) <= MOST:
            raise _error(f"The number of completions must be 1 to {MOST}.")
        mask = painted(editor, background.size)
        picture = background
        if is_enlarged(background, original):
            picture = original
            shrunk = Image.fromarray(mask).resize(original.size, Image.Resampling.BOX)
            mask = np.where(np.asarray(shrunk) > 127, np.uint8(255), np.uint8(0))
        return Request(
            picture,
            mask,
            generator,
            config,
            int(chains),
            int(seed or 0),
            float(truncation),
            None if label == UNKNOWN else label,
            fit,
        )

    def complete(self, *controls: Any) -> Iterator[list[Any]]:
        """Walk, and show the walk; then the completions."""
        yield from self._walk(self.request(*controls), [])

    def another_seed(self, editor: Any, original: Any, *controls: Any) -> Iterator[list[Any]]:
        """The same with the next seed."""
        asked = self.request(editor, original, *controls)
        yield from self._walk(dataclasses.replace(asked, seed=asked.seed + 1), [])

    def more(
        self, shown: Sequence[Shown], chosen: int | None, editor: Any, original: Any, *controls: Any
    ) -> Iterator[list[Any]]:
        """As many again that start near the chosen one, or else the best, beside those that are there."""
        if not shown:
            raise _error(
                "Complete a picture first, then choose the completion that others shall be like."
            )
        asked = self.request(editor, original, *controls)
        model = shown[chosen if chosen is not None and chosen < len(shown) else 0]
        again = dataclasses.replace(
            asked, seed=asked.seed + 1, label=model.label or asked.label, like=model.latents
        )
        yield from self._walk(again, shown)

    def _walk(self, asked: Request, before: Sequence[Shown]) -> Iterator[list[Any]]:
        """Values of the bar, the preview, the state, the gallery and so on, as ``results`` lists them."""
        kept = [gr.skip()] * 9
        preview: Any = None
        yield [progress_bar("Starting", 0, 1), gr.update(value=None, visible=True), *kept]
        try:
            for event in walk(asked):
                if isinstance(event, Finished):
                    yield self._finished(event, asked, before)
                    return
                fresh = gr.skip()
                if event.preview is not None:
                    preview = event.preview
                    pixels = preview[..., 0] if preview.shape[2] == 1 else preview
                    fresh = gr.update(
                        value=show.in_own_file(show.enlarged(Image.fromarray(pixels)))
                    )
                yield [_moving(event), fresh, *kept]
        except UserError as error:
            yield [progress_bar("", 0, 1), gr.update(visible=False), *kept]
            raise _error(str(error)) from error

    def _finished(self, done: Finished, asked: Request, before: Sequence[Shown]) -> list[Any]:
        result = done.result
        labels = result.chain_label
        names = result.class_names
        fresh = [
            Shown(
                show.enlarged(result.picture(0, k)),
                text,
                result.latents[0, k].clone(),
                None
                if labels is None
                else (names[int(labels[0, k])] if names else str(int(labels[0, k]))),
            )
            for k, text in enumerate(show.captions(done))
        ]
        shown = [*fresh, *before][:KEPT]
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return [
            progress_bar(f"Done: {result.steps} steps", 1, 1),
            gr.update(visible=False),
            shown,
            None,
            gr.update(
                value=[(show.in_own_file(each.picture), each.text) for each in shown],
                visible=True,
                selected_index=None,
            ),
            show.words(done, asked),
            show.figures(done),
            command_line(asked),
            python_lines(asked),
            gr.update(value=str(show.archive(done, asked, folder)), interactive=True),
            asked.seed,
        ]


def _error(text: str) -> gr.Error:
    return gr.Error(text, print_exception=False)  # said on the page, not in the log


def _moving(event: Progress) -> str:
    text = f"{event.done} of {event.total} evaluations, energy {event.energy:.4g}"
    return progress_bar(text, event.done, event.total)


def progress_bar(text: str, value: int, most: int) -> str:
    text = html.escape(text)
    hidden = "" if text else " hidden"
    return (
        f'<div role="status"{hidden}><p>{text}</p>'
        f'<progress aria-label="progress of the walk" value="{value}" max="{most}"></progress></div>'
    )
