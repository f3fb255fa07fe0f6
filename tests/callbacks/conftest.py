"""Fixtures for the tests of callbacks: a stand-in for the module and a plain trainer around it."""

import pytest

from tests.callbacks import made_up as stand_ins


@pytest.fixture
def predict():
    """Run callbacks in a plain trainer."""
    return stand_ins.predict


@pytest.fixture
def made_up():
    """The module's class."""
    return stand_ins.MadeUp


@pytest.fixture
def made_up_data():
    """The data module's class."""
    return stand_ins.MadeUpData
