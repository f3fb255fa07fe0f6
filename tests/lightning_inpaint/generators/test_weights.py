"""Weights as people save them: the part that fits is found, or what is there is said."""

import argparse
import collections
import pathlib
import pickle
import sys
import types

import my_networks
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator

Z = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))


def network(seed: int) -> my_networks.DCGAN:
    torch.manual_seed(seed)
    net = my_networks.DCGAN()
    net.main[1].running_mean.normal_()
    return net.eval()


def drawn(net: nn.Module) -> torch.Tensor:
    return net(Z[:, :, None, None])


def prefixed(state, prefix):
    return {prefix + k: v for k, v in state.items()}


TRAINED, OTHER = network(1), network(2)
STATE, WORSE = TRAINED.state_dict(), OTHER.state_dict()
D = nn.Sequential(nn.Conv2d(3, 4, 4), nn.Conv2d(4, 1, 4))
ADAM = torch.optim.Adam(TRAINED.parameters())
drawn(TRAINED).sum().backward()
ADAM.step()  # its state holds tensors of the same shapes
TRAINED.load_state_dict(network(1).state_dict())

FILES = {
    "alone": STATE,
    "netG_state_dict": {
        "netD_state_dict": D.state_dict(),
        "netG_state_dict": STATE,
        "optimizerG_state_dict": ADAM.state_dict(),
        "G_losses": [0.1] * 300_000,
        "epoch": 3,
    },
    "lightning": {
        "state_dict": {**prefixed(STATE, "generator."), **prefixed(D.state_dict(), "critic.")},
        "hyper_parameters": {"args": argparse.Namespace(nz=10), "path": pathlib.Path("x")},
        "pytorch-lightning_version": "2.1",
    },
    "averaged": {"G": WORSE, "G_ema": STATE, "D": D.state_dict()},
    "params_ema": {"params": WORSE, "params_ema": STATE},
    "nested": {"model": {"ema": {"netG": STATE}, "netG": WORSE}},
    "in a list": [D.state_dict(), STATE],
    "data parallel": prefixed(STATE, "module."),
    "compiled": {"g": prefixed(STATE, "_orig_mod.")},
    "wrapped twice": {"model": prefixed(STATE, "module.net._orig_mod.")},
    "torch's average": {**prefixed(STATE, "module."), "n_averaged": torch.tensor(3)},
    "ema_pytorch": {
        **prefixed(WORSE, "online_model."),
        **prefixed(STATE, "ema_model."),
        "initted": torch.tensor([True]),
        "step": torch.tensor([4]),
    },
    "one layer alone": TRAINED.main.state_dict(),
    "no counters": {k: v for k, v in STATE.items() if "num_batches" not in k},
    "half": {k: v.half() if v.is_floating_point() else v for k, v in STATE.items()},
    "whole module": TRAINED,
    "whole module inside": {"G": TRAINED, "opt": collections.defaultdict(list), "a": np.ones(3)},
    "default dict": {"g": collections.defaultdict(dict, STATE)},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", FILES)
def test_the_part_that_fits_is_found(name, legacy, tmp_path):
    path = tmp_path / "weights.any"
    torch.save(FILES[name], path, _use_new_zipfile_serialization=not legacy)
    g = load_generator(f"my_networks:DCGAN@{path}")
    tolerance = {"rtol": 0.01, "atol": 0.01} if name == "half" else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(g.module(Z[:, :, None, None]), drawn(TRAINED), **tolerance)


@pytest.mark.parametrize("ending", ["tar", "ckpt", "bin", "safetensors", "pkl"])
def test_any_ending_will_do(ending, tmp_path):
    path = tmp_path / f"w.{ending}"
    if ending == "safetensors":
        save_file(prefixed(STATE, "generator."), path)
    elif ending == "pkl":
        path.write_bytes(pickle.dumps({"G": STATE}, protocol=2))
    else:
        torch.save({"G": STATE}, path)
    g = load_generator(f"my_networks:DCGAN@{path}")
    assert torch.equal(g.module(Z[:, :, None, None]), drawn(TRAINED))


def test_state_of_old_optimizers_is_keyed_by_addresses(tmp_path):
    torch.save(
        {"G": STATE, "opt": {140_000_000_000_000: {"step": 3}, (1, 2): 3}}, tmp_path / "w.pt"
    )
    load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}")


@pytest.mark.parametrize(
    ("key", "expected"),
    [("A2B.net", TRAINED), ("A2B", TRAINED), ("B2A", OTHER), ("B2A.net", OTHER)],
)
def test_a_key_chooses(key, expected, tmp_path):
    torch.save({"A2B": {"net": STATE}, "B2A": {"net": WORSE}}, tmp_path / "w.pt")
    g = load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}#{key}")
    assert torch.equal(g.module(Z[:, :, None, None]), drawn(expected))


def test_a_key_may_be_a_prefix_of_names(tmp_path):
    torch.save({**prefixed(STATE, "g.a."), **prefixed(WORSE, "g.b.")}, tmp_path / "w.pt")
    g = load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}#g.b")
    assert torch.equal(g.module(Z[:, :, None, None]), drawn(OTHER))


def test_the_last_weights_instead_of_the_average(tmp_path):
    torch.save({"G": WORSE, "G_ema": STATE}, tmp_path / "w.pt")
    g = load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}", weights="G")
    assert torch.equal(g.module(Z[:, :, None, None]), drawn(OTHER))


def test_the_same_weights_under_two_keys_are_one(tmp_path):
    torch.save({"a": STATE, "b": STATE}, tmp_path / "w.pt")
    load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}")


def test_weights_are_looked_for_beside_the_class(tmp_path, monkeypatch):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "__init__.py").write_text("from my_networks import DCGAN\n")
    (tmp_path / "packed" / "net.py").write_text(
        "import my_networks\nclass G(my_networks.DCGAN): ...\n"
    )
    torch.save(STATE, tmp_path / "packed" / "w.tar")
    monkeypatch.syspath_prepend(str(tmp_path))
    load_generator("packed.net:G@w.tar")
    with pytest.raises(UserError, match=r"other\.tar: no such file here or in .*packed"):
        load_generator("packed.net:G@other.tar")


@pytest.mark.parametrize(
    ("content", "rest", "sentence"),
    [
        ({"A2B": STATE, "B2A": WORSE}, "", r"2 parts of it fit .*: 'A2B', 'B2A'; choose .* w\.pt#A2B"),
        ({"G": STATE, "epoch": 3}, "#g", r"nothing called 'g'; its keys are G \(13 tensors\), epoch"),
        ({"G": STATE, "D": D.state_dict()}, "#D", "it does not fit my_networks:DCGAN: its part 'D'"),
        ({"epoch": 3, "loss": [0.1]}, "", "holds no state dict .*; its keys are epoch, loss"),
        ({"G": my_networks.DCGAN(8).state_dict()}, "", "is 8x8x4x4 in the file and 10x8x4x4 in the network"),
        ({k: v for k, v in STATE.items() if k != "main.3.weight"}, "", "it lacks 'main.3.weight'"),
        ({**STATE, "embed.weight": torch.ones(3, 3)}, "", "1 tensor .'embed.weight'. that .* an encoder's"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_explained(content, rest, sentence, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError, match=sentence):
        load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}{rest}")


def test_a_whole_module_needs_no_class_to_be_read(tmp_path, monkeypatch):
    gone = types.ModuleType("gone_package")
    gone.Net = type("Net", (my_networks.DCGAN,), {"__module__": "gone_package"})
    monkeypatch.setitem(sys.modules, "gone_package", gone)
    net = gone.Net()
    net.load_state_dict(STATE)
    torch.save(net, tmp_path / "w.pt")
    monkeypatch.delitem(sys.modules, "gone_package")
    g = load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}")
    assert torch.equal(g.module(Z[:, :, None, None]), drawn(TRAINED))


class Exploit:
    def __init__(self, call, *args):
        self.call = call, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("call", [(exec, "x = 1"), (getattr, {}, "get"), (torch.load, "x")])
def test_code_in_a_weights_file_is_refused_by_name(call, tmp_path):
    torch.save({"G": STATE, "extra": Exploit(*call)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"asks for .*nothing of it was run"):
        load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_is_named(tmp_path):
    torch.jit.trace(TRAINED, Z[:, :, None, None]).save(str(tmp_path / "w.pt"))
    with pytest.raises(UserError, match="TorchScript"):
        load_generator(f"my_networks:DCGAN@{tmp_path / 'w.pt'}")
