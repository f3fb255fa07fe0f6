"""Agreement of the native generator with NVIDIA's code, over the checkpoint format itself.

Needs a clone of github.com/NVlabs/stylegan2-ada-pytorch; nothing of it is part of this project:

    python benchmarks/compare_nvidia.py PATH_TO_CLONE [--large]

Each row makes a network with NVIDIA's classes, gives every weight (noise strengths, biases and the
average w too) a random value, saves it with NVIDIA's own pickling, loads the file here and compares
pictures for the same z, class and constant noise. Error: max |ours - theirs| / max |theirs|.

NVIDIA's forward pass casts to float32 by name. For the float64 column that name stands for float64
inside their module while it runs; nothing else of their arithmetic is touched. Half-precision layers
are compared with their ``force_fp32``.
"""

from __future__ import annotations

import argparse
import copy
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_inpaint.generators import load_generator

SMALL: dict[str, Any] = {"channel_base": 2048, "channel_max": 64}
CASES: list[tuple[str, dict[str, Any], float]] = []


def case(name: str, truncation: float = 1.0, **settings: Any) -> None:
    CASES.append((name, settings, truncation))


for resolution in (32, 64, 256):
    for classes in (0, 10):
        for architecture in ("orig", "skip", "resnet"):
            case("", res=resolution, classes=classes, architecture=architecture)
case("2 mapping layers", res=32, classes=10, layers=2)
case("1 mapping layer, z 64, w 96", res=32, layers=1, z_dim=64, w_dim=96)
case("truncation 0.7", truncation=0.7, res=32, classes=10, layers=2)
case("truncation 0.7", truncation=0.7, res=64)
case("conv_clamp 256", res=64, conv_clamp=256)
case("conv_clamp 0.5 (active)", res=64, conv_clamp=0.5, architecture="resnet")
case("4 fp16 layers, clamp 256", res=64, num_fp16_res=4, conv_clamp=256)
case(
    "4 fp16 layers, channels last", res=32, num_fp16_res=4, conv_clamp=256, fp16_channels_last=True
)
case("base 1536, max 192", res=32, classes=10, layers=2, channel_base=1536, channel_max=192)
case("base 1000, max 48", res=256, channel_base=1000, channel_max=48)
case("one channel", res=32, img_channels=1)
case("no noise inputs", res=32, use_noise=False)
case("filter 1,2,3,1 (asymmetric)", res=32, resample_filter=[1, 2, 3, 1], architecture="resnet")
LARGE = [
    (
        "cifar as published",
        {"res": 32, "classes": 10, "layers": 2, "channel_base": 32768, "channel_max": 512},
    ),
    ("paper256 as published", {"res": 256, "channel_base": 16384, "channel_max": 512}),
]


class Double:
    """The name ``torch`` as NVIDIA's module sees it in the float64 column."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def their_network(networks: Any, settings: dict[str, Any]) -> nn.Module:
    s = dict(settings)
    res, classes, layers = s.pop("res"), s.pop("classes", 0), s.pop("layers", 8)
    z_dim, w_dim, channels = s.pop("z_dim", 512), s.pop("w_dim", 512), s.pop("img_channels", 3)
    network = networks.Generator(
        z_dim=z_dim,
        c_dim=classes,
        w_dim=w_dim,
        img_resolution=res,
        img_channels=channels,
        mapping_kwargs={"num_layers": layers},
        synthesis_kwargs=SMALL | s,
    )
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                value.add_(torch.randn_like(value) * (0.3 if value.ndim else 0.1))
        network.mapping.w_avg.normal_()
    return network.eval().requires_grad_(False)


def to_double(network: nn.Module) -> nn.Module:
    """Float64 weights; NVIDIA's filters insist on float32 and convert themselves."""
    network = copy.deepcopy(network).double()
    for name, value in list(network.named_buffers()):
        if name.endswith("resample_filter"):
            owner = network.get_submodule(name.rpartition(".")[0])
            owner.resample_filter = value.float()
    return network


@torch.no_grad()
def compare(networks: Any, network: nn.Module, dtype: torch.dtype, truncation: float) -> float:
    theirs = to_double(network) if dtype == torch.float64 else network
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network-snapshot.pkl"
        path.write_bytes(
            pickle.dumps({"G": None, "D": None, "G_ema": theirs, "augment_pipe": None})
        )
        ours = load_generator(path)
    z = torch.randn(4, ours.z_dim, dtype=dtype)
    labels = torch.arange(4) % ours.num_classes if ours.num_classes else None
    one_hot = (
        torch.zeros(4, 0) if labels is None else nn.functional.one_hot(labels, ours.num_classes)
    )
    networks.torch = Double() if dtype == torch.float64 else torch
    try:
        expected = theirs(
            z, one_hot, truncation_psi=truncation, noise_mode="const", force_fp32=True
        )
    finally:
        networks.torch = torch
    assert expected.dtype == dtype
    return error(ours(z, labels, noise="const", truncation=truncation), expected)


def error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path, help="folder with NVIDIA's stylegan2-ada-pytorch")
    parser.add_argument("--large", action="store_true", help="networks of the published sizes too")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.clone))
    from training import networks

    torch.set_num_threads(1)
    print(
        "| pixels | classes | architecture | other | float32 | float64 |\n|--:|--:|---|---|--:|--:|"
    )
    worst = {torch.float32: 0.0, torch.float64: 0.0}
    cases = CASES + [(name, settings, 1.0) for name, settings in LARGE if arguments.large]
    for seed, (name, settings, truncation) in enumerate(cases):
        torch.manual_seed(seed)
        network = their_network(networks, settings)
        errors = {d: compare(networks, network, d, truncation) for d in worst}
        worst = {d: max(worst[d], errors[d]) for d in worst}
        architecture = settings.get("architecture", "skip")
        print(
            f"| {settings['res']} | {settings.get('classes', 0)} | {architecture} | {name} "
            f"| {errors[torch.float32]:.1e} | {errors[torch.float64]:.1e} |",
            flush=True,
        )
    print(f"\nWorst: float32 {worst[torch.float32]:.1e}, float64 {worst[torch.float64]:.1e}.")
    if worst[torch.float32] >= 1e-5 or worst[torch.float64] >= 1e-10:
        sys.exit("disagreement: float32 must stay below 1e-5, float64 below 1e-10")


if __name__ == "__main__":
    main()
