"""Batches that are cut the same way however many processes share them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.utils.data import DistributedSampler

__all__ = ["BlockSampler", "block_size"]


def block_size(pictures: int, batch_size: int, devices: int) -> int:
    """Pictures per batch: ``batch_size``, or less where a device would go without."""
    return max(1, min(batch_size, pictures // devices))


class BlockSampler(DistributedSampler):
    """Hands whole blocks of neighbouring pictures to the processes in turn.

    How a batch is composed shows in the last digits of floating-point results. Lightning's own
    sampler deals pictures out one by one, so that batches differ with the number of devices; here
    block b, the pictures from ``b * block`` on, is one batch on whichever process it lands, and a
    resumed run that leaves out whole blocks repeats the others bit for bit. (It is a
    ``DistributedSampler`` so that Lightning does not replace it.)

    Args:
        order: what is served, block after block; only the last block may be shorter.
        block: pictures per block.
        devices: number of processes.
        rank: number of this process.
    """

    def __init__(self, order: Sequence[int], block: int, devices: int = 1, rank: int = 0) -> None:
        super().__init__(order, num_replicas=devices, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.order, self.block = order, block

    def __iter__(self) -> Iterator[int]:
        starts = range(self.rank * self.block, len(self.order), self.num_replicas * self.block)
        for start in starts:
            yield from range(start, min(start + self.block, len(self.order)))

    def __len__(self) -> int:
        return sum(1 for _ in self)
