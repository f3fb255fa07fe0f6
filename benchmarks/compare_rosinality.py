"""Agreement of the native generator with rosinality's code, over the checkpoint format itself.

Needs a clone of github.com/rosinality/stylegan2-pytorch; nothing of it is part of this project:

    python benchmarks/compare_rosinality.py PATH_TO_CLONE

Each row makes rosinality's generator, gives every bias and noise strength a random value, saves the
checkpoint as its ``train.py`` does (with the command line's arguments) or as its ``convert_weight.py``
does (with the average latent), loads the file here and compares pictures for the same z and the
stored noise maps. Error: max |ours - theirs| / max |theirs|.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.utils.cpp_extension
from compare_nvidia import error
from torch import nn

from lightning_inpaint.generators import load_generator

CASES: list[tuple[int, dict[str, Any], float, str]] = [
    (32, {"n_mlp": 8}, 1.0, ""),
    (32, {"n_mlp": 2, "style_dim": 128}, 1.0, "2 mapping layers, style 128"),
    (32, {"n_mlp": 8}, 0.7, "truncation 0.7"),
    (64, {"n_mlp": 8}, 1.0, ""),
    (64, {"n_mlp": 8, "channel_multiplier": 1}, 1.0, "channel multiplier 1"),
    (64, {"n_mlp": 8}, 0.7, "truncation 0.7"),
    (256, {"n_mlp": 8, "channel_multiplier": 1}, 1.0, "channel multiplier 1"),
    (256, {"n_mlp": 8}, 1.0, ""),
]


def their_network(model: Any, size: int, settings: dict[str, Any]) -> nn.Module:
    multiplier = settings.get("channel_multiplier", 2)
    network = model.Generator(
        size, settings.get("style_dim", 512), settings["n_mlp"], channel_multiplier=multiplier
    )
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("bias"):
                value.add_(torch.randn_like(value) * 0.3)
            if name.endswith("noise.weight"):
                value.normal_(0, 0.1)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def compare(network: nn.Module, dtype: torch.dtype, truncation: float, old_form: bool) -> float:
    theirs = copy.deepcopy(network).to(dtype)
    size = theirs.style_dim
    average = torch.randn(1, size, dtype=dtype)
    checkpoint: dict[str, Any] = {"g_ema": theirs.state_dict(), "latent_avg": average}
    if truncation == 1:
        checkpoint = {
            "g": theirs.state_dict(),
            "g_ema": theirs.state_dict(),
            "args": argparse.Namespace(size=theirs.size, lr=0.002),
            "ada_aug_p": 0.0,
        }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        torch.save(checkpoint, path, _use_new_zipfile_serialization=not old_form)
        ours = load_generator(path)
    z = torch.randn(2, size, dtype=dtype)
    expected, _ = theirs(
        [z], truncation=truncation, truncation_latent=average, randomize_noise=False
    )
    return error(ours(z, noise="const", truncation=truncation), expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path, help="folder with rosinality's stylegan2-pytorch")
    arguments = parser.parse_args()
    # Their package compiles CUDA code when imported; on a CPU it is never called.
    torch.utils.cpp_extension.load = lambda *_, **__: None
    sys.path.insert(0, str(arguments.clone))
    import model

    torch.set_num_threads(1)
    print("| pixels | other | form | float32 | float64 |\n|--:|---|---|--:|--:|")
    worst = {torch.float32: 0.0, torch.float64: 0.0}
    for seed, (size, settings, truncation, name) in enumerate(CASES):
        torch.manual_seed(seed)
        network = their_network(model, size, settings)
        old_form = bool(seed % 2)
        errors = {d: compare(network, d, truncation, old_form) for d in worst}
        worst = {d: max(worst[d], errors[d]) for d in worst}
        print(
            f"| {size} | {name} | {'old' if old_form else 'zip'} "
            f"| {errors[torch.float32]:.1e} | {errors[torch.float64]:.1e} |",
            flush=True,
        )
    print(f"\nWorst: float32 {worst[torch.float32]:.1e}, float64 {worst[torch.float64]:.1e}.")
    if worst[torch.float32] >= 1e-5 or worst[torch.float64] >= 1e-10:
        sys.exit("disagreement: float32 must stay below 1e-5, float64 below 1e-10")


if __name__ == "__main__":
    main()
