"""Blocks of pictures on one or several processes."""

import pytest
from torch.utils.data import DataLoader

from lightning_inpaint.datamodules.blocks import BlockSampler, block_size


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("pictures", [24, 25, 31])
def test_batches_are_the_same_on_any_number_of_devices(devices, pictures):
    order = list(range(pictures))
    batches = []
    for rank in range(devices):
        sampler = BlockSampler(order, 4, devices, rank)
        mine = [b.tolist() for b in DataLoader(order, batch_size=4, sampler=sampler)]
        assert sum(map(len, mine)) == len(sampler)
        batches += mine
    whole = [order[i : i + 4] for i in range(0, pictures, 4)]
    assert sorted(batches) == whole


def test_no_device_goes_without():
    assert block_size(8, 8, 2) == 4
    assert block_size(8, 8, 1) == 8
    assert block_size(1000, 8, 2) == 8
    for pictures in range(1, 40):
        for devices in range(1, pictures + 1):
            block = block_size(pictures, 8, devices)
            assert -(-pictures // block) >= devices
