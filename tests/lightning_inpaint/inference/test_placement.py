"""Every sampler's walk on a pretended device: nothing lies on the wrong one, and no step waits for it."""

import pytest
import torch

from lightning_inpaint.inference.walk import walk
from lightning_inpaint.optim import SAMPLERS
from tests.lightning_inpaint.inference.test_devices import posterior_on
from tests.lightning_inpaint.inference.test_fast_paths import small
from tests.pretend import THERE, PretendedDevice

OPTIONS = {
    "diffusion": {"steps": 3, "num_samples": 2},
    "langevin": {"steps": 4},
    "mala": {"steps": 6, "probes": 1},
    "hmc": {"steps": 6, "leapfrog": 2, "probes": 1},
    "map": {"steps": 4},
    "annealed_hmc": {"steps": 10, "warm_up": 4, "leapfrog": 2},
    "particles": {"steps": 3, "measures": 1},
    "search": {
        **{"steps": 10, "screen": 4, "descent": 2, "newton": 1},
        **{"trajectories": 2, "rounds": 1, "leapfrog": 1, "jumps": 2},
    },
    "slice": {"steps": 3, "shrinks": 3},
    "plugin": {"steps": 4},
}
# It asks the device which chains go on trying, and its secants make much of rounding.
ASKING = {"search"}


class Watched:
    """A sampler whose waits are counted, those of its steps alone."""

    def __init__(self, name, device):
        self.name, self.device, self.waits = name, device, []

    def __call__(self, u, seated):
        made = SAMPLERS[self.name]([seated.group(u, 2)], **OPTIONS[self.name])
        step = made.step

        def counted(closure):
            before = len(self.device.waits)
            energy = step(closure)
            self.waits += self.device.waits[before:]
            return energy

        made.step = counted
        return made


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_stay_on_the_device_and_never_wait_for_it(name):
    walks = []
    with PretendedDevice() as pretended:
        for device in (torch.device("cpu"), THERE):
            generator = small().requires_grad_(False)
            posterior, _ = posterior_on(device, generator, noise="const")
            sampler = Watched(name, pretended)
            walks.append(walk(posterior, sampler, together=2))
        wanted, found = walks
        assert found.latents.is_cuda
        assert found.energy.is_cuda
        assert not wanted.latents.is_cuda
    assert found.finite.all()
    if name in ASKING:
        return
    assert not sampler.waits
    torch.testing.assert_close(found.latents, wanted.latents, rtol=1e-3, atol=1e-3)


def test_the_pretended_device_notices_mistakes():
    with PretendedDevice() as pretended:
        x, y = torch.ones(3, device=THERE), torch.ones(3)
        with pytest.raises(RuntimeError, match="two devices"):
            x + y
        with pytest.raises(RuntimeError, match="two devices"):
            torch.where(x > 0, y, x)
        assert (2 * x[:2]).device == THERE
        assert x.cpu().device == y.device
        assert not pretended.waits[:-1]
        assert bool(x.sum() > 0)
        assert len(x.nonzero()) == 3
        assert pretended.waits == ["cpu", "__bool__", "nonzero"]
