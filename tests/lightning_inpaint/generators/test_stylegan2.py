"""The native generator: cheap forms against the definitions they replace."""

import pytest
import torch
import torch.nn.functional as F

from lightning_inpaint.generators.convolution import DenseConv
from lightning_inpaint.generators.stylegan2 import ModulatedConv, StyleGAN2Generator
from lightning_inpaint.generators.upsampling import fir_kernel, upsample2x, upsample_matrix


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def zero_inserted(x):
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 3, 4)])
def test_upsampling_is_zero_insertion_and_convolution(taps):
    x, kernel = random(2, 3, 5, 5), fir_kernel(taps).double()
    padded = F.pad(zero_inserted(x), (2, 1, 2, 1))
    flipped = kernel.flip(0, 1).expand(3, 1, 4, 4)  # a convolution, not a correlation
    expected = F.conv2d(padded, flipped, groups=3)
    assert torch.allclose(upsample2x(x, kernel), expected, atol=1e-12)
    matrix = upsample_matrix(taps, 5)
    assert (matrix is None) == (taps == (1, 2, 3, 4))  # its product is not exact in float32
    assert torch.allclose(upsample2x(x, kernel, matrix), expected, atol=1e-12)


@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 3, 4)])
def test_folded_up_convolution_equals_the_two_passes(taps):
    x, weight, kernel = random(2, 3, 5, 5), random(4, 3, 3, 3, seed=1), fir_kernel(taps).double()
    two = DenseConv(weight, kernel, fused=False).convolve(x)
    one = DenseConv(weight, kernel, fused=True).convolve(x)
    assert two.shape == (2, 4, 10, 10)
    assert torch.allclose(one, two, atol=1e-12)


def test_cheap_demodulation_is_per_sample_weight_demodulation():
    """Equation 3 of arXiv:1912.04958, with grouped weights for each sample."""
    torch.manual_seed(0)
    layer = ModulatedConv(3, 4, 5, 6, up=False, use_noise=True, conv_clamp=None).double()
    x, w, noise = random(2, 3, 6, 6), random(2, 5, seed=1), random(2, 1, 6, 6, seed=2)
    layer.noise_strength.data.fill_(0.3)
    style = layer.affine(w)
    expected = []
    for n in range(2):
        weight = layer.weight * style[n].view(1, 3, 1, 1)
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        y = F.conv2d(x[n : n + 1], weight, padding=1) + noise[n : n + 1] * 0.3
        expected.append(F.leaky_relu(y, 0.2) * 2**0.5)
    made = layer(x, style, fir_kernel((1, 3, 3, 1)).double(), noise)
    assert torch.allclose(made, torch.cat(expected), atol=1e-10)


@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
def test_forms_of_the_network_agree(architecture):
    torch.manual_seed(0)
    network = StyleGAN2Generator(
        6, 0, 6, 16, channel_base=64, channel_max=8, architecture=architecture
    ).eval()
    z = torch.randn(2, 6)
    plain = network(z, None, "const")
    network.set_compute(None, fused=True)
    assert torch.allclose(network(z, None, "const"), plain, atol=1e-5)
    network.to(memory_format=torch.channels_last)
    assert torch.allclose(network(z, None, "const"), plain, atol=1e-5)
    network.set_compute(torch.bfloat16)
    error = (network(z, None, "const") - plain).square().mean() / plain.square().mean()
    assert 0 < error < 1e-3  # 30 dB at least, and the option does something


def test_truncation_moves_towards_the_average():
    torch.manual_seed(0)
    network = StyleGAN2Generator(6, 2, 6, 8, channel_base=64, channel_max=8)
    network.mapping.w_avg.normal_()
    z, labels = torch.randn(2, 6), torch.tensor([0, 1])
    ws = network.mapping(z, labels)
    half = network.mapping(z, labels, truncation=0.5)
    assert torch.allclose(half, (ws + network.mapping.w_avg) / 2, atol=1e-6)


def test_noise_and_class_reach_the_picture():
    torch.manual_seed(0)
    network = StyleGAN2Generator(6, 2, 6, 8, channel_base=64, channel_max=8)
    for layer in network.synthesis.convolutions:
        layer.noise_strength.data.fill_(0.1)
    z = torch.randn(1, 6)
    one = network(z, torch.tensor([0]))
    assert not torch.allclose(one, network(z, torch.tensor([1])))
    assert not torch.allclose(one, network(z, torch.tensor([0]), "const"))
    with pytest.raises(ValueError, match="labels are needed"):
        network(z)


def test_resolutions_are_powers_of_two():
    with pytest.raises(ValueError, match="power of two"):
        StyleGAN2Generator(resolution=48)
