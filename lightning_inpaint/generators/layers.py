"""The layers of StyleGAN2: equalized linear maps, modulated convolutions, picture outputs.

Every layer has a plain form, differentiable in everything, for training and for the compiler, and a
modulated convolution whose weights are frozen has a shorter one (see ``convolution.py``).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..steady import product
from .convolution import (
    ConstantConv,
    DenseConv,
    FrozenLayer,
    LayerCache,
    LayerConstants,
    PixelProduct,
    has_matrix_units,
)
from .upsampling import upsample2x

__all__ = [
    "LRELU_GAIN",
    "EqualizedLinear",
    "ModulatedConv",
    "SkipConv",
    "ToRGB",
    "leaky_relu",
    "second_moment_norm",
]

LRELU_GAIN = math.sqrt(2)


def second_moment_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale each row of ``x`` (N, D) to unit mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


class SignedSlope(torch.autograd.Function):
    """Leaky ReLU of slope 0.2 whose gradient goes by the sign of the result.

    For compiled graphs: a gradient that asks where x > 0 makes them store truth values, which their
    CPU kernels do one by one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Of any shape."""
        y = F.leaky_relu(x, 0.2)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (y,) = ctx.saved_tensors
        return grad * (y.sign() * 0.4 + 0.6)


def _slope(x: Tensor) -> Tensor:
    slope: Tensor = SignedSlope.apply(x) if torch.compiler.is_compiling() else F.leaky_relu(x, 0.2)
    return slope


def leaky_relu(x: Tensor, gain: float, clamp: float | None) -> Tensor:
    """Leaky ReLU of slope 0.2 with variance-keeping ``gain``, clamped to +-``clamp``."""
    x = _slope(x) * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


class EqualizedLinear(nn.Module):
    """Fully connected layer whose weights are scaled at run time (equalized learning rate)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activate = activate
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))

    def forward(self, x: Tensor, first: int | None = None, shift: Tensor | None = None) -> Tensor:
        """(N, in_features) to (N, out_features).

        Args:
            x: all features, or (N, first) the first of them.
            first: how many those are; None = all.
            shift: (N, out_features), what the others add before the non-linearity.
        """
        columns = self.weight[:, :first]
        # gains as factors of the product: the weights are not copied
        y = product(x, columns.T, self.bias, beta=self.bias_gain, alpha=self.weight_gain)
        if shift is not None:
            y = y + shift
        return leaky_relu(y, LRELU_GAIN, None) if self.activate else y


class ModulatedConv(nn.Module):
    """3x3 convolution whose input channels are scaled by a style, demodulated, with noise input.

    Demodulation scales the output instead of the weights, d = rsqrt(s^2 @ W2^T + 1e-8) with W2 the
    sum of W^2 over the kernel: one dense convolution for the whole batch, equal to the per-sample
    grouped form of arXiv:1912.04958, eq. 3.
    """

    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        up: bool,
        use_noise: bool,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        self.up, self.use_noise, self.conv_clamp = up, use_noise, conv_clamp
        self.resolution, self.out_channels = resolution, out_channels
        self.compute_dtype: torch.dtype | None = None
        self.fused = False
        self.cache: LayerCache[LayerConstants] = LayerCache()
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    @property
    def trained(self) -> bool:
        """Whether a parameter of the layer itself, its style apart, wants gradients."""
        strength = self.noise_strength.requires_grad if self.use_noise else False
        return self.weight.requires_grad or self.bias.requires_grad or strength

    def _form(self, dtype: torch.dtype | None) -> tuple[torch.dtype | None, bool]:
        """Type and form of the convolution: what one call asks for, or else the layer's own."""
        if dtype is None:
            return self.compute_dtype, self.fused
        return dtype, has_matrix_units(self.weight.device)

    def constants(
        self,
        kernel: Tensor,
        gain: float,
        constant: Tensor | None,
        dtype: torch.dtype | None = None,
    ) -> LayerConstants:
        """What follows from the weights alone; ``gain`` is the one after the non-linearity."""
        own, fused = self._form(dtype)
        if constant is not None and not self.trained:
            conv: DenseConv | ConstantConv = ConstantConv(self.weight, constant)
        else:
            conv = DenseConv(self.weight, kernel if self.up else None, fused, own)
        return LayerConstants(
            conv,
            self.weight.square().sum(dim=(2, 3)).T,
            self.bias[:, None, None] * gain,
            self.noise_strength * gain if self.use_noise else None,
        )

    def remembered(
        self,
        kernel: Tensor,
        gain: float,
        constant: Tensor | None,
        dtype: torch.dtype | None = None,
    ) -> LayerConstants:
        """The same, made anew only if weights have changed."""
        strength = self.noise_strength if self.use_noise else None
        weights = [self.weight, self.bias, strength, kernel, constant]
        options = (gain, *self._form(dtype))
        return self.cache.get(
            weights, options, lambda: self.constants(kernel, gain, constant, dtype)
        )

    def forward(
        self,
        x: Tensor,
        style: Tensor,
        kernel: Tensor,
        noise: Tensor | None,
        slack: Tensor | None = None,
        gain: float = 1.0,
        constant: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """(N, I, h, w) and style (N, I) to (N, O, r, r).

        Args:
            x: features (N, I, h, w).
            style: what ``affine`` makes of w, (N, I).
            kernel: FIR filter of the up-sampling.
            noise: broadcasts over channels.
            slack: (N, O, r, r) added before the non-linearity: Gaussian latents that let the
                features leave the generator's range (see ``latents.py``).
            gain: further factor of the output.
            constant: (I, h, w) if ``x`` is nothing but this, repeated.
            dtype: type of this call's convolution; None = the layer's own.
        """
        total = LRELU_GAIN * gain
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        find = self.constants if self.trained else self.remembered
        c = find(kernel, total, constant, dtype)
        shift = None if noise is None or c.strength is None else noise * c.strength
        if not self.trained and not torch.compiler.is_compiling():
            return FrozenLayer.apply(x, style, shift, slack, total, clamp, c)
        scale = (product(style.square(), c.energy) + 1e-8).rsqrt() * total
        y = c.conv.apply(x, style) * scale[:, :, None, None]
        if shift is not None:
            y = y + shift
        if slack is not None:
            y = y + slack * total
        y = _slope(y + c.bias)
        return y if clamp is None else y.clamp(-clamp, clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to picture channels, without demodulation."""

    def __init__(
        self, in_channels: int, img_channels: int, w_dim: int, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, I, h, w) and style (N, I) to (N, C, h, w).

        The style scales the few weights instead of the features: one small product per picture.
        """
        weight = self.weight.flatten(1) * self.weight_gain * style[:, None, :]
        y = PixelProduct.apply(x, weight) + self.bias[:, None, None]
        return y if self.conv_clamp is None else y.clamp(-self.conv_clamp, self.conv_clamp)


class SkipConv(nn.Module):
    """Up-sampling 1x1 convolution on the residual branch of the ``resnet`` architecture."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))

    def forward(self, x: Tensor, kernel: Tensor, gain: float) -> Tensor:
        """(N, I, h, w) to (N, O, 2 h, 2 w)."""
        return upsample2x(F.conv2d(x, self.weight * (self.weight_gain * gain)), kernel)
