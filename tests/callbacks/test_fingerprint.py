"""What a run's description holds."""

import inspect

import pytest

from lightning_inpaint import LatentInpainter
from lightning_inpaint.callbacks.fingerprint import describe_run
from lightning_inpaint.optim import SAMPLERS


class NoData:
    datamodule = None


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_option_of_every_sampler_is_recorded(name, tiny_generator):
    module = LatentInpainter(tiny_generator, sampler=SAMPLERS[name])
    settings = describe_run(NoData(), module)["settings"]
    options = set(inspect.signature(SAMPLERS[name]).parameters) - {"params", "options", "kwargs"}
    assert {f"model.sampler.{option}" for option in options} <= set(settings)


def test_a_changed_option_of_the_default_sampler_shows(tiny_generator):
    def settings(**options):
        sampler = lambda params: SAMPLERS["annealed_hmc"](params, **options)  # noqa: E731
        return describe_run(NoData(), LatentInpainter(tiny_generator, sampler=sampler))["settings"]

    assert settings(anchor="start") != settings(anchor="origin")
    assert settings(warm_up=3) != settings(warm_up=4)
