"""A user's own weights: read without running code, unwrapped, and fitted to a module."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import reprlib
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from effcam.errors import WeightsError
from effcam.models.class_names import read_labels
from effcam.models.pickle_check import SwollenError, check_pickles
from effcam.text import one_line, quote

if TYPE_CHECKING:
    import torch
    from torch import nn

# Averaged weights go first: who keeps them evaluates with them.
WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "params_ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "params",
    "weights",
)
PREFIXES = ("module.", "_orig_mod.")
AVERAGED = re.compile("(?<![a-z])ema(?![a-z])", re.IGNORECASE)
# Where training scripts keep the classes' names, and what they keep that in.
LABELS = (
    "label_names",
    "class_names",
    "labels",
    "classes",
    "CLASSES",
    "categories",
    "id2label",
    "idx_to_class",
    "class_to_idx",
    "label2id",
)
SETTINGS = (
    "hyper_parameters",
    "datamodule_hyper_parameters",
    "hparams",
    "config",
    "cfg",
    "meta",
    "dataset_meta",
    "args",
    "pretrained_cfg",
)
# How torch.load names what it will not make: "GLOBAL posix.system", "TorchScript archives".
CODE = re.compile(r"GLOBAL (\w[\w.]*)|with (TorchScript|tar) archives")
# Nobody wraps a state dict as often as that.
DEPTH = 32
OLD_NAME = re.compile(r"\.(norm|relu|conv)\.([12])\.")
COUNTER = "num_batches_tracked"
SHOWN = 3
CONFIG_BYTES = 2**24
# What timm and Hugging Face call the weights that a config.json beside them describes.
CONFIGURED = ("model.safetensors", "pytorch_model.bin")


class Checkpoint(NamedTuple):
    """What a file of weights holds.

    Attributes:
        state: The tensors by name, on the CPU.
        labels: The classes' names where the file, or a ``config.json`` beside it, has them.
    """

    state: dict[str, torch.Tensor]
    labels: tuple[str, ...] | None = None


def read_checkpoint(path: str | PathLike[str]) -> Checkpoint:
    """Return what a file of weights holds, without wrapping dicts and prefixes.

    ``.safetensors`` files are read as such, all others by ``torch.load(weights_only=True)``,
    which refuses whatever could run code. Of objects of other classes that lie beside the
    weights, as Lightning's hyperparameters do, none is made.

    Args:
        path: The file.

    Raises:
        WeightsError: If the file is missing, damaged, holds code, or holds no state dict; or if
            it is made to take much more memory or time than its size tells.
    """
    file = check_checkpoint(path)
    content = _read(file)
    state = _unwrap(content, set())
    if not state:
        raise WeightsError(
            f"checkpoint {str(path)!r} holds no state dict: expected tensors by name, as "
            "torch.save(model.state_dict(), path) writes them, plain or under one of "
            f"{', '.join(WRAPPERS)}; it holds {_describe(content)}"
        )
    plain = _plain(_strip(state), file)
    return Checkpoint(plain, _find_labels(content, set()) or _labels_beside(file))


def check_checkpoint(path: str | PathLike[str]) -> Path:
    """Return the file's path.

    Raises:
        WeightsError: If it does not exist, cannot be reached, or is a folder, a pipe or a device.
    """
    try:
        file = Path(path).expanduser()
        exists, is_folder, is_file = file.exists(), file.is_dir(), file.is_file()
    except (OSError, RuntimeError) as error:  # no permission, a name too long, no such home
        raise WeightsError(f"checkpoint {str(path)!r} cannot be read: {error}") from error
    if is_folder:
        raise WeightsError(f"checkpoint {str(path)!r} is a folder: expected a file")
    if not exists:
        raise WeightsError(f"checkpoint {str(file)!r} does not exist")
    if not is_file:  # reading a pipe may wait for ever, and a device may never end
        raise WeightsError(f"checkpoint {str(path)!r} is a pipe or a device: expected a file")
    return file


class _Left(dict[object, object]):
    """Stands for an object of a class that is not ours to make; takes what it is given."""

    # It may be a key, as members of enumerations are.
    __hash__ = object.__hash__  # type: ignore[assignment]  # other dicts may not

    def __init__(self, *_arguments: object, **_settings: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        if isinstance(state, Mapping):
            self.update(state)


def _read(file: Path) -> object:
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        check_pickles(file)
        return _load(file, ())
    except Exception as error:  # a damaged file can make its reader raise anything
        code = CODE.search(str(error))
        if code is None:
            reason = _reason(error)
            raise WeightsError(f"checkpoint {str(file)!r} cannot be read: {reason}") from error
        content = _read_around(file) if code[1] else None
        if not _unwrap(content, set()):
            raise WeightsError(
                f"checkpoint {str(file)!r} holds more than tensors ({code[1] or code[2]}) and was "
                "not opened, because such a file can run code. Save the weights alone: "
                "torch.save(model.state_dict(), path), or safetensors.torch.save_file"
            ) from error
        return content


def _reason(error: Exception) -> str:
    if isinstance(error, SwollenError):
        return str(error)
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or was not written by torch.save"
    return one_line(str(error).strip().split("\n")[0]) or type(error).__name__


def _read_around(file: Path) -> object:
    """Return a file's content with a stand-in for each object of another class, if that goes."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        others = get_unsafe_globals_in_checkpoint(file)
        return _load(file, others)
    except Exception:  # noqa: BLE001  # the caller says what is wrong with the file
        return None


def _load(file: Path, others: Iterable[str]) -> object:
    import torch
    from torch.serialization import safe_globals

    # timm's training script keeps its arguments beside the weights: a record that does no harm.
    allowed: list[Any] = [argparse.Namespace, *((_Left, name) for name in others)]
    # What torch warns of, it refuses a moment later, or it concerns who wrote the file.
    with warnings.catch_warnings(action="ignore"), safe_globals(allowed):
        # Mapped into memory, a file is read once, as its tensors are copied into the module.
        mapped = zipfile.is_zipfile(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)


def _find_labels(content: object, seen: set[int]) -> tuple[str, ...] | None:
    settings = vars(content) if isinstance(content, argparse.Namespace) else content
    # Settings may hold each other, or themselves.
    if not isinstance(settings, dict) or id(settings) in seen or len(seen) >= DEPTH:
        return None
    seen.add(id(settings))
    found = (_read_labels(dict.get(settings, key)) for key in LABELS)
    inner = (_find_labels(dict.get(settings, key), seen) for key in SETTINGS)
    return next(filter(None, chain(found, inner)), None)


def _read_labels(names: object) -> tuple[str, ...] | None:
    """Return the labels as text that can be written, where there are some."""
    try:
        labels = read_labels(names)
    except OverflowError:  # an infinite index
        return None
    # Halves of a character, which JSON and pickles can hold, can be written nowhere.
    return labels and tuple(label.encode("utf-8", "replace").decode() for label in labels)


def _labels_beside(file: Path) -> tuple[str, ...] | None:
    """Return the labels in the ``config.json`` that timm and Hugging Face put beside weights."""
    if file.name not in CONFIGURED:
        return None  # of a file by any other name, nothing says that they belong together
    config = file.parent / "config.json"
    try:
        if not config.is_file() or config.stat().st_size > CONFIG_BYTES:
            return None
        return _find_labels(json.loads(config.read_text("utf-8")), set())
    except (OSError, ValueError, RecursionError):
        return None


def _unwrap(content: object, seen: set[int]) -> dict[str, torch.Tensor]:
    """Return the tensors in what a file holds, none for what was ``seen``."""
    import torch

    if not isinstance(content, dict) or isinstance(content, _Left):
        return {}
    # Dicts may hold each other, or themselves; and a pickle may give one a `get` of its own.
    if id(content) in seen or len(seen) >= DEPTH:
        return {}
    seen.add(id(content))
    for wrapper in WRAPPERS:
        inner = _unwrap(dict.get(content, wrapper), seen)
        # An average keeps its decay as a number beside nothing else.
        if any(each.ndim for each in inner.values()):
            return inner
    # Others' files keep counters and settings beside the tensors.
    return {
        name: value
        for name, value in dict.items(content)
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


def _plain(state: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors without what a file may have hung on them.

    Raises:
        WeightsError: If one has no numbers, or more than the file can hold: by strides of 0, or
            by a size that makes torch lay out memory that nothing fills.
    """
    import torch

    size = file.stat().st_size
    # A file may also give a tensor a `detach` of its own.
    plain = {name: torch.Tensor.detach(value) for name, value in state.items()}
    for name, tensor in plain.items():
        fault = _absurdity(tensor, size)
        if fault:
            shape = reprlib.repr(tuple(tensor.shape))
            raise WeightsError(
                f"checkpoint {str(file)!r} cannot be used: {quote(name)} of shape {shape} {fault}"
            )
    return plain


def _absurdity(tensor: torch.Tensor, size: int) -> str:
    """Return what is wrong with a tensor from a file of that size in bytes, if anything."""
    import torch

    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return "is no plain tensor, but sparse, quantised or without numbers"
    held = max(tensor.untyped_storage().nbytes(), tensor.numel() * tensor.element_size())
    return f"is said to hold {held} bytes, but the file has {size}" if held > size else ""


def _describe(content: object) -> str:
    if isinstance(content, dict) and content:
        return ", ".join(map(quote, islice(dict.keys(content), SHOWN)))
    return f"a {type(content).__name__}"


def _strip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for _ in range(DEPTH):
        state = {name: value for name, value in state.items() if name != "n_averaged"}
        shared = [each for each in PREFIXES if all(name.startswith(each) for name in state)]
        if not state or not shared:
            break
        state = {name.removeprefix(shared[0]): value for name, value in state.items()}
    return state
