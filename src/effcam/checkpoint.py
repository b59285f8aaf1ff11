"""A user's own weights: read without running code, unwrapped, and fitted to a module."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from effcam.errors import WeightsError
from effcam.labels import read_labels

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
CODE = re.compile(r"GLOBAL (\w[\w.]*)|with (TorchScript) archives")
OLD_NAME = re.compile(r"\.(norm|relu|conv)\.([12])\.")
COUNTER = "num_batches_tracked"
SHOWN = 3
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
    """Returns what a file of weights holds, without wrapping dicts and prefixes.

    ``.safetensors`` files are read as such, all others by ``torch.load(weights_only=True)``,
    which refuses whatever could run code. Of objects of other classes that lie beside the
    weights, as Lightning's hyperparameters do, none is made.

    Args:
        path: The file.

    Raises:
        WeightsError: If the file is missing, damaged, holds code, or holds no state dict.
    """
    file = check_checkpoint(path)
    content = _read(file)
    state = _unwrap(content)
    if not state:
        raise WeightsError(
            f"checkpoint {str(path)!r} holds no state dict: expected tensors by name, as "
            "torch.save(model.state_dict(), path) writes them, plain or under one of "
            f"{', '.join(WRAPPERS)}; it holds {_describe(content)}"
        )
    return Checkpoint(_strip(state), _find_labels(content) or _labels_beside(file))


def check_checkpoint(path: str | PathLike[str]) -> Path:
    """Returns the file's path.

    Raises:
        WeightsError: If it does not exist, cannot be reached, or is a folder.
    """
    file = Path(path).expanduser()
    try:
        exists, is_folder = file.exists(), file.is_dir()
    except OSError as error:
        raise WeightsError(f"checkpoint {str(path)!r} cannot be read: {error}") from error
    if is_folder:
        raise WeightsError(f"checkpoint {str(path)!r} is a folder: expected a file")
    if not exists:
        raise WeightsError(f"checkpoint {str(file)!r} does not exist")
    return file


def rename_old(state: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """Returns the state dict with keys as the module has them, where files still have older ones.

    torchvision's published DenseNet files call ``norm1`` of a dense layer ``norm.1``.
    """
    own = module.state_dict()
    renamed = {name: OLD_NAME.sub(r".\1\2.", name) for name in state}
    return {
        renamed[name] if name not in own and renamed[name] in own else name: tensor
        for name, tensor in state.items()
    }


def select(state: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """Returns the part of a state dict that is a module's, its names as the module has them.

    A training module, as Lightning's, keeps the network under a name of its own (``model.``,
    ``net.``), beside losses, metrics and perhaps an averaged copy of it, which goes first.

    Args:
        state: The checkpoint's tensors.
        module: The network.

    Raises:
        WeightsError: If several parts fit as well.
    """
    own = set(module.state_dict())
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in own:
                counts[".".join(parts[:start])] += 1
    most = max(counts.values(), default=0)
    best = [prefix for prefix, count in counts.items() if count == most]
    averaged = [prefix for prefix in best if AVERAGED.search(prefix)]
    if not best or ("" in best and not averaged):
        return dict(state)
    if len(averaged or best) > 1:
        raise WeightsError(
            f"the checkpoint holds the model's weights {len(best)} times, under "
            f"{', '.join(repr(prefix) for prefix in best)}: save those that you mean alone, as "
            f"torch.save(trained.{best[0]}.state_dict(), path)"
        )
    part = f"{(averaged or best)[0]}."
    return {
        name.removeprefix(part): value for name, value in state.items() if name.startswith(part)
    }


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
        return load_file(file) if file.suffix == ".safetensors" else _load(file, ())
    except Exception as error:  # a damaged file can make its reader raise anything
        code = CODE.search(str(error))
        if code is None:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            if isinstance(error, pickle.UnpicklingError):
                reason = "it is damaged, or was not written by torch.save"
            raise WeightsError(f"checkpoint {str(file)!r} cannot be read: {reason}") from error
        content = _read_around(file)
        if not _unwrap(content):
            raise WeightsError(
                f"checkpoint {str(file)!r} holds more than tensors ({code[1] or code[2]}) and was "
                "not opened, because such a file can run code. Save the weights alone: "
                "torch.save(model.state_dict(), path), or safetensors.torch.save_file"
            ) from error
        return content


def _read_around(file: Path) -> object:
    """Returns a file's content with a stand-in for each object of another class, if that goes."""
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


def _find_labels(content: object) -> tuple[str, ...] | None:
    settings = vars(content) if isinstance(content, argparse.Namespace) else content
    if not isinstance(settings, Mapping):
        return None
    found = (read_labels(settings.get(key)) for key in LABELS)
    inner = (_find_labels(settings.get(key)) for key in SETTINGS)
    return next((labels for labels in (*found, *inner) if labels), None)


def _labels_beside(file: Path) -> tuple[str, ...] | None:
    """Returns the labels in the ``config.json`` that timm and Hugging Face put beside weights."""
    if file.name not in CONFIGURED:
        return None  # of a file by any other name, nothing says that they belong together
    try:
        return _find_labels(json.loads((file.parent / "config.json").read_text("utf-8")))
    except (OSError, ValueError):
        return None


def _unwrap(content: object) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(content, Mapping) or isinstance(content, _Left):
        return {}
    for wrapper in WRAPPERS:
        inner = content.get(wrapper)
        # An average keeps its decay as a number beside nothing else.
        if isinstance(inner, Mapping) and any(each.ndim for each in _unwrap(inner).values()):
            return _unwrap(inner)
    # Others' files keep counters and settings beside the tensors.
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


def _describe(content: object) -> str:
    if isinstance(content, Mapping) and content:
        return ", ".join(repr(key) for key in list(content)[:SHOWN])
    return f"a {type(content).__name__}"


def _strip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    averaged = {name: value for name, value in state.items() if name != "n_averaged"}
    for prefix in PREFIXES:
        if averaged and all(name.startswith(prefix) for name in averaged):
            return _strip({name.removeprefix(prefix): each for name, each in averaged.items()})
    return averaged if len(averaged) < len(state) else state


def count_classes(state: Mapping[str, torch.Tensor], module: nn.Module, classes: int) -> int:
    """Returns how many classes a checkpoint's head has, given a module whose head has ``classes``.

    The head is told by what differs: tensors that fit but for their first dimension, which in
    the module is the number of classes.

    Args:
        state: The checkpoint's tensors.
        module: A module of the same architecture.
        classes: The module's number of classes.
    """
    own = module.state_dict()
    counts = {
        tensor.shape[0]
        for name, tensor in state.items()
        if name in own
        and tensor.ndim == own[name].ndim > 0
        and tensor.shape[1:] == own[name].shape[1:]
        and own[name].shape[0] == classes != tensor.shape[0]
    }
    return counts.pop() if len(counts) == 1 else classes


def fit(state: Mapping[str, torch.Tensor], module: nn.Module, *, file: str, model: str) -> None:
    """Loads a state dict into a module, all of it or, if anything does not fit, nothing.

    Args:
        state: The checkpoint's tensors.
        module: The module.
        file: What the checkpoint is called, for the message.
        model: What the model is called, for the message.

    Raises:
        WeightsError: If keys are missing, unexpected, or of another shape; names the first.
    """
    own = module.state_dict()
    # Batch counters change no output, and files of old versions and other tools leave them out.
    missing = [name for name in own if name not in state and not name.endswith(COUNTER)]
    unexpected = [name for name in state if name not in own]
    reshaped = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    retyped = [
        f"{name} {state[name].dtype} for {own[name].dtype}"
        for name in own
        if name in state and own[name].is_floating_point() and not state[name].is_floating_point()
    ]
    faults = [
        _fault("missing", missing),
        _fault("unexpected", unexpected),
        _fault("of another shape", reshaped),
        _fault("of another type", retyped),
    ]
    if any(faults):
        raise WeightsError(
            f"checkpoint {file!r} does not fit {model}: {'; '.join(filter(None, faults))}"
        )
    # Its own state dict carries the version that some modules (MNASNet) ask for.
    own.update(state)
    module.load_state_dict(own, strict=True)


def _fault(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {kind}: {', '.join(names[:SHOWN])}{more}"
