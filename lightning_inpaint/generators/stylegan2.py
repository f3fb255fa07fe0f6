"""A native StyleGAN2 generator in plain PyTorch.

Architecture of Karras et al. 2020 (arXiv:1912.04958) with the conditional mapping network of
StyleGAN2-ADA (arXiv:2006.06676). Parameters carry the names and shapes of NVIDIA's published
networks, so that their state dicts load directly. Everything random is an argument: a call is a
deterministic function of latents, labels and noise maps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..steady import product
from .convolution import LayerCache, has_matrix_units
from .layers import (
    LRELU_GAIN,
    EqualizedLinear,
    ModulatedConv,
    SkipConv,
    ToRGB,
    leaky_relu,
    second_moment_norm,
)
from .mapping import MappingNetwork, stand_still
from .upsampling import fir_kernel, upsample2x, upsample_matrix

__all__ = [
    "LRELU_GAIN",
    "EqualizedLinear",
    "MappingNetwork",
    "ModulatedConv",
    "StyleGAN2Generator",
    "SynthesisNetwork",
    "leaky_relu",
    "second_moment_norm",
]

Architecture = Literal["orig", "skip", "resnet"]
NoiseMaps = Sequence[Tensor | None]


class SynthesisBlock(nn.Module):
    """One resolution: up-sampling convolution (except at 4x4), convolution, picture output."""

    kernel: Tensor
    widen: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        *,
        is_last: bool,
        architecture: Architecture,
        resample_filter: Sequence[float],
        conv_clamp: float | None,
        use_noise: bool,
    ) -> None:
        super().__init__()
        self.is_first, self.architecture = in_channels == 0, architecture
        self.resolution, self.out_channels = resolution, out_channels
        self.register_buffer("kernel", fir_kernel(resample_filter), persistent=False)
        widen = None if self.is_first else upsample_matrix(resample_filter, resolution // 2)
        self.register_buffer("widen", widen, persistent=False)
        options: dict[str, Any] = {"use_noise": use_noise, "conv_clamp": conv_clamp}
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = ModulatedConv(
                in_channels, out_channels, w_dim, resolution, up=True, **options
            )
        self.conv1 = ModulatedConv(
            out_channels, out_channels, w_dim, resolution, up=False, **options
        )
        self.has_rgb = is_last or architecture == "skip"
        if self.has_rgb:
            self.torgb = ToRGB(out_channels, img_channels, w_dim, conv_clamp)
        self.has_skip = not self.is_first and architecture == "resnet"
        if self.has_skip:
            self.skip = SkipConv(in_channels, out_channels)

    @property
    def num_conv(self) -> int:
        return 1 if self.is_first else 2

    @property
    def convolutions(self) -> list[ModulatedConv]:
        """In the order of their noise inputs and style vectors."""
        return [self.conv1] if self.is_first else [self.conv0, self.conv1]

    @property
    def affines(self) -> list[EqualizedLinear]:
        """The maps to its layers' styles, in the order of the style vectors that they take."""
        affines = [conv.affine for conv in self.convolutions]
        return [*affines, self.torgb.affine] if self.has_rgb else affines

    @property
    def gain(self) -> float:
        """Factor of the last convolution's output, for the sum with the residual branch."""
        return math.sqrt(0.5) if self.has_skip else 1.0

    @property
    def constant(self) -> Tensor | None:
        """The first block's input where it is frozen."""
        return self.const if self.is_first and not self.const.requires_grad else None

    def prepare(self, dtype: torch.dtype | None = None) -> None:
        """See :meth:`StyleGAN2Generator.prepare`."""
        first = [] if self.is_first else [(self.conv0, 1.0)]
        for conv, gain in [*first, (self.conv1, self.gain)]:
            if not conv.trained:
                conv.remembered(self.kernel, LRELU_GAIN * gain, self.constant, dtype)

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        styles: Sequence[Tensor],
        noise: NoiseMaps,
        slack: Tensor | None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        gain = self.gain
        if x is None:
            x = self.const.expand(len(styles[0]), -1, -1, -1)
            if self.conv1.weight.is_contiguous(memory_format=torch.channels_last):
                x = x.contiguous(memory_format=torch.channels_last)
            own = self.constant
            x = self.conv1(x, styles[0], self.kernel, noise[0], slack, constant=own, dtype=dtype)
        else:
            residual = self.skip(x, self.kernel, gain) if self.has_skip else None
            x = self.conv0(x, styles[0], self.kernel, noise[0], dtype=dtype)
            x = self.conv1(x, styles[1], self.kernel, noise[1], slack, gain, dtype=dtype)
            x = x if residual is None else residual + x
        if img is not None:
            img = upsample2x(img, self.kernel, self.widen)
        if self.has_rgb:
            y = self.torgb(x, styles[self.num_conv])
            img = y if img is None else img + y
        return x, img


class SynthesisNetwork(nn.Module):
    """Styles and noise maps to a picture.

    Args:
        w_dim: dimensions of each style vector.
        resolution: pixels per side, a power of two from 4 on.
        img_channels: picture channels.
        channel_base: channels at resolution r are ``min(channel_base // r, channel_max)``.
        channel_max: largest number of channels.
        architecture: ``skip`` (sums of pictures), ``orig`` (the last block only) or ``resnet``.
        conv_clamp: convolution outputs are clamped to +- this; None = not.
        resample_filter: taps of the up-sampling FIR filter.
        use_noise: whether the layers have noise inputs.

    Attributes:
        recompute: keep each block's input alone and make its features again for the gradient (Chen et
            al. 2016, arXiv:1604.06174): a fraction of the memory, a third more time.
    """

    def __init__(
        self,
        w_dim: int,
        resolution: int,
        img_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: Architecture = "skip",
        conv_clamp: float | None = None,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        use_noise: bool = True,
    ) -> None:
        super().__init__()
        self.recompute = False
        if resolution < 4 or resolution & (resolution - 1):
            raise ValueError(f"resolution must be a power of two from 4 on, got {resolution}")
        self.resolutions = [2**i for i in range(2, resolution.bit_length())]
        channels = {r: min(channel_base // r, channel_max) for r in self.resolutions}
        self.num_ws = 0
        for r in self.resolutions:
            block = SynthesisBlock(
                channels[r // 2] if r > 4 else 0,
                channels[r],
                w_dim,
                r,
                img_channels,
                is_last=r == resolution,
                architecture=architecture,
                resample_filter=resample_filter,
                conv_clamp=conv_clamp,
                use_noise=use_noise,
            )
            self.add_module(f"b{r}", block)
            self.num_ws += block.num_conv
        self.num_ws += 1
        self.cache: LayerCache[tuple[Tensor, Tensor]] = LayerCache()

    @property
    def blocks(self) -> list[SynthesisBlock]:
        return [getattr(self, f"b{r}") for r in self.resolutions]

    @property
    def convolutions(self) -> list[ModulatedConv]:
        """The modulated 3x3 convolutions in the order of their noise inputs."""
        return [conv for block in self.blocks for conv in block.convolutions]

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """Height and width of each noise map; empty when the network has no noise inputs."""
        return [(c.resolution, c.resolution) for c in self.convolutions if c.use_noise]

    def constant_noise(self) -> list[Tensor | None]:
        """The fixed noise maps stored with the weights, each (r, r)."""
        return [c.noise_const if c.use_noise else None for c in self.convolutions]

    def prepare(self, dtype: torch.dtype | None = None) -> None:
        """See :meth:`StyleGAN2Generator.prepare`."""
        for block in self.blocks:
            block.prepare(dtype)
        self.kept_affine()

    def kept_affine(self) -> tuple[Tensor, Tensor] | None:
        """All maps to styles as one, (w_dim, sum of I) and (sum of I,), where frozen; else None."""
        affines = [a for block in self.blocks for a in block.affines]
        if not stand_still(affines):
            return None

        def join() -> tuple[Tensor, Tensor]:
            weight = torch.cat([a.weight * a.weight_gain for a in affines]).T
            return weight, torch.cat([a.bias * a.bias_gain for a in affines])

        return self.cache.get([p for a in affines for p in (a.weight, a.bias)], (), join)

    def _styles(self, ws: Tensor) -> Sequence[Tensor]:
        """The layers' styles, (N, I) each, block after block.

        Frozen layers that share one style vector make theirs in one product.
        """
        affines = [block.affines for block in self.blocks]
        joint = self.kept_affine() if ws.shape[1] == 1 else None
        if joint is not None:
            weight, bias = joint
            sizes = [len(a.bias) for own in affines for a in own]
            return product(ws[:, 0], weight, bias).split(sizes, dim=1)
        each = ws.expand(-1, self.num_ws, -1).unbind(1)
        made: list[Tensor] = []
        first = 0
        for block, own in zip(self.blocks, affines, strict=True):
            made += [affine(each[first + k]) for k, affine in enumerate(own)]
            first += block.num_conv
        return made

    def forward(
        self,
        ws: Tensor,
        noise: NoiseMaps | Literal["const"] | None = None,
        slack: Sequence[Tensor | None] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw pictures.

        Args:
            ws: (N, num_ws, w_dim), or (N, 1, w_dim), the same for all layers.
            noise: one map per convolution, each (N, 1, r, r); ``"const"`` for the stored maps; None
                for no noise.
            slack: per resolution, (N, C_r, r, r) added before the block's last non-linearity, or
                None.
            dtype: type of this call's 3x3 convolutions; None = the layers' own, see
                :meth:`StyleGAN2Generator.set_compute`.

        Returns:
            (N, img_channels, resolution, resolution), about [-1, 1].
        """
        layers = len(self.convolutions)
        if isinstance(noise, str):
            noise = self.constant_noise()
        maps = [None] * layers if noise is None else list(noise)
        x = img = None
        styles, left = iter(self._styles(ws)), iter(maps)
        for k, block in enumerate(self.blocks):
            n = block.num_conv
            own = list(islice(styles, n + block.has_rgb)), list(islice(left, n))
            given = (x, img, *own, None if slack is None else slack[k], dtype)
            if self.recompute and torch.is_grad_enabled():
                x, img = checkpoint(block, *given, use_reentrant=False, preserve_rng_state=False)
            else:
                x, img = block(*given)
        assert img is not None
        return img


class StyleGAN2Generator(nn.Module):
    """Mapping and synthesis: z, class and noise to a picture.

    Args:
        z_dim: dimensions of z ~ N(0, I).
        num_classes: classes; 0 = unconditional.
        w_dim: dimensions of the style vectors.
        resolution: pixels per side.
        img_channels: picture channels.
        mapping_layers: fully connected layers of the mapping network.
        channel_base: see :class:`SynthesisNetwork`, as for the five that follow.
        channel_max: see there.
        architecture: see there.
        conv_clamp: see there.
        resample_filter: see there.
        use_noise: see there.
        class_names: names of the classes, for labels and figures.
    """

    def __init__(
        self,
        z_dim: int = 512,
        num_classes: int = 0,
        w_dim: int = 512,
        resolution: int = 32,
        img_channels: int = 3,
        *,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: Architecture = "skip",
        conv_clamp: float | None = None,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        use_noise: bool = True,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "z_dim": z_dim,
            "num_classes": num_classes,
            "w_dim": w_dim,
            "resolution": resolution,
            "img_channels": img_channels,
            "mapping_layers": mapping_layers,
            "channel_base": channel_base,
            "channel_max": channel_max,
            "architecture": architecture,
            "conv_clamp": conv_clamp,
            "resample_filter": list(resample_filter),
            "use_noise": use_noise,
        }
        self.z_dim, self.num_classes, self.w_dim = z_dim, num_classes, w_dim
        self.resolution, self.img_channels = resolution, img_channels
        self.class_names = tuple(class_names) if class_names is not None else None
        self.synthesis = SynthesisNetwork(
            w_dim,
            resolution,
            img_channels,
            channel_base,
            channel_max,
            architecture,
            conv_clamp,
            resample_filter,
            use_noise,
        )
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, num_classes, w_dim, self.num_ws, mapping_layers)

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """Height and width of each noise map."""
        return self.synthesis.noise_shapes

    def set_compute(self, dtype: torch.dtype | None = None, fused: bool | None = None) -> None:
        """Precision and form of the 3x3 convolutions, for calls that name no type.

        Args:
            dtype: type of the convolutions (``torch.bfloat16``); None = that of the latents. Styles,
                demodulation, noise, non-linearities and pictures keep the latents' type.
            fused: fold the up-sampling filter into the convolution (see
                :class:`.convolution.DenseConv`); None = where ``dtype`` is a half type and the device
                has matrix units for it.
        """
        for layer in self.synthesis.convolutions:
            layer.compute_dtype = dtype
            pays = dtype is not None and has_matrix_units(layer.weight.device)
            layer.fused = pays if fused is None else fused

    def prepare(self, dtype: torch.dtype | None = None) -> None:
        """Make what follows from frozen weights alone, so that a graph takes it for a constant.

        Args:
            dtype: type of the calls that will be made; None = the layers' own.
        """
        self.mapping.kept_shifts()
        self.synthesis.prepare(dtype)

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        noise: NoiseMaps | Literal["const"] | None = None,
        slack: Sequence[Tensor | None] | None = None,
        truncation: float = 1.0,
    ) -> Tensor:
        """(N, z_dim) and labels (N,) to pictures (N, C, H, W); see the two networks' ``forward``."""
        return self.synthesis(self.mapping.distinct(z, labels, truncation), noise, slack)
