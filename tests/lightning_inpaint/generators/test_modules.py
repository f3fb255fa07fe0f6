"""A user's own networks: found, understood, wrapped."""

import my_networks
import pytest
import torch
from safetensors.torch import save_file

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DCGAN", (10, 0, 16, 3)),
        ("make_dcgan", (7, 0, 16, 3)),
        ("Dense", (6, 0, 8, 1)),
        ("Conditional", (5, 3, 4, 3)),
        ("OneHot", (5, 3, 4, 1)),
    ],
)
@pytest.mark.parametrize("separator", [":", "."])
def test_sizes_are_found_out(name, expected, separator):
    g = load_generator(f"my_networks{separator}{name}")
    assert (g.z_dim, g.num_classes, g.resolution, g.img_channels) == expected
    labels = torch.zeros(3, dtype=torch.long) if g.num_classes else None
    assert g(torch.randn(3, g.z_dim), labels).shape == (
        3,
        g.img_channels,
        g.resolution,
        g.resolution,
    )


def test_batch_norm_is_frozen():
    g = load_generator("my_networks:DCGAN", width=2)
    before = g.module.main[1].running_mean.clone()
    z = torch.randn(4, 10)
    together = g(z)
    assert torch.equal(before, g.module.main[1].running_mean)
    torch.testing.assert_close(g(z[:1]), together[:1])
    assert not any(p.requires_grad for p in g.parameters())


def test_gradients_reach_the_latents():
    g = load_generator("my_networks:DCGAN")
    z = torch.randn(2, 10, requires_grad=True)
    g(z).square().sum().backward()
    assert z.grad.abs().min() > 0


def test_a_sigmoid_output_is_moved_to_the_common_range():
    g = load_generator("my_networks:Dense")
    z = torch.randn(3, 6)
    torch.testing.assert_close(g(z), 2 * g.module(z) - 1)


def test_class_names_and_indices():
    g = load_generator("my_networks:Conditional")
    assert g.class_names == ("ant", "bee", "cow")
    z = torch.randn(1, 5).expand(3, -1)
    pictures = g(z, torch.tensor([0, 1, 1]))
    assert torch.equal(pictures[1], pictures[2])
    assert not torch.equal(pictures[0], pictures[1])


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_weights_from_a_file(tmp_path, ending):
    trained = my_networks.DCGAN()
    path = tmp_path / f"weights.{ending}"
    if ending == "pt":
        torch.save({"state_dict": trained.state_dict(), "epoch": 3}, path)
    else:
        save_file(trained.state_dict(), path)
    g = load_generator(f"my_networks:DCGAN@{path}")
    z = torch.randn(2, 10)
    torch.testing.assert_close(g(z), trained.eval()(z[:, :, None, None]))


def test_weights_that_do_not_fit(tmp_path):
    torch.save(my_networks.Dense().state_dict(), tmp_path / "dense.pt")
    with pytest.raises(UserError, match=r"dense\.pt: it does not fit my_networks:DCGAN"):
        load_generator(f"my_networks:DCGAN@{tmp_path / 'dense.pt'}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("my_networks:NotPictures", "gives no square pictures"),
        ("my_networks:not_a_module", "it makes a int, not a torch.nn.Module"),
        ("torch.nn:Tanh", "size of its latents is unknown"),
        ("torch.nn:Linear", "needs the arguments in_features and out_features"),
    ],
)
def test_mistakes_are_explained(text, sentence):
    with pytest.raises(UserError, match=sentence):
        load_generator(text)


def test_a_module_with_the_interface_is_not_wrapped():
    g = load_generator(
        "lightning_inpaint.generators.stylegan2:StyleGAN2Generator",
        z_dim=4,
        w_dim=4,
        resolution=8,
        channel_base=32,
        channel_max=4,
    )
    assert type(g).__name__ == "StyleGAN2Generator"
    assert not g.training
