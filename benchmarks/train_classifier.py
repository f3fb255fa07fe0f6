"""Train the CIFAR-10 classifier whose features judge generators (and guide the projected adversary).

    python benchmarks/train_classifier.py --root data --epochs 10 --output classifier.safetensors

Two CPU cores show about 135 pictures a second (an hour for ten epochs).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from lightning_inpaint.evaluation import accuracy, fit_classifier


def main() -> None:
    """Train, test, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default="data", help="folder of CIFAR-10 (torchvision)")
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--npz", nargs=2, help="instead: train and test .npz with x (NHWC) and y")
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="classifier.safetensors")
    options = parser.parse_args()
    (x, y), (x_test, y_test) = [_pictures(options, train) for train in (True, False)]
    start = time.monotonic()

    def report(step: int, steps: int, loss: float) -> None:
        if step % 10 == 0:
            rate = step * 1000 / (time.monotonic() - start)
            print(f"step {step}/{steps}, loss {loss:.3f}, {rate:.0f} pictures/s", flush=True)

    net = fit_classifier(x, y, epochs=options.epochs, seed=options.seed, report=report)
    score = accuracy(net, x_test, y_test)
    print(f"accuracy on {len(y_test)} test pictures (mean with mirror image): {score:.4f}")
    state = {k: v.half().contiguous() for k, v in net.state_dict().items() if v.is_floating_point()}
    metadata = {
        "format": "lightning-inpaint classifier",
        "test_accuracy": f"{score:.4f}",
        "test_set": f"{len(y_test)} pictures",
    }
    save_file(state, Path(options.output), metadata=metadata)


def _pictures(options: argparse.Namespace, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 (N, 3, 32, 32) and labels."""
    if options.npz:
        content = np.load(options.npz[0 if train else 1])
        pictures, labels = content["x"], content["y"]
    else:
        from torchvision.datasets import CIFAR10

        data = CIFAR10(options.root, train=train, download=options.download)
        pictures, labels = data.data, np.array(data.targets)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


if __name__ == "__main__":
    main()
