"""A layer whose weights are frozen takes a shorter way to the same numbers and gradients."""

import copy

import pytest
import torch

from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

CHANNELS = {"channel_base": 64, "channel_max": 8}


def network(architecture="skip", **options):
    torch.manual_seed(0)
    made = StyleGAN2Generator(6, 2, 6, 16, architecture=architecture, **CHANNELS, **options)
    with torch.no_grad():
        for name, value in made.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                value.add_(torch.randn_like(value) * 0.2)
    return made.double().eval()


def inputs(made, n=3):
    random = torch.Generator().manual_seed(1)

    def normal(*shape):
        x = torch.randn(*shape, generator=random, dtype=torch.float64)
        return x.requires_grad_(True)

    ws = normal(n, made.num_ws, 6)
    noise = [normal(n, 1, *s) for s in made.noise_shapes]
    slack = [normal(n, b.out_channels, b.resolution, b.resolution) for b in made.synthesis.blocks]
    return ws, noise, slack


def gradients(made, ws, noise, slack):
    pictures = made.synthesis(ws, noise, slack)
    weight = torch.linspace(-1, 1, pictures.numel(), dtype=pictures.dtype).view_as(pictures)
    energy = (pictures * weight).square().sum()
    return [pictures, *torch.autograd.grad(energy, [ws, *noise, *slack])]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("architecture", "clamp"), [("skip", None), ("orig", 0.7), ("resnet", None)]
)
def test_frozen_equals_trainable(architecture, clamp, last, fused):
    trainable = network(architecture, conv_clamp=clamp)
    frozen = copy.deepcopy(trainable).requires_grad_(False)
    if last:
        frozen = frozen.to(memory_format=torch.channels_last)
    frozen.set_compute(None, fused=fused)
    arguments = inputs(trainable)
    for one, other in zip(
        gradients(frozen, *arguments), gradients(trainable, *arguments), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


def test_frozen_equals_trainable_with_one_channel():
    trainable = StyleGAN2Generator(6, 2, 6, 8, channel_base=8, channel_max=2).double().eval()
    for layer in trainable.synthesis.convolutions:
        layer.noise_strength.data.fill_(0.3)
    frozen = copy.deepcopy(trainable).requires_grad_(False)
    arguments = inputs(trainable)
    for one, other in zip(
        gradients(frozen, *arguments), gradients(trainable, *arguments), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


def test_latents_of_another_width_are_refused():
    with pytest.raises(RuntimeError, match="shape"):
        network()(torch.randn(2, 5, dtype=torch.float64), torch.tensor([0, 1]))


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_are_those_of_differences(fused):
    made = network(resample_filter=(1, 2, 3, 4), conv_clamp=256).requires_grad_(False)
    made.set_compute(None, fused=fused)
    ws, noise, slack = inputs(made, n=1)
    assert torch.autograd.gradcheck(
        lambda w, *maps: made.synthesis(w, maps, slack)[..., ::5, ::5],
        [ws, *noise],
        fast_mode=True,
    )


def test_changed_weights_are_seen():
    made = network().requires_grad_(False)
    ws = inputs(made)[0].detach()
    before = made.synthesis(ws)
    for change in ("in place", "averaged", "loaded", "replaced", "type"):
        if change == "in place":
            made.synthesis.b8.conv0.weight.mul_(torch.linspace(0.5, 2, 9).view(3, 3))
            made.synthesis.b4.const.mul_(torch.linspace(0.5, 2, 4))
        elif change == "averaged":
            weights = [made.synthesis.b8.conv0.weight, made.synthesis.b16.conv1.bias]
            torch._foreach_lerp_(weights, [torch.ones_like(w) for w in weights], 0.5)
        elif change == "loaded":
            state = made.state_dict()
            state["synthesis.b16.conv1.bias"] = state["synthesis.b16.conv1.bias"] + 1
            made.load_state_dict(state)
        elif change == "replaced":
            weight = made.synthesis.b8.conv1.weight
            made.synthesis.b8.conv1.weight = torch.nn.Parameter(weight.flip(2), False)
        else:
            made = made.float()
            ws, before = ws.float(), before.float()
        after = made.synthesis(ws)
        fresh = copy.deepcopy(made).requires_grad_(True).synthesis(ws).detach()
        assert torch.allclose(after, fresh, atol=1e-4 if change == "type" else 1e-10)
        assert change == "type" or not torch.allclose(after, before, atol=1e-3)
        before = after


def picture_and_gradient(made, z, labels, per_layer, truncation=1.0):
    """With styles made by each layer's own product, or as frozen layers that share w make them."""
    leaf = z.clone().requires_grad_(True)
    ws = made.mapping.distinct(leaf, labels, truncation)
    picture = made.synthesis(ws.expand(-1, made.num_ws, -1) if per_layer else ws, "const")
    weight = torch.linspace(-1, 1, picture.numel(), dtype=picture.dtype).view_as(picture)
    return picture, torch.autograd.grad((picture * weight).square().sum(), leaf)[0]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
def test_one_product_makes_the_styles_of_all_layers(architecture, recompute):
    made = network(architecture).requires_grad_(False)
    made.synthesis.recompute = recompute
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels, seen = torch.tensor([0, 1, 1]), []
    for change in ("", "loaded", "copied", "replaced", "truncated"):
        if change == "loaded":
            state = {k: v * 1.1 if "affine" in k else v for k, v in made.state_dict().items()}
            state["mapping.embed.weight"] = state["mapping.embed.weight"].flip(1)
            made.load_state_dict(state)
        elif change == "copied":
            made = copy.deepcopy(made)
            made.synthesis.b8.conv1.affine.weight.mul_(torch.linspace(0.5, 2, 6))
        elif change == "replaced":
            bias = made.synthesis.b16.torgb.affine.bias
            made.synthesis.b16.torgb.affine.bias = torch.nn.Parameter(bias + 1, False)
            made.mapping.fc0.weight.mul_(torch.linspace(0.5, 2, 12))
        truncation = 0.5 if change == "truncated" else 1.0
        trainable = copy.deepcopy(made).requires_grad_(True)
        joint = picture_and_gradient(made, z, labels, False, truncation)
        for other, per_layer in ((made, True), (trainable, True), (trainable, False)):
            expected = picture_and_gradient(other, z, labels, per_layer, truncation)
            for one, two in zip(joint, expected, strict=True):
                assert torch.allclose(one, two, rtol=1e-10, atol=1e-10)
        assert not any(torch.allclose(joint[0], before, atol=1e-3) for before in seen)
        seen.append(joint[0])


def test_frozen_weights_in_inference_mode_and_after():
    made = network().requires_grad_(False)
    ws = inputs(made)[0]
    with torch.inference_mode():
        first = made.synthesis(ws)
    (grad,) = torch.autograd.grad(made.synthesis(ws).sum(), ws)
    assert torch.equal(first, made.synthesis(ws))
    assert bool(grad.isfinite().all())
