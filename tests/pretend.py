"""A device that is not there: mistakes of placement, and waits, seen on a machine without a GPU.

Tensors lie in the processor's memory all the time. Those that would lie on the device are known by their
storage; ``.device`` says so, operations that mix both kinds raise as they would on a GPU, and calls that would
wait for the device are noted. What runs below torch's functions, such as backward passes, is not looked into.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["THERE", "PretendedDevice"]

THERE = torch.device("cuda", 0)
WAITING = (
    "item",
    "tolist",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
    "numpy",
    "nonzero",
    "bincount",
)


class PretendedDevice(TorchFunctionMode):
    """While it is entered, :data:`THERE` can be asked for as a device.

    Attributes:
        waits: names of the calls that would have waited for the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.storages: set[int] = set()
        self.waits: list[str] = []

    def holds(self, x: Tensor) -> bool:
        """Whether ``x`` lies on the device."""
        return x.untyped_storage().data_ptr() in self.storages

    def _put(self, x: Tensor, there: bool) -> None:
        place = x.untyped_storage().data_ptr()
        if place and there:
            self.storages.add(place)
        else:
            self.storages.discard(place)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch, and keep the books."""
        kwargs = kwargs or {}
        name = (resolve_name(func) or getattr(func, "__name__", "")).rpartition("torch.")[2]
        last = (
            name.split(".")[-2]
            if name.endswith("__") and "__get__" in name
            else name.split(".")[-1]
        )
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        inside = [x for x in given if x.numel() and self.holds(x)]
        if "__get__" in name and last in ("device", "is_cuda", "is_cpu"):
            there = bool(inside)
            return {
                "device": THERE if there else func(*args),
                "is_cuda": there,
                "is_cpu": not there,
            }[last]
        if last in ("_parse_to", "_has_compatible_shallow_copy_type"):  # nn.Module.to asks
            return func(*args, **kwargs)
        asked = [x for x in tree_leaves((args, kwargs)) if _is_device(x)]
        there = torch.device(asked[-1]).type == "cuda" if asked else bool(inside)
        moved = last in ("to", "cpu", "cuda", "copy_", "type_as", "to_")
        if last == "cpu":
            there = False
        outside = [x for x in given if x.dim() and x.numel() and not self.holds(x)]
        indexed = last in ("__getitem__", "__setitem__")
        if inside and outside and not moved and "__set__" not in name:
            if not (indexed and self.holds(args[0])):
                raise RuntimeError(f"{name}: tensors on two devices")
            self.waits.append(f"{last} with an index of the host")
        mask = indexed and any(x.dtype == torch.bool for x in given[1:])
        if inside and (last in WAITING or mask):
            self.waits.append(last)
        if moved and given and any(self.holds(x) != there for x in given if x.numel()):
            self.waits.append(last)
        if not given and there and last in ("tensor", "as_tensor"):
            self.waits.append(last)
        args, kwargs = tree_map(lambda x: "cpu" if _is_device(x) else x, (args, kwargs))
        found = func(*args, **kwargs)
        for x in tree_leaves(found):
            if isinstance(x, Tensor) and x.numel():
                fresh = not any(
                    x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr() for y in given
                )
                if not fresh and moved and self.holds(x) != there:
                    x = found = func(*args, **kwargs).clone()  # a move that was none
                    self._put(x, there)
                elif fresh:
                    self._put(x, there)
        return found


def _is_device(x: Any) -> bool:
    return isinstance(x, torch.device) or (
        isinstance(x, str) and x.split(":")[0] in ("cpu", "cuda")
    )
