"""Values fetched without waiting, from a made-up device that is three steps behind the host."""

import torch

from lightning_inpaint.inference.background import Background

BEHIND = 3


class OnDevice:
    """A number on a device."""

    is_cuda = True

    def __init__(self, value):
        self.value = value

    def to(self, device, non_blocking):
        assert (device, non_blocking) == ("cpu", True)
        return torch.tensor(self.value)


def test_values_arrive_although_the_host_is_ahead(monkeypatch):
    clock = [0]

    class Event:
        def record(self):
            self.recorded = clock[0]

        def query(self):
            return clock[0] >= self.recorded + BEHIND

    monkeypatch.setattr(torch.cuda, "Event", Event)
    fetched, found = Background(), []
    for step in range(8):
        clock[0] = step
        known = fetched.exchange(OnDevice(step))
        found.append(None if known is None else int(known))
    assert found == [None, None, None, 0, 1, 2, 3, 4]


def test_on_the_cpu_nothing_is_late():
    value = torch.ones(2)
    assert Background().exchange(value) is value
