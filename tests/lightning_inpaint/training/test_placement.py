"""A training step on a pretended device: nothing lies on the wrong one."""

from types import SimpleNamespace

import pytest
import torch

from lightning_inpaint.training.draws import RowStream, StepDraws
from tests.lightning_inpaint.training.test_guidance import write_classifier
from tests.pretend import THERE, PretendedDevice

PROJECTED = {"features": "efficientnet_lite0", "resolution": 32, "channel_base": 64}


class Draws(StepDraws):
    """There is no generator of random numbers on a device that is not there."""

    def stream(self, purpose):
        made = RowStream(torch.Generator().manual_seed(purpose))
        made.device = self.device
        return made


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({"r1_interval": 1, "mismatch": 0.5}, set()),
        ({**PROJECTED, "mismatch": 0.5}, set()),
        # The numbers of rows of each class size the work, once a distance.
        ({**PROJECTED, "matching": 2.0, "feature_matching": 2.0}, {"tolist"}),
    ],
    ids=["pixels", "features", "matching"],
)
def test_a_step_stays_on_the_device(make, monkeypatch, tmp_path, tiny_features, options, waits):
    if "matching" in options:
        options = {**options, "guide": write_classifier(tmp_path / "guide.safetensors")}
    module, _ = make(**options)
    module._trainer = SimpleNamespace(
        world_size=1, strategy=SimpleNamespace(reduce=lambda x, **_: x)
    )
    monkeypatch.setattr(type(module), "log", lambda *args, **options: None)
    real = torch.rand(4, 3, module.hparams.resolution, module.hparams.resolution) * 2 - 1
    labels = torch.tensor([0, 1, 0, 1])
    losses = []
    for device in (torch.device("cpu"), THERE):
        with PretendedDevice() as pretended:
            module, shown, classes = module.to(device), real.to(device), labels.to(device)
            begun = len(pretended.waits)
            for _ in range(2):
                loss = module.joint_loss(Draws(0, 0, device), shown, classes)
                assert loss.device == device
                slopes = torch.autograd.grad(loss, module.learning, allow_unused=True)
                assert all(x is None or x.device == device for x in slopes)
            losses.append(loss.to("cpu"))
            waited = set(pretended.waits[begun:-1])
    assert waited == waits
    assert losses[0].isfinite()
