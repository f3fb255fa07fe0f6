"""The page: a picture, a brush, a button; completions from the posterior, and how the chains got there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ..configs import preset_names
from ..datamodules.masks import MASK_KINDS
from .actions import MOST, UNKNOWN, Page, progress_bar
from .canvas import BRUSH, SIDE, WRONG_FILE

__all__ = ["CSS", "build_page", "theme"]

CSS = """
.gradio-container {width: 100% !important; max-width: 1400px !important; margin: auto; overflow-x: clip;}
.gradio-container main {width: 100%;}
#editor .pixi-target {display: flex; justify-content: center;}
#results .grid-wrap {max-height: none; height: auto; overflow: visible;}
#results .caption-label {white-space: normal; max-width: 100%; font-size: .8rem; line-height: 1.2;}
.min_value, .max_value {color: var(--body-text-color) !important; opacity: 1 !important;}
.figures {display: flex; flex-wrap: wrap; gap: 1rem;}
#figures figure {flex: 1 1 200px; margin: 0;}
#figures img {width: 100%; height: auto; border-radius: 4px;}
#bar progress {width: 100%; height: 1rem; accent-color: var(--primary-700);}
#bar p {margin: .3rem 0;}
#preview img, #results img {image-rendering: auto;}
footer {display: none !important;}
"""


def theme() -> gr.themes.Base:
    """Gradio's plain theme with fonts of the system: none is asked for on the network."""
    fonts = ("system-ui", "sans-serif")
    mono = ("ui-monospace", "monospace")
    plain = gr.themes.Default(primary_hue="pink", font=fonts, font_mono=mono)
    return plain.set(  # white on it can be read
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
        slider_color="*primary_700",
    )


def build_page(generators: Sequence[str], folder: Path) -> gr.Blocks:
    """The page, not yet served."""
    page = Page(generators, folder)
    classes = page.classes(generators[0])
    value: Any
    label_of_first, number_of_first, _ = next(iter(page.examples(generators[0]).values()))
    value, first, _ = page.sample(generators[0], label_of_first, number_of_first)
    presets = [name for name in preset_names() if not name.startswith("train_")]
    with gr.Blocks(
        title="lightning-inpaint",
        analytics_enabled=False,
        delete_cache=(600, 1800),
        fill_width=True,
    ) as blocks:
        gr.Markdown(
            "# lightning-inpaint\nOpen a picture, paint over what is to be filled, press **Complete**: "
            "several draws of what may have been there."
        )
        original, number = gr.State(first), gr.State(0)
        shown, chosen = gr.State([], time_to_live=3600), gr.State(None)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=320):
                gr.Markdown("**Picture**: drop, paste or open one, and paint over the hole")
                editor = gr.ImageEditor(
                    value=value,
                    label="Picture with its hole",
                    show_label=False,
                    type="pil",
                    image_mode="RGBA",
                    sources=("upload", "clipboard"),
                    transforms=(),
                    layers=False,
                    brush=gr.Brush(colors=[BRUSH], color_mode="fixed", default_size=40),
                    eraser=gr.Eraser(default_size=40),
                    canvas_size=(SIDE, SIDE),
                    height=460,
                    format="png",
                    buttons=[],
                    elem_id="editor",
                )
                gr.HTML("<span></span>", elem_id="wrong")
                with gr.Row():
                    sample = gr.Button("Draw a sample", elem_id="sample", min_width=120)
                    example = gr.Dropdown(
                        ["", *page.examples(generators[0])],
                        value="",
                        label="Example",
                        min_width=160,
                        elem_id="example",
                    )
                    named = gr.Dropdown(
                        ["", *(name for name in MASK_KINDS if name != "none")],
                        value="",
                        label="Mask by name",
                        min_width=160,
                        elem_id="named",
                    )
                with gr.Row():
                    start = gr.Button("Complete", variant="primary", elem_id="complete")
                    halt = gr.Button("Stop", elem_id="stop")
                bar = gr.HTML(progress_bar("", 0, 1), elem_id="bar")
                preview = gr.Image(
                    label="Taking shape", visible=False, buttons=[], height=260, elem_id="preview"
                )
            with gr.Column(scale=1, min_width=320):
                gr.Markdown("**Completions**, lowest energy first")
                gallery = gr.Gallery(
                    label="Completions, lowest energy first",
                    show_label=False,
                    visible=False,
                    columns=2,
                    format="png",
                    object_fit="contain",
                    buttons=["download", "fullscreen"],
                    elem_id="results",
                    height="auto",
                )
                words = gr.Markdown("They will be here.", elem_id="words")
                with gr.Row():
                    again = gr.Button("Another seed", elem_id="again")
                    more = gr.Button("More like these", elem_id="more")
                    download = gr.DownloadButton(
                        "Download all", interactive=False, elem_id="download"
                    )
                figures = gr.HTML(elem_id="figures")
                with gr.Accordion("The same from the command line and from Python", open=False):
                    command = gr.Textbox(
                        label="Command", buttons=["copy"], lines=3, interactive=False
                    )
                    lines = gr.Textbox(
                        label="Python",
                        buttons=["copy"],
                        lines=9,
                        interactive=False,
                        elem_id="python",
                    )
        with gr.Accordion("Settings", open=True):
            with gr.Row():
                chains = gr.Slider(1, MOST, 4, step=1, label="Completions", elem_id="chains")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed")
                config = gr.Dropdown(presets, value="fast", label="Preset", elem_id="config")
                label = gr.Dropdown(classes, value=UNKNOWN, label="Class", elem_id="label")
            with gr.Row():
                truncation = gr.Slider(
                    0.1,
                    1,
                    0.5,
                    step=0.05,
                    label="Truncation: less = more typical",
                )
                generator = gr.Dropdown(list(generators), value=generators[0], label="Generator")
                fit = gr.Dropdown(
                    [
                        ("a square around the hole", "around"),
                        ("the whole picture", "resize"),
                        ("its centre", "crop"),
                    ],
                    value="around",
                    label="What the generator sees",
                )
        controls = [editor, original, generator, config, chains, seed, truncation, label, fit]
        results = [
            bar,
            preview,
            shown,
            chosen,
            gallery,
            words,
            figures,
            command,
            lines,
            download,
            seed,
        ]
        alone: dict[str, Any] = {
            "concurrency_limit": 1,
            "concurrency_id": "completion",
            "show_progress": "hidden",
            "trigger_mode": "once",
        }
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

        def walks_on(button: gr.Button, work: Any, given: list[Any], **options: Any) -> Any:
            # The word comes first: another visitor's chains may be walking.
            said = button.click(_waiting, None, bar, queue=False, **private)
            return said.then(work, given, results, **alone, **options)

        walks = [
            walks_on(start, page.complete, controls, api_name="complete"),
            walks_on(again, page.another_seed, controls, api_visibility="private"),
            walks_on(more, page.more, [shown, chosen, *controls], api_visibility="private"),
        ]
        blocks.load(None, js=WRONG_FILE)
        gallery.select(_place, None, chosen, **private)
        halt.click(
            lambda: (progress_bar("Stopped", 0, 1), gr.update(visible=False)),
            None,
            [bar, preview],
            cancels=walks,
            queue=False,
            **private,
        )
        sample.click(page.sample, [generator, label, number], [editor, original, number], **private)
        example.input(page.example, [generator, example], [editor, original], **private)
        named.input(page.named_mask, [editor, original, named], editor, **private)
        generator.change(
            lambda name: [
                gr.update(choices=page.classes(name), value=UNKNOWN),
                gr.update(choices=["", *page.examples(name)], value=""),
            ],
            generator,
            [label, example],
            **private,
        )
    return blocks


def _place(event: gr.SelectData) -> int:
    return int(event.index)


def _waiting() -> str:
    text = "Waiting: one picture is completed at a time."
    return (
        f'<div role="status"><p>{text}</p>'
        '<progress aria-label="progress of the walk"></progress></div>'
    )
