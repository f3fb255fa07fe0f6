"""Every command of the pages in docs/ is executed, on made-up pictures and a tiny generator."""

import csv
import json
import re
import runpy
import shlex
import shutil
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from lightning_inpaint.commands.evaluate import evaluate
from lightning_inpaint.commands.functions import function_parser
from lightning_inpaint.generators import save_generator

ROOT = Path(__file__).parents[2]
PAGES = {
    page: (ROOT / "docs" / f"{page}.md").read_text()
    for page in (
        "complete_a_folder",
        "many_devices",
        "own_generator",
        "python",
        "read_the_output",
        "train_a_generator",
    )
}
BLOCK = re.compile(r"^( *)```(bash|python|csv)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

# What the test adds to a command, unless the page's own words settle it.
PREDICT = {
    "--model.generator": "my_generator.safetensors",
    "--trainer.enable_progress_bar": "false",
}
FIT = {
    "--data.path": "my_pictures",
    "--data.resize": "true",
    "--model.z_dim": "8",
    "--model.w_dim": "8",
    "--trainer.enable_progress_bar": "false",
}
# What it puts in place of the page's words.
FIT_INSTEAD = {
    "--data.batch_size": "2",
    "--data.download": "false",
    "--model.resolution": "8",
    "--model.channel_base": "64",
    "--model.channel_max": "8",
    "--model.discriminator_base": "64",
    "--model.discriminator_max": "8",
    "--model.total_pictures": "4",
}


@pytest.fixture
def folder(tiny_generator, tmp_path, monkeypatch):
    """Working directory with everything that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, side in (("cat/a", 8), ("bird/b", 8), ("bird/c", 12)):
        for kind in ("my_pictures", "my_masks"):
            path = Path(kind, f"{name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            if kind == "my_masks":
                pixels = np.uint8(255) * (pixels[..., 0] > 127)
            Image.fromarray(pixels).save(path)
    Path("my_pictures/list-000.txt").write_text("cat/a.png\nbird/b.png\n")
    shutil.copy("my_pictures/bird/c.png", "my_photo.png")
    with zipfile.ZipFile("my_pictures.zip", "w") as archive:
        for path in Path("my_pictures").rglob("*.png"):
            archive.write(path, path.relative_to("my_pictures"))
    tiny_generator.class_names = ("cat", "bird", "cow")  # two of those that the bundled one has
    save_generator(tiny_generator, Path("my_generator.safetensors"), "float32")
    shutil.copytree(ROOT / "configs", "configs")
    return tmp_path


def blocks(page):
    """(kind, text) of the blocks that are executed, in their order."""
    for indent, kind, text in BLOCK.findall(PAGES[page]):
        yield kind, textwrap.dedent(text) if indent else text


def shell_commands(text):
    """The words of each command of a shell block."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def options(words):
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def replaced(words, option, value):
    words = list(words)
    if option in words:
        words[words.index(option) + 1] = value
    return words


def run(words):
    """Execute a command of a page with few steps."""
    if words[0] == "python" and len(words) == 2 and Path(words[1]).exists():
        runpy.run_path(words[1], run_name="__main__")
        return 0
    assert words[:2] == ["python", "cli.py"], f"{words}: not a command of this project"
    command, rest = words[2], words[3:]
    given = options(rest)
    if command == "evaluate":  # needs thousands of pictures
        function_parser(evaluate).parse_args(rest)
        return 0
    if command == "predict":
        rest = replaced(rest, "--trainer.devices", "1")
        extra = dict(PREDICT)
        if "--config" in given:
            rest += ["--model.sampler.steps", "2"]
        else:
            extra |= {"--model.sampler": "seed", "--model.sampler.steps": "2"}
    elif command == "fit":
        extra = FIT | FIT_INSTEAD
        if "--ckpt_path" in given:
            extra["--model.total_pictures"] = "6"
        if "configs/train_cifar10.yaml" not in rest and "--config" in given:
            names = ("start", "start_discriminator", "guide")  # of CIFAR-10
            extra |= {f"--model.{name}": "null" for name in names}
            extra |= {"--model.resolution": "16", "--model.matching": "0"}
        for option, value in extra.items():
            rest = replaced(rest, option, value)
    else:
        return cli.main([command, *rest])
    for option, value in extra.items():
        if option not in given:
            rest += [option, value]
    return cli.main([command, *rest, "--trainer.accelerator", "cpu"])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if page != "python"])
def test_commands_run_as_written(page, folder, tiny_features):
    executed = 0
    for kind, text in blocks(page):
        if kind == "csv":
            Path("my_list.csv").write_text(text)
        elif kind == "bash":
            for words in shell_commands(text):
                assert run(words) == 0, shlex.join(words)
                executed += 1
        elif text.startswith("# "):  # a file to be written
            Path(text.splitlines()[0][2:]).write_text(text)
        else:
            exec(compile(text, f"{page}.md", "exec"), {})
    assert executed
    if page == "read_the_output":
        output_is_explained(Path("out"), PAGES[page])


def output_is_explained(out, page):
    """All files, columns and keys are in the page."""
    named = set(re.findall(r"`([^`\n]+)`", page))
    with (out / "energies.csv").open(newline="") as file:
        assert set(next(csv.reader(file))) <= named
    record = json.loads((out / "records/cat/a.json").read_text())
    assert set(record) <= named
    assert set(record["completions"][0]) <= named
    assert set(record["curve"]) <= named
    for path in out.iterdir():
        assert any(name.startswith(path.name) for name in named), path.name


def test_pages_name_no_option_that_does_not_exist(capsys):
    """Also those in prose and in blocks that no test can run."""
    for command in ("predict", "fit", "convert", "sample", "evaluate"):
        assert cli.main([command, "--help"]) == 0
    for topic in ("trainer", "FolderMasks", "GeneratedMasks"):
        assert cli.main(["predict", "--help", topic]) == 0
    known = set(re.findall(r"--[a-z_][\w.]*", capsys.readouterr().out))
    for page, text in PAGES.items():
        ours = r"--(?:model|data|writer|samples|export|trainer\.(?!logger\.)|output_dir|ckpt)[\w.]*"
        for option in set(re.findall(ours, text)):
            assert option in known or option in ("--model.sampler", "--data", "--data.help"), (
                page,
                option,
            )


def test_links_lead_somewhere():
    for text in PAGES.values():
        for target in re.findall(r"\]\(([\w./-]+)\)", text):
            assert (ROOT / "docs" / target).exists(), target
