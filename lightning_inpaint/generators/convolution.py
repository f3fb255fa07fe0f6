"""The convolutions of StyleGAN2 blocks as linear maps, and a layer in few passes over memory.

While a posterior is sampled the weights stand still, so everything that follows from them alone (sums
of squares, filters, turned kernels, other types) is made once and kept; see :class:`LayerCache`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..steady import product
from .upsampling import four_phase_weight, per_channel

__all__ = [
    "ConstantConv",
    "DenseConv",
    "FrozenLayer",
    "LayerCache",
    "LayerConstants",
    "PixelProduct",
    "has_matrix_units",
]

T = TypeVar("T")


def has_matrix_units(device: torch.device) -> bool:
    """Whether half-precision products run on units of their own: a GPU's, or AMX on a CPU."""
    if device.type != "cpu":
        return True
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("amx_tile", False))


class DenseConv:
    """The map ``x, style -> conv(x * style)`` of a 3x3 convolution, and its adjoint.

    Args:
        weight: (O, I, 3, 3); for an up-sampling convolution an impulse response, as in
            :func:`.upsampling.four_phase_weight`.
        kernel: (4, 4) FIR filter of an up-sampling convolution; None = no up-sampling.
        fused: one convolution into four phases and a pixel shuffle, instead of a transposed
            convolution and a filter: four times the arithmetic and no further pass over memory. Pays
            on matrix units (:func:`has_matrix_units`), costs a factor two elsewhere.
        dtype: type the convolution computes in; None = that of the weights.
    """

    def __init__(
        self,
        weight: Tensor,
        kernel: Tensor | None = None,
        fused: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        dense = weight.is_contiguous(memory_format=torch.channels_last)
        self.layout = torch.channels_last if dense else torch.contiguous_format
        self.fused, self.filter = fused and kernel is not None, None
        if kernel is None:
            self.weight = weight.to(dtype or weight.dtype)
        elif fused:
            folded = four_phase_weight(weight, kernel).to(dtype or weight.dtype)
            self.weight = folded.contiguous(memory_format=self.layout)
        else:
            self.weight = weight.transpose(0, 1).to(dtype or weight.dtype)
            self.filter = per_channel(kernel.flip(0, 1), weight.shape[0], self.weight)
        self._adjoint: tuple[Tensor, Tensor | None] | None = None

    def convolve(self, x: Tensor) -> Tensor:
        """(N, I, h, w) to (N, O, r, r), r = h or 2 h; differentiable."""
        if self.filter is not None:
            y = F.conv_transpose2d(x, self.weight, stride=2)
            return F.conv2d(y, self.filter, padding=1, groups=len(self.filter))
        y = F.conv2d(x, self.weight, padding=1)
        return F.pixel_shuffle(y, 2) if self.fused else y

    def turned(self, g: Tensor) -> Tensor:
        """The adjoint of :meth:`convolve`, as plain convolutions with kernels made once."""
        if self._adjoint is None:
            if self.filter is not None:
                self._adjoint = self.weight, self.filter.flip(2, 3)
            else:
                turned = self.weight.transpose(0, 1).flip(2, 3)
                self._adjoint = turned.contiguous(memory_format=self.layout), None
        weight, taps = self._adjoint
        if taps is not None:
            return F.conv2d(F.conv2d(g, taps, padding=2, groups=len(taps)), weight, stride=2)
        return F.conv2d(F.pixel_unshuffle(g, 2) if self.fused else g, weight, padding=1)

    def apply(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, I, h, w) and style (N, I) to (N, O, r, r) in the convolution's type."""
        return self.convolve((x * style[:, :, None, None]).to(self.weight.dtype))

    def adjoint(
        self, x: Tensor, style: Tensor, g: Tensor, want_x: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Gradients for ``x`` (or None) and ``style``, given that of the output."""
        scaled = self.turned(g.to(self.weight.dtype)).to(x.dtype)
        for_style = (scaled * x).sum(dim=(2, 3))
        return (scaled.mul_(style[:, :, None, None]) if want_x else None), for_style


class ConstantConv:
    """The same map where ``x`` is the learned constant: one matrix product of the styles.

    Linear in the style, a ninth of the convolution's arithmetic. Same interface as
    :class:`DenseConv`; ``x`` is not looked at.

    Args:
        weight: (O, I, 3, 3).
        constant: (I, h, w).
    """

    def __init__(self, weight: Tensor, constant: Tensor) -> None:
        channels, self.height, self.width = constant.shape
        patches = F.unfold(constant[None], 3, padding=1).view(channels, 9, -1)
        taps = weight.reshape(*weight.shape[:2], 9)
        self.matrix = torch.einsum("oit,itp->ipo", taps, patches).flatten(1)

    def apply(self, x: Tensor, style: Tensor) -> Tensor:
        """Style (N, I) to (N, O, h, w)."""
        y = product(style, self.matrix)
        return y.view(len(y), self.height, self.width, -1).permute(0, 3, 1, 2)

    def adjoint(
        self, x: Tensor, style: Tensor, g: Tensor, want_x: bool
    ) -> tuple[Tensor | None, Tensor]:
        """None, and the gradient for ``style``."""
        return None, product(g.permute(0, 2, 3, 1).flatten(1), self.matrix.T)


class LayerConstants(NamedTuple):
    """What a modulated layer needs of its weights.

    Attributes:
        conv: its linear map.
        energy: (I, O), squared weights summed over the kernel.
        bias: (O, 1, 1), times the gain after the non-linearity (which is positively homogeneous).
        strength: of the noise, times that gain; None = no noise input.
    """

    conv: DenseConv | ConstantConv
    energy: Tensor
    bias: Tensor
    strength: Tensor | None


class LayerCache(Generic[T]):
    """Keeps a layer's constants for as long as its weights stand still.

    Held against each weight's version counter and address, so that loading, moving and changing
    weights in place are all seen.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._value: T | None = None

    def get(
        self,
        weights: Sequence[Tensor | None],
        options: tuple[Any, ...],
        make: Callable[[], T],
    ) -> T:
        """The kept constants, or those of ``make()`` where they are missing or outdated."""
        if torch.compiler.is_compiling():  # by others: version counters cannot be looked at
            return make()
        key = (*options, *[_state(w) for w in weights])
        if self._value is None or key != self._key:
            with torch.inference_mode(False), torch.no_grad():
                self._key, self._value = key, make()
        return self._value

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerCache[T]:
        return LayerCache()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return LayerCache, ()


def _state(weight: Tensor | None) -> tuple[Any, ...] | None:
    if weight is None:
        return None
    version = 0 if weight.is_inference() else weight._version
    return weight.data_ptr(), version, weight.dtype, weight.device, weight.stride()


class PixelProduct(torch.autograd.Function):
    """A matrix of its own for each picture, applied at every pixel: few rows, many pixels.

    The products are those of channels-last features in the order that BLAS is quick at; autograd's
    own choice takes up to ten times as long for the matrices' gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Features (N, I, h, w) and matrices (N, O, I) to (N, O, h, w)."""
        ctx.save_for_backward(x, weight)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        return (weight @ pixels.transpose(1, 2)).unflatten(2, x.shape[2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        g = grad.flatten(2)
        for_pixels = g.transpose(1, 2) @ weight
        for_x = for_pixels.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return for_x, g @ x.permute(0, 2, 3, 1).flatten(1, 2)


class FrozenLayer(torch.autograd.Function):
    """``lrelu(conv(x * s) * d(s) + shift + slack + bias)``, clamped, with gradients for latents only.

    Seven passes over the output where plain operations take thirteen, most of them in place; two
    tensors are kept for the backward pass. Not twice differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        style: Tensor,
        shift: Tensor | None,
        slack: Tensor | None,
        gain: float,
        clamp: float | None,
        constants: LayerConstants,
    ) -> Tensor:
        """Same arguments as the plain form in ``layers.py``."""
        scale = product(style.square(), constants.energy).add_(1e-8).rsqrt_().mul_(gain)
        raw = constants.conv.apply(x, style)
        y = raw * scale[:, :, None, None]
        if shift is not None:
            y += shift
        if slack is not None:
            y.add_(slack, alpha=gain)
        F.leaky_relu_(y.add_(constants.bias), 0.2)
        if clamp is not None:
            y.clamp_(-clamp, clamp)
        ctx.save_for_backward(x, style, scale, raw, y)
        ctx.shift_shape = None if shift is None else shift.shape
        ctx.constants, ctx.gain, ctx.clamp = constants, gain, clamp
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, style, scale, raw, y = ctx.saved_tensors
        g = torch.ops.aten.leaky_relu_backward(grad, y, 0.2, True)
        if ctx.clamp is not None:
            g.masked_fill_(y.abs() >= ctx.clamp, 0)
        for_shift = for_slack = None
        if ctx.needs_input_grad[2]:
            for_shift = g.sum_to_size(
                ctx.shift_shape
            ).clone()  # g itself where there is one channel
        if ctx.needs_input_grad[3]:
            for_slack = g * ctx.gain
        g = g.mul_(scale[:, :, None, None])
        for_x, for_style = ctx.constants.conv.adjoint(x, style, g, ctx.needs_input_grad[0])
        by_scale = g.mul_(raw).sum(dim=(2, 3))  # in place: fresh memory costs more
        for_energy = by_scale * (scale / ctx.gain).square()  # -2 times the gradient of s^2 @ W2^T
        for_style = for_style - style * product(for_energy, ctx.constants.energy.T)
        return for_x, for_style, for_shift, for_slack, None, None, None
