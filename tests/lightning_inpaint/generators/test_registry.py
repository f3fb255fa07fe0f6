"""Names, addresses, paths and import paths to generators; listing and converting them."""

import functools
import http.server
import threading

import pytest
import torch
import wire
from safetensors import safe_open

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import convert, list_generators, load_generator, save_generator
from lightning_inpaint.generators.download import cached_path
from lightning_inpaint.generators.published import PUBLISHED
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_INPAINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def equal_weights(a, b) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_saved_and_loaded_bit_for_bit(tmp_path, tiny_generator):
    path = save_generator(tiny_generator, tmp_path / "new" / "net.safetensors")
    loaded = load_generator(path)
    assert equal_weights(tiny_generator, loaded)
    assert loaded.config == tiny_generator.config
    assert loaded.class_names == ("ant", "bee", "cow")
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert [p.name for p in path.parent.iterdir()] == ["net.safetensors"]
    (tmp_path / "ordinary").touch()
    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("dtype", ["float16", torch.float16])
def test_half_precision_on_disk_is_float32_in_memory(tmp_path, tiny_generator, dtype):
    loaded = load_generator(save_generator(tiny_generator, tmp_path / "net.safetensors", dtype))
    for name, value in tiny_generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float())


def test_values_that_float16_cannot_hold_are_refused(tmp_path, tiny_generator):
    tiny_generator.synthesis.b4.const.fill_(1e6)
    with pytest.raises(UserError, match=r"'synthesis\.b4\.const' is not finite in float16"):
        save_generator(tiny_generator, tmp_path / "net.safetensors", "float16")
    assert list(tmp_path.iterdir()) == []


def test_converted_file_is_small_and_names_its_form(tmp_path, tiny_generator):
    (tmp_path / "in.pkl").write_bytes(wire.snapshot(tiny_generator))
    convert(tmp_path / "in.pkl", tmp_path / "out.safetensors", "float16")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata()["format"] == "lightning-inpaint"
        assert file.get_tensor("synthesis.b4.const").dtype == torch.float16
    assert (tmp_path / "out.safetensors").stat().st_size < (tmp_path / "in.pkl").stat().st_size / 4


def test_convert_wants_its_own_ending(tmp_path):
    with pytest.raises(UserError, match=r"out\.pkl: .* must end in \.safetensors"):
        convert(tmp_path / "in.pkl", tmp_path / "out.pkl")


def test_file_address(tmp_path, tiny_generator):
    path = save_generator(tiny_generator, tmp_path / "a net.safetensors")
    assert equal_weights(tiny_generator, load_generator(path.as_uri()))


def test_http_address(tmp_path, tiny_generator):
    (tmp_path / "net.pkl").write_bytes(wire.snapshot(tiny_generator))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        loaded = load_generator(f"http://127.0.0.1:{server.server_port}/net.pkl")
    finally:
        server.shutdown()
        server.server_close()
    assert equal_weights(tiny_generator, loaded)


def test_published_names_come_from_the_cache_with_their_class_names(tmp_path):
    generator = StyleGAN2Generator(
        z_dim=4, num_classes=10, w_dim=4, resolution=8, channel_base=32, channel_max=4
    )
    path = cached_path(PUBLISHED["stylegan2-ada-cifar10"].url)
    path.parent.mkdir()
    path.write_bytes(wire.snapshot(generator))
    loaded = load_generator("stylegan2-ada-cifar10")
    assert equal_weights(generator, loaded)
    assert loaded.class_names[3] == "cat"


def test_table_lists_size_licence_and_what_is_cached():
    path = cached_path(PUBLISHED["stylegan2-ada-ffhq"].url)
    path.parent.mkdir()
    path.touch()
    table = {line.split()[0]: line for line in list_generators().splitlines()}
    assert set(PUBLISHED) < set(table)
    assert table["stylegan2-ada-ffhq"].split()[1:6] == ["1024", "0", "382", "MB", "cached"]
    assert "no" in table["stylegan2-ada-brecahad"].split()
    assert all("non-commercial" in table[name] for name in PUBLISHED)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cifar11", "no generator called 'cifar11': use one of .*stylegan2-ada-cifar10.*https"),
        ("missing/net.pkl", r"missing/net\.pkl: no such file"),
        ("net.pt", r"net\.pt: no such file"),
        (".", r"\.: .*folder"),
        ("file:///missing/net.pkl", "no such file"),
        ("http://example.org/net.pkl", "only https"),
        ("no_such_package.module:Net", "cannot be imported.*No module named 'no_such_package'"),
        ("torch.nn:NoSuchClass", "has no class or function 'NoSuchClass'"),
    ],
)
def test_mistakes_are_explained(name, sentence):
    with pytest.raises(UserError, match=sentence):
        load_generator(name)


def test_weights_are_named():
    with pytest.raises(UserError, match="weights must be G_ema or G, not 'g'"):
        load_generator("x.pkl", weights="g")


def test_settings_of_a_checkpoint_cannot_be_changed(tmp_path, tiny_generator):
    path = save_generator(tiny_generator, tmp_path / "net.safetensors")
    with pytest.raises(UserError, match="resolution cannot be set for a checkpoint"):
        load_generator(path, resolution=64)
