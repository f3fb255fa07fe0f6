"""While pictures are completed float32 is not rounded, and the caller's settings come back."""

import pytest
import torch

from lightning_inpaint import LatentInpainter
from lightning_inpaint.generators import save_generator
from lightning_inpaint.inference.float32 import whole_float32
from lightning_inpaint.optim import MAP


def settings():
    cudnn = torch.backends.cudnn
    return cudnn.allow_tf32, cudnn.deterministic, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def fast():
    """What a user may have asked for."""
    before = settings()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    cudnn.allow_tf32, cudnn.deterministic, matmul.allow_tf32 = True, False, True
    yield
    cudnn.allow_tf32, cudnn.deterministic, matmul.allow_tf32 = before


def test_settings_come_back_also_after_an_error(fast):
    def fails():
        with whole_float32():
            assert settings() == (False, True, False)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert settings() == (True, False, True)


def test_steps_of_a_prediction_are_within(fast, tiny_generator, tmp_path):
    path = str(save_generator(tiny_generator, tmp_path / "tiny.safetensors"))
    seen = []
    module = LatentInpainter(path, sampler=lambda params: MAP(params, steps=2))
    module.generator.register_forward_pre_hook(lambda *_: seen.append(settings()))
    for part in module.generator.modules():
        part.register_forward_hook(lambda *_: seen.append(settings()))
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    image = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    module.predict_step({"image": image, "mask": mask, "label": torch.tensor([1]), "id": ["a"]})
    assert set(seen) == {(False, True, False)}
    assert settings() == (True, False, True)
