"""A user's own network behind the interface that the samplers expect.

Anything that turns latents into pictures will do: DCGAN-like modules take (N, z, 1, 1), others take
(N, z); some are conditional. The shapes are found out by looking at the module's attributes and its
first layer and by one dry run. This is the one place where code that is not this project's is run:
the class the user named.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError

__all__ = ["WrappedGenerator", "adapt_generator"]

_Z_NAMES = ("z_dim", "latent_dim", "nz", "dim_z", "latent_size", "z_size", "noise_dim", "code_dim")
_CLASS_NAMES = ("num_classes", "n_classes", "c_dim")


class WrappedGenerator(nn.Module):
    """``module`` with latents, labels and pictures in this project's form.

    Args:
        module: any callable module from latents to pictures (N, C, R, R); pictures of a module that
            ends in a sigmoid are moved from [0, 1] to [-1, 1], all others must be about [-1, 1].
        name: what to call it in error sentences.

    Raises:
        UserError: no way to call it was found, or what it returns are not square pictures.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str = "generator",
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.module = module.eval().requires_grad_(False)
        self.name = name
        self.z_dim = _latent_size(module, name)
        self.num_classes = _attribute(module, _CLASS_NAMES) or 0
        names = getattr(module, "class_names", None)
        self.class_names: tuple[str, ...] | None = tuple(names) if names else None
        self._unit_range = isinstance(_last_layer(module), nn.Sigmoid)
        self._spatial, self._one_hot, example = self._find_call()
        self.img_channels, self.resolution = int(example.shape[1]), int(example.shape[-1])

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, z_dim) and labels (N,) to pictures (N, C, R, R)."""
        return self._call(z, labels, self._spatial, self._one_hot)

    def _call(self, z: Tensor, labels: Tensor | None, spatial: bool, one_hot: bool) -> Tensor:
        z = z[:, :, None, None] if spatial else z
        if not self.num_classes:
            out = self.module(z)
        else:
            if labels is None:
                raise ValueError("this generator is class-conditional: labels are needed")
            encoded = nn.functional.one_hot(labels, self.num_classes).to(z.dtype)
            out = self.module(z, encoded if one_hot else labels)
        picture = out[0] if isinstance(out, (tuple, list)) else out
        return picture * 2 - 1 if self._unit_range else picture

    def _find_call(self) -> tuple[bool, bool, Tensor]:
        """Try the possible forms of the arguments on two latents."""
        parameter = next(self.module.parameters(), torch.zeros(()))
        z = torch.zeros(2, self.z_dim, device=parameter.device, dtype=parameter.dtype)
        labels = (
            torch.zeros(2, dtype=torch.long, device=parameter.device) if self.num_classes else None
        )
        spatial_first = isinstance(_first_layer(self.module), (nn.Conv2d, nn.ConvTranspose2d))
        problems: list[str] = []
        for spatial in (spatial_first, not spatial_first):
            for one_hot in (False, True) if self.num_classes else (False,):
                try:
                    with torch.no_grad():
                        example = self._call(z, labels, spatial, one_hot)
                except Exception as error:  # the user's module raises whatever it likes
                    problems.append(f"{type(error).__name__}: {str(error).splitlines()[:1]}")
                    continue
                if self._is_picture(example):
                    return spatial, one_hot, example
                problems.append(f"returned {tuple(getattr(example, 'shape', ()))}")
        raise UserError(
            f"{self.name}: called with latents of size {self.z_dim}, it gives no square pictures "
            f"(N, C, R, R) ({problems[0][:200]}); give it a z_dim attribute or wrap it."
        )

    @staticmethod
    def _is_picture(x: Any) -> bool:
        good = isinstance(x, Tensor) and x.ndim == 4 and x.shape[0] == 2 and x.is_floating_point()
        return good and x.shape[2] == x.shape[3] and x.shape[2] > 1 and 0 < x.shape[1] <= 4


def adapt_generator(
    module: nn.Module, name: str, arguments: Mapping[str, Any] | None = None
) -> nn.Module:
    """A user's module, frozen, behind the interface of generators; as it is where it has that.

    Args:
        module: the network.
        name: what to call it in error sentences.
        arguments: those it was made with, which may tell the size of its latents; None = unknown.

    Raises:
        UserError: no way to call it was found.
    """
    if all(hasattr(module, a) for a in ("z_dim", "num_classes", "resolution", "img_channels")):
        return module.eval().requires_grad_(False)
    return WrappedGenerator(module, name=name, arguments=arguments).eval().requires_grad_(False)


def _latent_size(module: nn.Module, name: str) -> int:
    known = _attribute(module, _Z_NAMES)
    if known:
        return known
    first = _first_layer(module)
    size = getattr(first, "in_features", None) or getattr(first, "in_channels", None)
    if not isinstance(size, int):
        raise UserError(f"{name}: the size of its latents is unknown; give it an attribute z_dim.")
    return size


def _attribute(module: nn.Module, names: tuple[str, ...]) -> int | None:
    values = (inspect.getattr_static(module, n, None) for n in names)
    return next((v for v in values if type(v) is int and v > 0), None)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    return (m for m in module.modules() if not any(m.children()))


def _first_layer(module: nn.Module) -> nn.Module | None:
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return next((m for m in _layers(module) if isinstance(m, kinds)), None)


def _last_layer(module: nn.Module) -> nn.Module | None:
    return next(iter(reversed(list(_layers(module)))), None)
