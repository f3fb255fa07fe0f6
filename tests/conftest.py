"""Fixtures for all tests: small generators, and the environment put back after each test."""

import os

import pytest
import torch

from lightning_inpaint.errors import speak_of_flags
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from tests import features

# Pictures are small here: a second thread gains little, and beside another busy process it costs much.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def names_of_arguments():
    """The command line, which runs in this process too, makes notices name flags."""
    yield
    speak_of_flags(False)


@pytest.fixture(autouse=True)
def restored_environment():
    """Lightning's launchers write to os.environ; leave no trace of it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def tiny_generator() -> StyleGAN2Generator:
    """An untrained 8x8 generator of three classes with audible noise inputs."""
    torch.manual_seed(0)
    generator = StyleGAN2Generator(
        z_dim=8,
        num_classes=3,
        w_dim=8,
        resolution=8,
        mapping_layers=2,
        channel_base=64,
        channel_max=8,
        class_names=("ant", "bee", "cow"),
    )
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.1)
    return generator.eval().requires_grad_(False)


@pytest.fixture
def tiny_features(monkeypatch, tmp_path):
    """``--model.features efficientnet_lite0`` finds a tiny random network."""
    features.install(monkeypatch, tmp_path)
