"""Agreement of the native R3GAN with its authors' code, over the checkpoint format itself.

Needs a clone of github.com/brownvc/R3GAN; nothing of it is part of this project:

    python benchmarks/compare_r3gan.py PATH_TO_CLONE [--large]

Each row makes a network with their classes, gives every weight (the last layers and biases, which begin at
zero, too) a random value, saves it as their training loop does, with optimizer states beside it, loads the
file here and compares pictures for the same z and class. Error: max |ours - theirs| / max |theirs|. Their
bfloat16 stages compute in float32, or in float64 in that column.
"""

from __future__ import annotations

import argparse
import copy
import pickle
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from torch import nn

from lightning_inpaint.generators import load_generator

SMALL: dict[str, Any] = {
    "WidthPerStage": [24, 24, 12],
    "CardinalityPerStage": [6, 6, 3],
    "BlocksPerStage": [2, 1, 2],
    "ExpansionFactor": 2,
    "NoiseDimension": 64,
    "FP16Stages": [-1, -2],
}
WIDTHS = [3 * 1024 // 4] * 4
CASES: list[tuple[str, dict[str, Any]]] = [
    ("small", {}),
    ("small, 10 classes", {"c_dim": 10, "ConditionEmbeddingDimension": 64}),
    ("z of 17, embedding of 5", {"NoiseDimension": 17, "c_dim": 3, "ConditionEmbeddingDimension": 5}),
    ("one block each, no expansion", {"BlocksPerStage": [1, 1, 1], "ExpansionFactor": 1}),
    ("kernel 5, filter 1,1,1", {"KernelSize": 5, "ResamplingFilter": [1, 1, 1]}),
]  # fmt: skip
LARGE = [
    (
        "CIFAR-10 as published",
        {
            "c_dim": 10,
            "ConditionEmbeddingDimension": 64,
            "WidthPerStage": WIDTHS,
            "BlocksPerStage": [2] * 4,
            "CardinalityPerStage": [96] * 4,
            "FP16Stages": [-1, -2, -3],
        },
    )
]


def their_network(networks: Any, settings: dict[str, Any]) -> nn.Module:
    options = SMALL | {"c_dim": 0} | settings
    size = 4 << (len(options["WidthPerStage"]) - 1)
    network = networks.Generator(img_resolution=size, **options)
    with torch.no_grad():
        for value in network.parameters():
            if not value.any():
                value.normal_(0, 0.1)
    return network.eval().requires_grad_(False)


def snapshot(network: nn.Module) -> bytes:
    """As their training loop writes it."""
    trained = copy.deepcopy(network).requires_grad_(True)
    optimizer = torch.optim.Adam(trained.parameters(), betas=(0.0, 0.0))
    for parameter in trained.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    content = {"G": trained, "D": None, "G_ema": network, "training_set_kwargs": {"path": "x"}}
    return pickle.dumps({**content, "cur_nimg": 3, "G_opt_state": optimizer.state_dict()})


@torch.no_grad()
def compare(network: nn.Module, dtype: torch.dtype) -> float:
    theirs = copy.deepcopy(network).to(dtype)
    for module in theirs.modules():
        if hasattr(module, "Kernel"):  # their filters insist on float32 and convert themselves
            module.Kernel = module.Kernel.float()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network-snapshot.pkl"
        path.write_bytes(snapshot(theirs))
        ours = load_generator(path)
    for stage in theirs.Model.MainLayers:
        stage.DataType = dtype
    z = torch.randn(4, ours.z_dim, dtype=dtype)
    labels = torch.arange(4) % ours.num_classes if ours.num_classes else None
    hot = None if labels is None else nn.functional.one_hot(labels, ours.num_classes).to(dtype)
    expected = theirs(z, hot)
    assert expected.dtype == dtype
    return float((ours(z, labels) - expected).abs().max() / expected.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path, help="folder with R3GAN")
    parser.add_argument("--large", action="store_true", help="a network of the published size too")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.clone))
    # their code asks an old part of setuptools for one function
    stand_in: Any = types.ModuleType("pkg_resources")
    stand_in.parse_version = Version
    sys.modules.setdefault("pkg_resources", stand_in)
    from training import networks

    torch.set_num_threads(1)
    print("| network | float32 | float64 |\n|---|--:|--:|")
    worst = {torch.float32: 0.0, torch.float64: 0.0}
    for seed, (name, settings) in enumerate(CASES + LARGE * arguments.large):
        torch.manual_seed(seed)
        network = their_network(networks, settings)
        errors = {d: compare(network, d) for d in worst}
        worst = {d: max(worst[d], errors[d]) for d in worst}
        print(f"| {name} | {errors[torch.float32]:.1e} | {errors[torch.float64]:.1e} |", flush=True)
    print(f"\nWorst: float32 {worst[torch.float32]:.1e}, float64 {worst[torch.float64]:.1e}.")
    if worst[torch.float32] >= 1e-5 or worst[torch.float64] >= 1e-10:
        sys.exit("disagreement: float32 must stay below 1e-5, float64 below 1e-10")


if __name__ == "__main__":
    main()
