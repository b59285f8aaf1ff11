"""A user's own weights: read without running code, unwrapped, and fitted to a module."""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from effcam.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import nn

# Averaged weights go first: who keeps them evaluates with them.
WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
)
PREFIXES = ("module.", "_orig_mod.")
# How torch.load names what it will not make: "GLOBAL posix.system", "TorchScript archives".
CODE = re.compile(r"GLOBAL (\w[\w.]*)|with (TorchScript) archives")
OLD_NAME = re.compile(r"\.(norm|relu|conv)\.([12])\.")
COUNTER = "num_batches_tracked"
SHOWN = 3


def read_checkpoint(path: str | PathLike[str]) -> dict[str, torch.Tensor]:
    """Returns the state dict in a file, on the CPU, without wrapping dicts and prefixes.

    ``.safetensors`` files are read as such, all others by ``torch.load(weights_only=True)``,
    which refuses whatever could run code.

    Args:
        path: The file.

    Raises:
        WeightsError: If the file is missing, damaged, holds code, or holds no state dict.
    """
    file = check_checkpoint(path)
    state = _unwrap(_read(file))
    if not state:
        raise WeightsError(
            f"checkpoint {str(path)!r} holds no state dict: expected tensors by name, as "
            "torch.save(model.state_dict(), path) writes them, plain or under one of "
            + ", ".join(WRAPPERS)
        )
    return _strip(state)


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


def _read(file: Path) -> object:
    import torch
    from safetensors.torch import load_file
    from torch.serialization import safe_globals

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # timm's training script keeps its arguments beside the weights: a record that does no harm.
        # What torch warns of, it refuses a moment later, or it concerns who wrote the file.
        with warnings.catch_warnings(action="ignore"), safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make its reader raise anything
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        code = CODE.search(str(error))
        if code:
            raise WeightsError(
                f"checkpoint {str(file)!r} holds more than tensors ({code[1] or code[2]}) and was "
                "not opened, because such a file can run code. Save the weights alone: "
                "torch.save(model.state_dict(), path), or safetensors.torch.save_file"
            ) from error
        if isinstance(error, pickle.UnpicklingError):
            reason = "it is damaged, or was not written by torch.save"
        raise WeightsError(f"checkpoint {str(file)!r} cannot be read: {reason}") from error


def _unwrap(content: object) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(content, Mapping):
        return {}
    for wrapper in WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, Mapping) and (state := _unwrap(inner)):
            return state
    # Others' files keep counters and settings beside the tensors.
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


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
    faults = [
        _fault("missing", missing),
        _fault("unexpected", unexpected),
        _fault("of another shape", reshaped),
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
