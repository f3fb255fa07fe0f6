"""How many pictures at once: the largest batch that memory should hold."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from .latents import LatentSpace

__all__ = ["bytes_per_chain", "largest_batch"]

LARGEST = {"cpu": 64, "other": 1024}  # beyond these, batches are no quicker
WORKING = 2.5  # what a gradient needs beside the tensors it keeps
SAMPLER = 16  # copies of the latents that samplers hold, at most


def bytes_per_chain(space: LatentSpace) -> int:
    """Memory that one more chain takes: found from the tensors an energy gradient keeps."""
    weight = next(space.parameters(), torch.zeros(()))
    own = {t.untyped_storage().data_ptr() for t in [*space.parameters(), *space.buffers()]}

    def kept(n: int) -> int:
        seen: dict[int, int] = {}

        def note(t: Tensor) -> Tensor:
            storage = t.untyped_storage()
            if storage.data_ptr() not in own:
                seen[storage.data_ptr()] = storage.nbytes()
            return t.detach()  # a layer that kept its own output would never be freed

        u = torch.ones(n, space.dim, device=weight.device, dtype=weight.dtype)
        labels = None
        if getattr(space.generator, "num_classes", 0):
            labels = torch.zeros(n, dtype=torch.long, device=weight.device)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(note, lambda t: t),
        ):
            pictures = space(u.clone().requires_grad_(True), labels, "const")
            held = pictures.square().sum()
        assert held.requires_grad
        return sum(seen.values())

    activations = kept(3) - kept(2)
    synthesis = getattr(space.generator, "synthesis", None)
    if getattr(synthesis, "recompute", False):
        # The largest block, about half of all features, is made again at once.
        synthesis.recompute = False
        try:
            activations += (kept(3) - kept(2)) // 2
        finally:
            synthesis.recompute = True
    return int(WORKING * activations + SAMPLER * weight.element_size() * space.dim)


def largest_batch(space: LatentSpace, chains: int, device: torch.device) -> int:
    """The largest power of two of pictures whose chains should fit, 1 at least.

    Goes by the total memory of the device and not by what is free at the moment, so that a resumed run
    and the other devices of a job come to the same number. The estimate is cautious; batches that do not
    fit all the same are split.

    Args:
        space: latents and generator.
        chains: chains per picture.
        device: where the work will be done.
    """
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    most = LARGEST["cpu" if device.type == "cpu" else "other"]
    fitting = min(int(0.8 * memory / bytes_per_chain(space)), most) // chains
    return 1 << max(fitting.bit_length() - 1, 0)
