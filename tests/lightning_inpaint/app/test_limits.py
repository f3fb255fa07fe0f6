"""What a visitor may ask for, without a browser; and what "more like these" asks for."""

import numpy as np
import pytest
from PIL import Image

gradio = pytest.importorskip("gradio", reason="gradio is not installed: pip install -e .[app]")

from lightning_inpaint.app import actions, launch  # noqa: E402
from lightning_inpaint.app.canvas import editor_value  # noqa: E402
from lightning_inpaint.generators import save_generator  # noqa: E402


@pytest.fixture
def page(tiny_generator, tmp_path):
    save_generator(tiny_generator, tmp_path / "g.safetensors", "float32")
    return actions.Page([str(tmp_path / "g.safetensors")], tmp_path)


def controls(page, size=(12, 10), chains=2, seed=0, **other):
    hole = np.zeros(size[::-1], np.uint8)
    hole[2:6, 3:8] = 255
    editor = editor_value(Image.new("RGB", size, "red"), Image.fromarray(hole))
    asked = {"generator": page.generators[0], "config": "fast"} | other
    return [editor, None, *asked.values(), chains, seed, 0.5, "bee", "resize"]


def test_a_request_says_what_the_controls_say(page):
    asked = page.request(*controls(page, chains=3, seed=7))
    assert (asked.chains, asked.seed, asked.label, asked.fit) == (3, 7, "bee", "resize")
    assert asked.mask.sum() == 255 * 4 * 5


@pytest.mark.parametrize("chains", [0, actions.MOST + 1])
def test_the_number_of_completions_is_limited(page, chains):
    with pytest.raises(gradio.Error, match=f"must be 1 to {actions.MOST}"):
        page.request(*controls(page, chains=chains))


def test_the_size_is_limited(page, monkeypatch):
    monkeypatch.setattr(actions, "MOST_PIXELS", 100)
    with pytest.raises(gradio.Error, match=r"more than .* megapixels: scale it down"):
        page.request(*controls(page))


def test_generators_that_were_not_offered_are_refused(page):
    with pytest.raises(gradio.Error, match="not started with that generator"):
        page.request(*controls(page, generator="package.module:Class"))


def test_visitors_in_the_queue_are_limited():
    assert 1 <= launch.WAITING <= 32


def test_more_like_these_start_near_the_chosen_one(page):
    """And have its class."""
    *_, first = page.complete(*controls(page))
    shown = first[2]
    assert len(shown) == 2
    *_, second = page.more(shown, 1, *controls(page))
    assert len(second[2]) == 4
    assert [each.label for each in second[2][:2]] == ["bee", "bee"]
    assert second[2][2:] == shown
    chosen = shown[1].latents
    near, far = (each.latents - chosen for each in (second[2][0], shown[0]))
    assert near.square().mean() < 0.5 * far.square().mean()
    with pytest.raises(gradio.Error, match="Complete a picture first"):
        next(page.more([], None, *controls(page)))


def test_no_visitor_has_a_file_that_another_reads_written_anew(page):
    """Gradio names files after their bytes: equal pictures would share one, and each writes it."""
    files = []
    for _ in range(2):
        editor, _, _ = page.sample(page.generators[0], "bee", 3)
        *_, (_, preview, *_), done = page.complete(*controls(page))
        shown = gradio.ImageEditor(format="png").postprocess(editor)
        paths = [shown.background.path, shown.composite.path]
        paths += [gradio.Image(format="png").postprocess(preview["value"]).path]
        paths += [
            each.image.path
            for each in gradio.Gallery(format="png").postprocess(done[4]["value"]).root
        ]
        files += paths
    assert len(set(files)) == len(files) == 10


def test_an_example_is_ready_to_be_completed(page):
    """Those by class where the generator has the classes, else samples by number."""
    bundled = actions.Page(["cifar10"], page.folder)
    assert all(each[0] in bundled.classes("cifar10") for each in actions.EXAMPLES.values())
    assert bundled.examples("cifar10") == actions.EXAMPLES
    assert page.examples(page.generators[0]) == actions.ANYWHERE
    for name in actions.ANYWHERE:
        editor, picture = page.example(page.generators[0], name)
        asked = page.request(editor, picture, *controls(page)[2:])
        assert asked.mask.shape == (picture.height, picture.width)
        assert 0 < (asked.mask == 255).mean() < 0.9
