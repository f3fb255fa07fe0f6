"""`complete`: pictures and masks in, completions out, in one call."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image

from .completions import Completions
from .errors import UserError, did_you_mean
from .images.inputs import masks_of, pictures_of
from .inference.batch import labels_of
from .inference.starts import row_of_latents
from .module import LatentInpainter
from .notices import quietly
from .optim import ByLatents, ChainOptimizer

if TYPE_CHECKING:
    from .datamodules.fitting import Fit
    from .datamodules.pairing import MaskProvider

__all__ = ["complete", "inpainter"]


def complete(
    image: Any,
    mask: Any,
    n: int | None = None,
    *,
    label: Any = None,
    id: str | Sequence[str] | None = None,
    config: str | Path | None = None,
    generator: Any = None,
    sampler: str | type | Callable[..., ChainOptimizer] | None = None,
    sampler_options: Mapping[str, Any] | None = None,
    like: Any = None,
    fit: Fit = "resize",
    invert_mask: bool = False,
    batch_size: int | str = "auto",
    device: str | torch.device = "auto",
    progress: bool = False,
    callbacks: Sequence[pl.Callback] = (),
    **model: Any,
) -> Completions:
    """Complete pictures; what ``lightning-inpaint predict`` does, without a folder.

    The work is that of :class:`LatentInpainter` under a ``Trainer``: the same settings, pictures, ids and
    seed give the same completions as on the command line.

    Args:
        image: A path, PIL picture, array or tensor, or a list or batch of them, of any size: uint8, or float
            in [0, 1] (see :func:`.images.inputs.pictures_of`).
        mask: The same, **1, 255 or True = fill, 0 = known**, of the picture's size or the generator's; or the
            name of a mask (``"right_half"``, ``"random_pixels:0.8"``). One for all, or one per picture;
            several for one picture complete it once with each.
        n: Completions per picture (``chains``); default: 1.
        label: Class, by name or number, one for all or a list; None lets the known pixels tell.
        id: Names of the pictures, which key their random streams; default: file names, or 0, 1, ...
        config: A preset (``"fast"``, ``"exact"``, ...) or a YAML file, as for ``--config``; of it the
            settings of the model are used, and arguments overrule them.
        generator: As ``--model.generator``: a name, file or address, or your own module; default: cifar10.
        sampler: As ``--model.sampler``: a name (``"map"``, ``"hmc"``, ...), a class, or a callable.
        sampler_options: Its options by name, as behind ``--model.sampler.``: ``{"steps": 50}``.
        like: Latents (D,) of an earlier completion, such as ``result.latents[0, 2]``: the chains start near
            them (see :func:`.inference.starts.moved_near`). Give that completion's class as ``label``.
        fit: How a picture of another size meets the generator, as ``--data.fit``.
        invert_mask: Take black for fill instead of white.
        batch_size: Pictures completed at the same time; changes memory and speed, never results.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        progress: Show a progress bar.
        callbacks: Lightning callbacks; ``on_sampler_step(trainer, module, state)`` sees the walk.
        model: Further options of :class:`LatentInpainter` (``seed``, ``truncation``, ``latents``, ...).

    Returns:
        The completions, in the order of the pictures; ``result.images`` has them as PIL pictures.

    Raises:
        UserError: something given does not fit; one sentence says what, and what to write instead.

    Example::

        result = complete("photo.png", "mask.png", n=4, config="fast", seed=1)
        result.images[0][0].save("completed.png")
    """
    if "chains" in model and n is not None:
        raise UserError("n and chains are the same option: give one of them.")
    if n is not None:
        model["chains"] = n
    module = inpainter(config, generator, sampler, sampler_options, **model)
    if like is not None:
        module.near = row_of_latents(like)
    data = _given(image, mask, label, id, module, fit, invert_mask, batch_size)
    # What was skipped is raised as an error afterwards.
    with quietly("skipped ", "(GPU|MPS|TPU) available but not used.*"):
        shown: list[pl.Callback] = list(callbacks)
        if progress:
            from .callbacks import PictureProgressBar

            shown.append(PictureProgressBar())
        trainer = pl.Trainer(
            **_accelerator(device),
            logger=False,
            callbacks=shown,
            enable_progress_bar=progress,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        parts = trainer.predict(module, data)
    for _, reason in data.skipped:
        raise UserError(reason)
    for name, reason in module.failures:
        raise UserError(f"{name}: {reason}")
    return Completions.joined([part for part in parts or [] if isinstance(part, Completions)])


def inpainter(
    config: str | Path | None = None,
    generator: Any = None,
    sampler: str | type | Callable[..., ChainOptimizer] | None = None,
    sampler_options: Mapping[str, Any] | None = None,
    **model: Any,
) -> LatentInpainter:
    """A `LatentInpainter` of a preset and of options that overrule it; see :func:`complete`.

    Raises:
        UserError: an option is unknown or out of range.
    """
    settings = _preset(config) if config is not None else {}
    preset_sampler = settings.pop("sampler", None)
    settings |= model
    if generator is not None:
        settings["generator"] = generator
    chosen = preset_sampler if sampler is None else sampler
    if chosen is not None or sampler_options:
        settings["sampler"] = _sampler(chosen, dict(sampler_options or {}))
    try:
        return LatentInpainter(**settings)
    except TypeError as error:
        unknown = sorted(set(settings) - set(_options(LatentInpainter)))
        if not unknown:
            raise
        raise UserError(_no_option("complete", unknown[0], _options(LatentInpainter))) from error


def _preset(config: str | Path) -> dict[str, Any]:
    """The model's settings in a preset or file."""
    import yaml

    from .configs import find_config, preset_names

    known = [name for name in preset_names() if not name.startswith("train_")]
    path = find_config(config, known=known)
    if not path.is_file():
        raise UserError(f"config {config} is a folder: give a YAML file or the name of a preset.")
    text = path.read_text()
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"config {config}: not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        raise UserError(f"config {config}: holds no settings of a model.")
    return copy.deepcopy(settings["model"])


def _sampler(chosen: Any, options: dict[str, Any]) -> Any:
    """What the module makes its sampler of, once it knows the latents."""
    if isinstance(chosen, Mapping):  # as YAML has it
        options = {**(chosen.get("init_args") or {}), **options}
        chosen = chosen["class_path"]
    if isinstance(chosen, str):
        chosen = _imported(chosen)
    if isinstance(chosen, str):  # a short name
        return {"class_path": chosen, "init_args": options}
    return functools.partial(ByLatents if chosen is None else chosen, **options)


def _imported(name: str) -> Any:
    """The class of an import path, the user's own among them; any other name as it is."""
    module, _, attribute = name.rpartition(".")
    if module:
        with suppress(ImportError, AttributeError):
            return getattr(import_module(module), attribute)
    return name


def _options(cls: type) -> list[str]:
    import inspect

    return [name for name in inspect.signature(cls).parameters if name != "self"]


def _no_option(owner: str, name: str, known: Sequence[str]) -> str:
    hint = did_you_mean(name, known, f"the options are {', '.join(known)}.")
    return f"{owner} has no option {name!r}: {hint}"


def _given(
    image: Any,
    mask: Any,
    label: Any,
    id: str | Sequence[str] | None,
    module: LatentInpainter,
    fit: Fit,
    invert_mask: bool,
    batch_size: int | str,
) -> Any:
    from .datamodules import GivenPictures
    from .datamodules.fitting import FITS

    if fit not in FITS:
        raise UserError(f"fit is {fit!r}, and must be one of {', '.join(FITS)}.")
    if batch_size != "auto" and (not isinstance(batch_size, int) or batch_size < 1):
        raise UserError(f"batch_size is {batch_size!r}, and must be at least 1, or auto.")
    pictures = [each for one in _listed(image) for each in _picture(one)]
    if not pictures:
        raise UserError("image is an empty list: give one picture at least.")
    masks = _masks(mask, len(pictures), module.seed)
    if len(pictures) == 1 < len(masks):
        pictures = pictures * len(masks)
    if len(masks) != len(pictures):
        raise UserError(f"there are {len(masks)} masks for {len(pictures)} pictures.")
    names = getattr(module.generator, "class_names", None) or ()
    owner = f"the generator {module.generator_name}"
    classes = int(module.generator.num_classes)
    labels = labels_of(label, len(pictures), classes, names, owner)
    return GivenPictures(
        pictures,
        masks,
        labels,
        int(module.generator.resolution),
        [id] if isinstance(id, str) else id,
        fit,
        invert_mask,
        batch_size,  # type: ignore[arg-type]
    )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _picture(value: Any) -> list[np.ndarray | Path]:
    if isinstance(value, str | Path):
        return [Path(value).expanduser()]
    if isinstance(value, Image.Image):
        from .datamodules.pictures import picture_array

        return [picture_array(value, "image")]
    return list(pictures_of(value))


def _masks(value: Any, pictures: int, seed: int) -> list[MaskProvider]:
    """A provider per picture."""
    from .datamodules import resolve_masks
    from .datamodules.memory import GivenMask

    one_for_all = not isinstance(value, list | tuple)
    providers: list[MaskProvider] = []
    for each in _listed(value):
        if isinstance(each, str | Path):
            providers.append(resolve_masks(each, seed))
        else:
            for mask in masks_of(each, pictures if one_for_all else 1):
                levels = np.rint(mask * 255).astype(np.uint8)
                providers.append(GivenMask(levels))
    if not providers:
        raise UserError("mask is an empty list: give one mask at least.")
    return providers * pictures if len(providers) == 1 else providers


def _accelerator(device: str | torch.device) -> dict[str, Any]:
    kind, _, number = str(device).partition(":")
    if kind == "auto":
        return {"accelerator": "auto", "devices": 1}
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind == "gpu":
        kind = "cuda" if there["cuda"] else "mps"
    if kind not in there or (number and not number.isdecimal()):
        raise UserError(f"device is {str(device)!r}, and must be auto, cpu, cuda, cuda:1, or mps.")
    if not there[kind]:
        raise UserError(f"device is {str(device)!r}, and there is none here: write cpu or auto.")
    if number and int(number) >= (torch.cuda.device_count() if kind == "cuda" else 1):
        raise UserError(f"device is {str(device)!r}, and there is no device of that number.")
    return {"accelerator": kind, "devices": [int(number)] if number and kind != "cpu" else 1}
