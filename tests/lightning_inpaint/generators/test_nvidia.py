"""NVIDIA's snapshots: read exactly, and without running the code inside."""

import io
import sys

import hostile_files
import pytest
import torch
import wire

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator


def network(**settings) -> StyleGAN2Generator:
    torch.manual_seed(1)
    config = {"z_dim": 12, "w_dim": 8, "resolution": 16, "mapping_layers": 2}
    generator = StyleGAN2Generator(**config | {"channel_base": 96, "channel_max": 10} | settings)
    for value in generator.state_dict().values():
        value.add_(torch.randn_like(value) * 0.1)
    return generator.eval().requires_grad_(False)


def same_output(a: StyleGAN2Generator, b: StyleGAN2Generator) -> bool:
    z = torch.randn(
        3, a.z_dim, generator=torch.Generator().manual_seed(2), dtype=a.mapping.w_avg.dtype
    )
    labels = torch.tensor([0, 1, 0]) if a.num_classes else None
    return torch.equal(a(z, labels, "const", None, 0.7), b(z, labels, "const", None, 0.7))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_gives_the_same_network(tmp_path, protocol):
    original = network(num_classes=2)
    (tmp_path / "snapshot.pkl").write_bytes(wire.snapshot(original, protocol=protocol))
    assert same_output(load_generator(tmp_path / "snapshot.pkl"), original)


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "orig"},
        {"architecture": "resnet", "conv_clamp": 256.0},
        {"mapping_layers": 8, "num_classes": 5},
        {"resolution": 64, "channel_base": 200, "channel_max": 7},
        {"resolution": 4},
        {"img_channels": 1, "use_noise": False},
        {"resample_filter": [1, 2, 3, 1]},
    ],
    ids=lambda s: ",".join(map(str, s)),
)
def test_the_network_is_described_by_attributes_and_shapes_alone(tmp_path, settings):
    original = network(**settings)
    (tmp_path / "snapshot.pkl").write_bytes(wire.snapshot(original))
    loaded = load_generator(tmp_path / "snapshot.pkl")
    assert same_output(loaded, original)
    kept = (
        "architecture",
        "conv_clamp",
        "mapping_layers",
        "resolution",
        "img_channels",
        "use_noise",
    )
    assert [loaded.config[k] for k in kept] == [original.config[k] for k in kept]


def test_source_code_inside_is_never_executed(tmp_path):
    mark = tmp_path / "mark"
    source = f"open({str(mark)!r}, 'w').write('executed')\nclass Generator: pass\n"
    (tmp_path / "snapshot.pkl").write_bytes(wire.snapshot(network(), source=source))
    modules = set(sys.modules)
    load_generator(tmp_path / "snapshot.pkl")
    assert not mark.exists()
    assert not {m for m in set(sys.modules) - modules if "torch_utils" in m or "imported" in m}


def test_weights_choose_the_trained_or_the_averaged_network(tmp_path):
    original = network()
    (tmp_path / "snapshot.pkl").write_bytes(wire.snapshot(original))
    trained = load_generator(tmp_path / "snapshot.pkl", weights="G")
    assert torch.equal(trained.synthesis.b4.const, 2 * original.synthesis.b4.const)


def test_a_double_precision_network_stays_so(tmp_path):
    original = network().double()
    (tmp_path / "snapshot.pkl").write_bytes(wire.dump({"G_ema": wire.recorded(original)}))
    assert same_output(load_generator(tmp_path / "snapshot.pkl"), original)


def test_a_network_saved_from_a_gpu_is_read_on_a_machine_without(tmp_path):
    stream = io.BytesIO()
    storage = torch.arange(64.0).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    torch.save(typed, stream, _use_new_zipfile_serialization=False)
    inner = stream.getvalue().replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")
    assert b"cuda:0" in inner
    (tmp_path / "snapshot.pkl").write_bytes(hostile_files.with_storage(inner))
    const = load_generator(tmp_path / "snapshot.pkl").synthesis.b4.const
    assert torch.equal(const.flatten(), torch.arange(64.0))


def test_result_is_frozen_and_in_eval_mode(tmp_path):
    (tmp_path / "snapshot.pkl").write_bytes(wire.snapshot(network()))
    loaded = load_generator(tmp_path / "snapshot.pkl")
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


def test_missing_weights_are_named(tmp_path):
    (tmp_path / "snapshot.pkl").write_bytes(wire.dump({"G_ema": wire.recorded(network())}))
    with pytest.raises(UserError, match=r"snapshot\.pkl: it holds no G;"):
        load_generator(tmp_path / "snapshot.pkl", weights="G")


def test_stylegan3_is_recognised(tmp_path):
    record = wire.recorded(network())
    del record.meta["state"]["_modules"]["synthesis"].meta["state"]["_modules"]["b4"]
    (tmp_path / "stylegan3.pkl").write_bytes(wire.dump({"G_ema": record}))
    with pytest.raises(UserError, match="StyleGAN3"):
        load_generator(tmp_path / "stylegan3.pkl")
