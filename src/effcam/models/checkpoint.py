"""Read a file of weights: without running code, within its size, without what wraps it."""

from __future__ import annotations

import argparse
import pickle
import re
import reprlib
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from effcam.errors import WeightsError
from effcam.models.checkpoint_settings import config_beside, find_labels, find_link
from effcam.models.pickle_check import OversizedError, check_pickles
from effcam.text import one_line, quote

if TYPE_CHECKING:
    import torch

    from effcam.models.tracing.logits import Link

# The keys of state dicts in checkpoints. Averaged weights come first: they are for evaluation.
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")
WRAPPERS = (
    *AVERAGES,
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
PREFIXES = ("module.", "_orig_mod.")
# torch.load's words for what it refuses: "GLOBAL posix.system", "TorchScript archives".
CODE = re.compile(r"GLOBAL (\w[\w.]*)|with (TorchScript|tar) archives")
DEPTH = 32
"""How many dicts or prefixes around a state dict are removed at most."""
SHOWN = 3


class Checkpoint(NamedTuple):
    """The content of a file of weights.

    Attributes:
        state: The tensors by name, on the CPU.
        labels: The classes' names where the file, or a ``config.json`` beside it, has them.
        scores: What the class scores are, where one of them states it.
    """

    state: dict[str, torch.Tensor]
    labels: tuple[str, ...] | None = None
    scores: Link | None = None


def read_checkpoint(path: str | PathLike[str]) -> Checkpoint:
    """Return the content of a file of weights, without wrapping dicts and prefixes.

    ``.safetensors`` files are read as such, all others by ``torch.load(weights_only=True)``,
    which refuses whatever could run code. Objects of other classes beside the weights, such as
    Lightning's hyperparameters, are not created.

    Args:
        path: The file.

    Raises:
        WeightsError: If the file is missing, damaged, holds code, or holds no state dict; or if
            it takes far more memory or time to read than its size explains.
    """
    file = check_checkpoint(path)
    content = _read(file)
    state = _find_state(content, set())
    if not state:
        raise WeightsError(
            f"checkpoint {str(path)!r} holds no state dict: expected tensors by name, as "
            "torch.save(model.state_dict(), path) writes them, plain or under one of "
            f"{', '.join(WRAPPERS)}; it holds {_describe(content)}"
        )
    plain = _check_tensors(_strip_prefixes(state), file)
    beside = config_beside(file)
    return Checkpoint(
        plain,
        find_labels(content) or find_labels(beside),
        find_link(content) or find_link(beside),
    )


class Outline(NamedTuple):
    """What a file of weights holds, as far as that is known without reading its tensors.

    Attributes:
        settings: What it holds beside its tensors, as it names them. Of a ``.safetensors`` file,
            these are the texts of its header. Any mapping in a pickle may replace its own methods:
            use those of `dict`.
        shapes: The name and the shape of each of its tensors, as `read_checkpoint` names them.
        averaged: The key of averaged weights, which `read_checkpoint` prefers; empty without them.
    """

    settings: dict[object, object]
    shapes: frozenset[tuple[str, tuple[int, ...]]]
    averaged: str = ""


def read_outline(file: Path) -> Outline:
    """Return what a file of weights holds, but its tensors.

    Tensors are mapped, not read, and so the time does not depend on their size, except for files
    in the format that torch wrote before 1.6.

    Args:
        file: The file.

    Raises:
        WeightsError: As `read_checkpoint` does, but the tensors are not checked.
    """
    import torch

    check_checkpoint(file)
    if file.suffix == ".safetensors":
        return _read_header(file)
    content = _read(file)
    state = _find_state(content, set())
    if not isinstance(content, dict) or not state:
        raise WeightsError(f"checkpoint {str(file)!r} holds no state dict: {_describe(content)}")
    plain = _strip_prefixes(state)
    # A file may replace the attributes of a tensor.
    shapes = frozenset((name, tuple(torch.Tensor.size(each))) for name, each in plain.items())
    return Outline(content, shapes, _averaged(content))


def _averaged(content: dict[object, object]) -> str:
    """Return the key of the averaged weights in a file's content, empty without them."""
    for key in AVERAGES:
        inner = _find_state(dict.get(content, key), set())
        if any(each.ndim for each in inner.values()):
            return key
    return ""


def _read_header(file: Path) -> Outline:
    from safetensors import safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            names = list(opened.keys())
            if not names:
                raise WeightsError(f"checkpoint {str(file)!r} holds no tensors")
            shapes = ((name, tuple(opened.get_slice(name).get_shape())) for name in names)
            return Outline(dict(opened.metadata() or {}), frozenset(shapes))
    except WeightsError:
        raise
    except Exception as error:  # a damaged file can make its reader raise anything
        reason = first_line(error)
        raise WeightsError(f"checkpoint {str(file)!r} cannot be read: {reason}") from error


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
    if not is_file:  # a pipe may block, and a device may never end
        raise WeightsError(f"checkpoint {str(path)!r} is a pipe or a device: expected a file")
    return file


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its class."""
    return one_line(str(error).strip().split("\n")[0]) or type(error).__name__


class _Placeholder(dict[object, object]):
    """A dict in place of an object whose class must not be created; takes any arguments."""

    # It may be a key, as members of enumerations are.
    __hash__ = object.__hash__  # type: ignore[assignment]  # other dicts are not hashable

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
        content = _read_with_placeholders(file) if code[1] else None
        if not _find_state(content, set()):
            raise WeightsError(
                f"checkpoint {str(file)!r} holds more than tensors ({code[1] or code[2]}) and was "
                "not opened, because such a file can run code. Save the weights alone: "
                "torch.save(model.state_dict(), path), or safetensors.torch.save_file"
            ) from error
        return content


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError) and not isinstance(error, OversizedError):
        return "it is damaged, or was not written by torch.save"
    return first_line(error)


def _read_with_placeholders(file: Path) -> object:
    """Return a file's content with placeholders for objects of other classes, if possible."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        return _load(file, get_unsafe_globals_in_checkpoint(file))
    except Exception:  # noqa: BLE001  # the caller has the reason
        return None


def _load(file: Path, others: Iterable[str]) -> object:
    import torch
    from torch.serialization import safe_globals

    # timm's training script keeps its arguments beside the weights: a harmless record.
    allowed: list[Any] = [argparse.Namespace, *((_Placeholder, name) for name in others)]
    # torch refuses in the next moment what it warns of, or the warning is for the file's author.
    with warnings.catch_warnings(action="ignore"), safe_globals(allowed):
        # A mapped file is read once, while its tensors are copied into the module.
        mapped = zipfile.is_zipfile(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)


def _find_state(content: object, seen: set[int]) -> dict[str, torch.Tensor]:
    """Return the tensors in a file's content; empty if it was ``seen``."""
    import torch

    if not isinstance(content, dict) or isinstance(content, _Placeholder):
        return {}
    # Dicts may hold each other, or themselves; and a pickle may replace the `get` of one.
    if id(content) in seen or len(seen) >= DEPTH:
        return {}
    seen.add(id(content))
    for wrapper in WRAPPERS:
        inner = _find_state(dict.get(content, wrapper), seen)
        # A moving average may hold nothing but its decay, a single number.
        if any(each.ndim for each in inner.values()):
            return inner
    # Other tools keep counters and settings beside the tensors.
    return {
        name: value
        for name, value in dict.items(content)
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


def _check_tensors(state: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors without attributes that a file may have given them.

    Raises:
        WeightsError: If one has no numbers, or more than the file can hold: by strides of 0, or
            by a size for which torch allocates memory that nothing fills.
    """
    import torch

    size = file.stat().st_size
    # A file may also replace the `detach` of a tensor.
    plain = {name: torch.Tensor.detach(value) for name, value in state.items()}
    for name, tensor in plain.items():
        fault = _find_fault(tensor, size)
        if fault:
            shape = reprlib.repr(tuple(tensor.shape))
            raise WeightsError(
                f"checkpoint {str(file)!r} cannot be used: {quote(name)} of shape {shape} {fault}"
            )
    return plain


def _find_fault(tensor: torch.Tensor, size: int) -> str:
    """Return what is wrong with a tensor from a file of that size in bytes, if anything."""
    import torch

    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return "is no plain tensor, but sparse, quantised or without numbers"
    held = max(tensor.untyped_storage().nbytes(), tensor.numel() * tensor.element_size())
    return f"declares {held} bytes, but the file has {size}" if held > size else ""


def _describe(content: object) -> str:
    if isinstance(content, dict) and content:
        return ", ".join(map(quote, islice(dict.keys(content), SHOWN)))
    return f"a {type(content).__name__}"


def _strip_prefixes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for _ in range(DEPTH):
        state = {name: value for name, value in state.items() if name != "n_averaged"}
        shared = [each for each in PREFIXES if all(name.startswith(each) for name in state)]
        if not state or not shared:
            break
        state = {name.removeprefix(shared[0]): value for name, value in state.items()}
    return state
