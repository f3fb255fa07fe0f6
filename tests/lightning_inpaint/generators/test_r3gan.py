"""R3GAN: its arithmetic by plain operations, and its authors' pickles, written with stand-ins."""

import pickle
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_inpaint import LatentInpainter
from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import convert, load_generator
from lightning_inpaint.generators.checkpoints.r3gan import build_r3gan
from lightning_inpaint.generators.r3gan import R3GANGenerator

CONFIG = {"widths": [8, 8, 4], "expanded": [16, 16, 8], "groups": [4, 4, 2], "blocks": [2, 1, 1]}


def network(classes: int = 0) -> R3GANGenerator:
    torch.manual_seed(0)
    g = R3GANGenerator(6, classes, 3 if classes else 0, **CONFIG)
    for p in g.parameters():
        nn.init.normal_(p, 0, 0.3)
    return g.eval().requires_grad_(False)


def stand_in(monkeypatch, module, name, **children):
    """An instance of a class of theirs, with children."""
    for name_of in (module.partition(".")[0], module):
        holder = sys.modules.get(name_of) or types.ModuleType(name_of)
        monkeypatch.setitem(sys.modules, name_of, holder)
    if not hasattr(holder, name):
        setattr(holder, name, type(name, (nn.Module,), {"__module__": module}))
    made = getattr(holder, name)()
    for key, value in children.items():
        setattr(made, key, value)
    return made


def theirs(g, monkeypatch):
    """The native network as their classes hold it."""

    def make(name, module="R3GAN.Networks", **children):
        return stand_in(monkeypatch, module, name, **children)

    stages = []
    for s, stage in enumerate(g.stages):
        if s == 0:
            first = make(
                "GenerativeBasis", Basis=nn.Parameter(stage.basis), LinearLayer=stage.linear
            )
        else:
            kernel = stage.kernel / stage.kernel.sum()
            filtered = make("InterpolativeUpsamplerCUDA", "R3GAN.Resamplers")
            filtered.register_buffer("Kernel", kernel)
            first = make("UpsampleLayer", Resampler=filtered)
            if isinstance(stage.project, nn.Conv2d):
                first.LinearLayer = make("Convolution", Layer=stage.project)
        layers = [first]
        for b in stage.blocks:
            biases = [
                make("BiasedActivationCUDA", "R3GAN.FusedOperators", Bias=nn.Parameter(x.flatten()))
                for x in (b.bias1, b.bias2)
            ]
            convs = [make("Convolution", Layer=c) for c in (b.conv1, b.conv2, b.conv3)]
            names = {f"LinearLayer{i + 1}": c for i, c in enumerate(convs)}
            names |= {f"NonLinearity{i + 1}": c for i, c in enumerate(biases)}
            layers.append(make("ResidualBlock", **names))
        kind = torch.bfloat16 if s else torch.float32
        stages.append(make("GeneratorStage", Layers=nn.ModuleList(layers), DataType=kind))
    inner = make(
        "Generator",
        MainLayers=nn.ModuleList(stages),
        AggregationLayer=make("Convolution", Layer=g.to_rgb),
    )
    if g.num_classes:
        inner.EmbeddingLayer = g.embed
    numbers = {"z_dim": g.z_dim, "c_dim": g.num_classes, "img_resolution": g.resolution}
    return make("Generator", "training.networks", Model=inner, **numbers)


def snapshot(g, monkeypatch, **more):
    with monkeypatch.context() as patch:
        whole = theirs(g, patch)
        optimizer = torch.optim.Adam(whole.parameters())
        content = {"G": whole, "D": None, "G_ema": whole, "cur_nimg": 5}
        return pickle.dumps({**content, "G_opt_state": optimizer.state_dict(), **more})


@pytest.mark.parametrize("classes", [0, 3])
def test_the_arithmetic(classes):
    g = network(classes).double()
    z, labels = torch.randn(2, 6, dtype=torch.float64), torch.tensor([0, 2]) if classes else None
    x = z
    if classes:
        x = torch.cat([z, F.one_hot(labels, classes).double() @ g.embed.weight.T], 1)
    x = (x @ g.stages[0].linear.weight.T)[:, :, None, None] * g.stages[0].basis
    for s, stage in enumerate(g.stages):
        if s:
            x = F.conv2d(x, stage.project.weight) if hasattr(stage.project, "weight") else x
            n, c, h, w = x.shape
            wide = x.new_zeros(n, c, 2 * h, 2 * w)
            wide[:, :, ::2, ::2] = x  # zeros between, then the filter 1, 3, 3, 1
            taps = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64)
            kernel = (torch.outer(taps, taps) / 16).expand(c, 1, 4, 4)
            x = F.conv2d(F.pad(wide, (2, 1, 2, 1)), kernel, groups=c)
        for b in stage.blocks:
            y = F.leaky_relu(F.conv2d(x, b.conv1.weight) + b.bias1, 0.2)
            y = F.conv2d(y, b.conv2.weight, padding=1, groups=CONFIG["groups"][s])
            x = x + F.conv2d(F.leaky_relu(y + b.bias2, 0.2), b.conv3.weight)
    torch.testing.assert_close(g(z, labels), F.conv2d(x, g.to_rgb.weight))


@pytest.mark.parametrize("classes", [0, 3])
def test_their_snapshots_are_read(classes, tmp_path, monkeypatch):
    g = network(classes)
    path = tmp_path / "network-snapshot-000.pkl"
    path.write_bytes(snapshot(g, monkeypatch))
    read = load_generator(path)
    assert (read.z_dim, read.num_classes, read.resolution) == (6, classes, 16)
    z, labels = torch.randn(3, 6), torch.tensor([0, 1, 2]) if classes else None
    torch.testing.assert_close(read(z, labels), g(z, labels), rtol=0, atol=0)
    small = convert(path, tmp_path / "small.safetensors")
    assert torch.equal(load_generator(small)(z, labels), g(z, labels))


def test_only_their_own_classes_are_admitted(tmp_path, monkeypatch):
    other = stand_in(monkeypatch, "R3GAN.Other", "Thing")
    (tmp_path / "g.pkl").write_bytes(snapshot(network(), monkeypatch, more=other))
    monkeypatch.delitem(sys.modules, "R3GAN.Other")
    with pytest.raises(UserError, match=r"asks for R3GAN\.Other\.Thing.*nothing of it was run"):
        load_generator(tmp_path / "g.pkl")


def test_contradictions_are_refused(tmp_path, monkeypatch):
    g = network()
    g.z_dim = 5
    (tmp_path / "g.pkl").write_bytes(snapshot(g, monkeypatch))
    with pytest.raises(UserError, match="its z_dim contradicts its tensors"):
        load_generator(tmp_path / "g.pkl")


@pytest.mark.parametrize(
    "change",
    [
        {"widths": [8] * 40},
        {"widths": []},
        {"groups": [3, 4, 2]},
        {"blocks": [2, 1]},
        {"expanded": [1 << 40, 16, 8]},
        {"z_dim": "6"},
        {"taps": [0, 0, 0, 0]},
        {"kernel_size": 4},
        {"class_names": ["a"]},
        {"unknown": 3},
    ],
)
def test_settings_that_make_no_sense_are_refused(change):
    g = network()
    with pytest.raises(UserError, match="its settings describe no R3GAN generator"):
        build_r3gan({**g.config, **change}, g.state_dict(), source="g.safetensors")


def test_it_completes_pictures():
    few = {"class_path": "map", "init_args": {"steps": 4}}  # no search: these weights are random
    model = LatentInpainter(network(3), chains=2, sampler=few)
    batch = {
        "image": torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        "mask": torch.zeros(1, 1, 16, 16),
    }
    assert model.predict_step(batch).raw.shape == (1, 2, 3, 16, 16)
