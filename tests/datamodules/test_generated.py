"""A generator's own samples, masked."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import lightning_inpaint.generators as generators
from lightning_inpaint.datamodules import GeneratedMasks
from lightning_inpaint.errors import UserError
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator


class Stub(nn.Module):
    """Any generator: noise of its own comes from the global stream."""

    z_dim, resolution, img_channels, class_names = 4, 16, 3, None

    def __init__(self, num_classes=10):
        super().__init__()
        self.num_classes = num_classes

    def forward(self, z, labels=None):
        assert (labels is None) == (self.num_classes == 0)
        noise = torch.randn(len(z), 3, 16, 16)
        return (z.mean(1)[:, None, None, None] + noise).tanh()


@pytest.fixture(params=["stub", "stylegan2"])
def network(request, monkeypatch):
    torch.manual_seed(0)
    if request.param == "stub":
        net = Stub()
    else:
        options = {"channel_base": 256, "channel_max": 16, "mapping_layers": 2}
        net = StyleGAN2Generator(16, 10, 16, 16, 3, **options)
        for layer in net.synthesis.convolutions:
            nn.init.ones_(layer.noise_strength)
    monkeypatch.setattr(generators, "load_generator", lambda name, **_: net.eval())
    return net


def batches(**options):
    data = GeneratedMasks(**options)
    data.setup("predict")
    return list(data.predict_dataloader())


def pictures(**options):
    return torch.cat([batch["image"] for batch in batches(**options)])


def test_the_default_is_the_seeds_experiment(network):
    (batch,) = batches()
    assert batch["image"].shape == (8, 3, 16, 16)
    assert batch["image"].dtype == torch.uint8
    assert batch["label"].tolist() == [8] * 8
    assert batch["mask"].shape == (8, 1, 16, 16)
    assert batch["mask"][..., :8].max() == 0  # known
    assert batch["mask"][..., 8:].min() == 1  # to be filled
    assert batch["source"] == [None] * 8
    assert len(set(batch["id"])) == 8


def test_pictures_depend_on_seed_and_id_alone(network):
    eight = pictures()
    torch.manual_seed(99)
    assert torch.equal(pictures(batch_size=3), eight)
    assert torch.equal(pictures(num=2), eight[:2])
    assert torch.equal(pictures(limit=5), eight[:5])
    assert not torch.equal(pictures(seed=1), eight)
    assert all(not torch.equal(eight[0], other) for other in eight[1:])


def test_making_pictures_leaves_the_global_stream_alone(network):
    data = GeneratedMasks()
    data.setup()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    data.sample(0)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("label", "labels"),
    [(3, [3, 3, 3]), ("ship", [8, 8, 8]), ([1, "cat"], [1, 3, 1]), (None, [0, 1, 2])],
)
def test_labels(network, label, labels):
    names = ["airplane", "automobile", "bird", "cat", "deer"]
    names += ["dog", "frog", "horse", "ship", "truck"]
    network.class_names = tuple(names)
    (batch,) = batches(num=3, label=label)
    assert batch["label"].tolist() == labels


@pytest.mark.parametrize("label", [10, -2, -1, "sheep", []])
def test_wrong_labels_get_one_sentence(network, label):
    with pytest.raises(UserError, match="`label`"):
        batches(label=label)


def test_unconditional_generator(monkeypatch):
    monkeypatch.setattr(generators, "load_generator", lambda name, **_: Stub(num_classes=0))
    (batch,) = batches(num=2)
    assert batch["label"].tolist() == [-1, -1]


def test_pictures_span_the_8_bit_range(monkeypatch):
    net = Stub()
    net.forward = lambda z, labels=None: torch.linspace(-1.5, 1.5, 768).view(1, 3, 16, 16)
    monkeypatch.setattr(generators, "load_generator", lambda name, **_: net)
    image = pictures(num=1)
    assert image.min() == 0
    assert image.max() == 255


@pytest.mark.parametrize(
    "option", [{"num": 0}, {"batch_size": 0}, {"limit": 0}, {"num_workers": -1}]
)
def test_wrong_numbers_get_one_sentence(option):
    with pytest.raises(UserError, match=f"`{next(iter(option))}`"):
        GeneratedMasks(**option)


def test_fewer_pictures_than_devices(network):
    data = GeneratedMasks(num=3)
    data.setup()
    data.trainer = SimpleNamespace(world_size=4, global_rank=0)
    with pytest.raises(UserError, match="3 pictures cannot be shared by 4 devices"):
        data.predict_dataloader()
