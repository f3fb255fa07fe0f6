"""docs/app.md: its commands are those of the project, and its numbers those of the code."""

import re
import shlex
import tomllib
import urllib.request
from pathlib import Path

import pytest

import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "app.md").read_text()
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


def test_the_extra_exists():
    (install,) = [words for words in COMMANDS if words[:2] == ["pip", "install"]]
    extra = re.fullmatch(r"lightning-inpaint\[(\w+)\]", install[2])[1]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert any(word.startswith("gradio") for word in extras[extra])


@pytest.mark.filterwarnings("ignore")
def test_the_command_serves_the_page(monkeypatch):
    pytest.importorskip("gradio", reason="gradio is not installed: pip install -e .[app]")
    from lightning_inpaint import app

    serve, served = app.serve, []

    def once(generators, host, port):
        assert f"http://{host}:{port}/" in PAGE
        served.append(serve(generators, host, port=0, block=False))

    monkeypatch.setattr(app, "serve", once)
    (words,) = [words for words in COMMANDS if words[0] == "lightning-inpaint"]
    assert cli.main(words[1:]) == 0
    (blocks,) = served
    with urllib.request.urlopen(blocks.local_url) as answer:
        assert "lightning-inpaint" in answer.read().decode()
    blocks.close()


def test_the_numbers():
    pytest.importorskip("gradio", reason="gradio is not installed: pip install -e .[app]")
    from lightning_inpaint.app import actions, launch

    assert f"{actions.MOST} completions at most" in PAGE
    assert f"{actions.MOST_PIXELS / 1e6:.0f} megapixels" in PAGE
    words = {8: "eight"}
    assert f"{words[launch.WAITING]} more may wait" in PAGE


def test_each_button_is_there():
    pytest.importorskip("gradio", reason="gradio is not installed: pip install -e .[app]")
    import inspect

    from lightning_inpaint.app import page

    source = inspect.getsource(page)
    for name in re.findall(r"\*([A-Z][\w ]+)\*", PAGE):
        assert f'"{name}"' in source, name
