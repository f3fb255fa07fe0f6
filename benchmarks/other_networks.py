"""Networks of other people's making through ``predict``, as docs/own_generator.md says; prints a table.

Nothing of theirs is part of this project. What is not found is left out, and said:

    pip install --no-deps gan-face-generate torchgan FasGAN dcgan-pytorch pytorch-gan-zoo
    python benchmarks/other_networks.py [FOLDER]

FOLDER holds clones under their repositories' names, and the unpacked wheel ``omniart_eye_generator``. Three
sets of weights are their authors' (a star); the others are published as code, so a file is made as each
project's own training writes it, after two steps of Adam on random pictures: they show that a form is read, not
how well a network completes.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lightning_inpaint.commands.program import main as program
from lightning_inpaint.generators import load_generator


class Entry(NamedTuple):
    """A network: where it comes from, what is typed, and how its file comes about."""

    source: str
    kind: str
    text: str
    write: Callable[[nn.Module, torch.optim.Optimizer], Any] | None = None
    options: tuple[str, ...] = ()
    folder: str = ""
    note: str = ""
    files: tuple[tuple[str, str], ...] = ()


def _lightning(g: nn.Module, opt: torch.optim.Optimizer) -> Any:
    state = {f"generator.{k}": v for k, v in g.state_dict().items()}
    state |= {f"discriminator.{k}": v for k, v in nn.Linear(3, 3).state_dict().items()}
    return {"state_dict": state, "optimizer_states": [opt.state_dict()], "epoch": 1}


def _parallel(g: nn.Module, opt: torch.optim.Optimizer) -> Any:
    return {"g": nn.DataParallel(g).state_dict(), "g_ema": nn.DataParallel(g).state_dict()}


EYES = """
from generator import Generator


class Eyes(Generator):
    z_dim, num_classes = 100, 8
    class_names = ("amber", "blue", "brown", "gray", "grayscale", "green", "hazel", "red")
"""
GAN = "pytorch-generative-model-collections"
ENTRIES = [
    Entry(
        "gan-face-generate*",
        "nested, .tar",
        "gan_face_generate.models:Generator(ngpu=0, nc=3, nz=100, ngf=64)@weights.tar",
    ),
    Entry(
        "csinva/gan-vae-pretrained-pytorch*",
        "old form, .ckpt",
        "gan_mnist:G@weights/G--300.ckpt",
        folder="gan-vae-pretrained-pytorch/mnist_gan_mlp",
        note="grey, 28, flat",
    ),
    Entry(
        "omniart-eye-generator*",
        "state dict, .pth",
        "my_eyes:Eyes@generator_model_state.pth",
        options=("--data.label", "blue"),
        folder="omniart_eye_generator",
        note="classes (one-hot), a class of three lines",
        files=(("my_eyes.py", EYES),),
    ),
    Entry(
        "znxlwm/" + GAN,
        "state dict, .pkl",
        "GAN:generator(input_dim=62, output_dim=1, input_size=28)@GAN_G.pkl",
        lambda g, opt: g.state_dict(),
        ("--model.latent_prior", "uniform01"),
        GAN,
        "grey, 28, uniform",
    ),
    Entry(
        "znxlwm/" + GAN,
        "state dict, .pkl",
        "CGAN:generator(62, 1, 28, class_num=10)@CGAN_G.pkl",
        lambda g, opt: g.state_dict(),
        ("--model.latent_prior", "uniform01", "--data.label", "3"),
        GAN,
        "grey, 28, uniform, classes (one-hot)",
    ),
    Entry(
        "torchgan",
        "training checkpoint, objects",
        "torchgan.models:ConditionalGANGenerator(num_classes=10, out_channels=1, step_channels=16)@gan0.model",
        lambda g, opt: {
            "epoch": 1,
            "generator": g.state_dict(),
            "optimizer_generator": opt.state_dict(),
            "loss_objects": {"l": nn.BCELoss()},
        },
        ("--data.label", "3"),
        note="grey, classes (embedding inside)",
    ),
    Entry(
        "w86763777/pytorch-gan-collections",
        "training checkpoint",
        "source.models.sngan:Generator(z_dim=128)@model.pt",
        lambda g, opt: {
            "net_G": g.state_dict(),
            "net_D": nn.Linear(2, 2).state_dict(),
            "optim_G": opt.state_dict(),
        },
        folder="pytorch-gan-collections",
        note="forward(z, *args)",
    ),
    Entry(
        "pytorch-gan-zoo",
        "Lightning checkpoint",
        "ganzoo.nn_modules.dcgan_nets:DCGAN_Generator(64, 16, 32, 3)@last.ckpt",
        _lightning,
        note="prefix generator.",
    ),
    Entry(
        "FasGAN",
        "data parallel, with g_ema",
        "fasgan.generator:Generator(latent_dim=64, image_dim=16)@both.pt",
        _parallel,
        note="prefix module.",
    ),
    Entry(
        "dcgan-pytorch",
        "whole module",
        "dcgan_pytorch:Generator.from_name('g-mnist')@whole.pth",
        lambda g, opt: g,
        note="grey, 64, made by a class method",
    ),
]


def trained(text: str, options: tuple[str, ...]) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The bare network after two steps of Adam."""
    wrapped: Any = load_generator(text.partition("@")[0])
    network = copy.deepcopy(wrapped.module).train().requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, betas=(0.5, 0.999))
    for _ in range(2):
        optimizer.zero_grad()
        z = torch.randn(8, wrapped.z_dim)
        labels = torch.arange(8) % wrapped.num_classes if wrapped.num_classes else None
        out = wrapped.call.pictures(wrapped.call.raw(network, z, labels))
        (out - torch.randn_like(out)).square().mean().backward()
        optimizer.step()
    return network, optimizer


def attempt(entry: Entry, root: Path, out: Path) -> str:
    """Run it; what came of it in a few words."""
    if entry.folder:
        sys.path.insert(0, str(root / entry.folder))
    for name, text in entry.files:
        Path(name).write_text(text)
    file = entry.text.partition("@")[2]
    if not entry.write and entry.folder:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes((root / entry.folder / file).read_bytes())
    if entry.write:
        torch.save(entry.write(*trained(entry.text, entry.options)), file)
    words = ["predict", "--model.generator", entry.text, "--data.num", "1", *entry.options]
    words += ["--model.sampler", "plugin", "--model.sampler.steps", "50"]
    words += ["--output_dir", str(out), "--trainer.accelerator", "cpu"]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = program([*words, "--trainer.enable_progress_bar", "false"])
    if code:
        return said.getvalue().strip().splitlines()[-1]
    with open(out / "energies.csv", newline="") as table:
        row = next(csv.DictReader(table))
    return f"completed, {float(row['known_psnr']):.1f} dB on the known pixels"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=".", type=Path, help="of the clones")
    root = parser.parse_args().folder.resolve()
    torch.set_num_threads(1)
    print("| from | file | what is special | result |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        sys.path.insert(0, work)
        for number, entry in enumerate(ENTRIES):
            try:
                result = attempt(entry, root, Path(work) / str(number))
            except Exception as error:
                result = f"not tried ({type(error).__name__}: {str(error)[:100]})"
            print(f"| {entry.source} | {entry.kind} | {entry.note} | {result} |", flush=True)


if __name__ == "__main__":
    main()
