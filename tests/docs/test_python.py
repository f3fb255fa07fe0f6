"""Every line of Python of docs/python.md is executed as printed; the preset it names has few steps here, and
the bundled generator few channels."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lightning_inpaint
from lightning_inpaint import configs
from lightning_inpaint.generators import CIFAR10_CLASSES, registry, save_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_page_runs_word_for_word(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = (configs.preset_path("fast").read_text()).replace("steps: 60", "steps: 10")
    Path("short.yaml").write_text(short)
    monkeypatch.setattr(configs, "preset_path", {"fast": Path("short.yaml")}.get)
    network = StyleGAN2Generator(
        **{"z_dim": 8, "w_dim": 8, "resolution": 32, "mapping_layers": 1},
        **{"num_classes": 10, "class_names": CIFAR10_CLASSES},
        **{"channel_base": 128, "channel_max": 16},
    )
    save_generator(network, Path("bundled/cifar10.safetensors"), "float32")
    monkeypatch.setattr(registry, "BUNDLED", Path("bundled").absolute())
    picture = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    mask = np.zeros((24, 32), np.uint8)
    mask[8:16, 8:16] = 255
    Image.fromarray(picture).save("my_photo.png")
    Image.fromarray(mask).save("my_mask.png")
    names = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)):
        exec(compile(block, f"python.md, block {number + 1}", "exec"), names)
    completed = np.asarray(Image.open("completed.png"))
    np.testing.assert_array_equal(completed[mask == 0], picture[mask == 0])
    assert len(list(Path("completions").iterdir())) == 6
    assert "10 10" in capsys.readouterr().out


def test_the_page_names_every_field_of_the_state():
    for field in lightning_inpaint.SamplerState._fields:
        assert f"`{field}`" in PAGE
