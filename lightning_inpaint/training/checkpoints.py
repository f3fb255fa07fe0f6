"""Checkpoints of a training run: whole or not at all, and one sentence where something is wrong."""

from __future__ import annotations

import io
import os
import pickle
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ..errors import ArgumentError, UserError
from ..files import whole_file

__all__ = ["WholeCheckpoints", "check_settings"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the target and renames; reads tensors and plain values alone.

    Lightning's own way of writing goes through the temporary folder. From another disk that ends in a copy
    onto the target, and a full disk would leave half of it. Its way of reading leaves it to the caller
    whether a file may run code; here none may.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            UserError: it cannot be written (disk full, read-only); what was there is kept, and the
                state goes to the system's temporary folder if there is room for it.
        """
        path = Path(path)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        try:
            _write(path, buffer)
        except OSError as error:
            raise UserError(
                f"{path}: the checkpoint cannot be written ({error.strerror or error}); those of "
                f"before are kept. {_rescue(buffer)}"
            ) from None

    def load_checkpoint(self, path: str | Path, *args: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint; nothing in it is executed, whatever ``weights_only`` says.

        Raises:
            UserError: there is none, it is damaged, or it holds more than tensors and plain values.
        """
        if not Path(path).is_file():
            raise ArgumentError(f"`ckpt_path={path}`: there is no such file.", "")
        try:
            found = super().load_checkpoint(path, *args, **{**options, "weights_only": True})
        except pickle.UnpicklingError as error:
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            what = f" ({named[1]})" if named else ""
            raise ArgumentError(
                f"`ckpt_path={path}`: the file is damaged, or it holds code to run{what} beside tensors and "
                "plain values, which is not done; take a checkpoint that fit wrote.",
                "",
            ) from None
        except Exception as error:  # zip, pickle and torch each have errors of their own
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ArgumentError(
                f"`ckpt_path={path}`: the file is damaged or no checkpoint of training ({reason}); "
                "take an earlier one.",
                "",
            ) from None
        if not isinstance(found, dict) or not isinstance(found.get("state_dict"), dict):
            raise ArgumentError(
                f"`ckpt_path={path}`: no checkpoint of training (it holds no state_dict); "
                "take one that fit wrote.",
                "",
            )
        return found


def _write(path: Path, buffer: io.BytesIO) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _rescue(buffer: io.BytesIO) -> str:
    """Save the state elsewhere, so that nothing trained is lost, and say where."""
    path = Path(tempfile.gettempdir(), f"lightning-inpaint-{os.getpid()}.ckpt")
    try:
        _write(path, buffer)
    except OSError:
        return "Free some space and go on from the last of them with --ckpt_path."
    return f"Free some space and go on with --ckpt_path {path}, which has this step's state."


def check_settings(checkpoint: Mapping[str, Any], module: torch.nn.Module) -> None:
    """Refuse a checkpoint whose tensors do not fit the module's.

    Args:
        checkpoint: as Lightning saves it, with ``state_dict`` and ``hyper_parameters``.
        module: with ``hparams``.

    Raises:
        UserError: naming the settings that differ.
    """
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    state = checkpoint["state_dict"]
    if {name: value.shape for name, value in state.items()} == shapes:
        return
    saved, given = checkpoint.get("hyper_parameters", {}), module.hparams
    shown = [
        f"{k} {saved[k]} there and {given[k]} here"
        for k in saved
        if k in given and k != "class_names" and saved[k] != given[k]
    ]
    what = "; ".join(shown) or "its networks are other ones"
    raise ArgumentError(
        f"`ckpt_path`: the checkpoint was made with other settings ({what}): pass its own.", ""
    )
