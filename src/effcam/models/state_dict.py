"""Choose the part of a checkpoint that is a module's, and load it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from effcam.errors import WeightsError
from effcam.models.checkpoint import SHOWN, first_line
from effcam.text import one_line, quote

if TYPE_CHECKING:
    import torch
    from torch import nn

AVERAGED = re.compile("(?<![a-z])ema(?![a-z])", re.IGNORECASE)
OLD_NAME = re.compile(r"\.(norm|relu|conv)\.([12])\.")
COUNTER = "num_batches_tracked"


def rename_old(state: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict with the module's own keys instead of older ones.

    torchvision's published DenseNet files call ``norm1`` of a dense layer ``norm.1``.
    """
    own = module.state_dict()
    renamed = {name: OLD_NAME.sub(r".\1\2.", name) for name in state}
    return {
        renamed[name] if name not in own and renamed[name] in own else name: tensor
        for name, tensor in state.items()
    }


def select(state: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the part of a state dict that belongs to a module, under the module's names.

    A training module, as Lightning's, keeps the network under a prefix (``model.``, ``net.``),
    beside losses, metrics and perhaps an averaged copy of it, which is preferred.

    Args:
        state: The checkpoint's tensors.
        module: The network.

    Raises:
        WeightsError: If several parts fit equally well.
    """
    own = set(module.state_dict())
    longest = max((name.count(".") for name in own), default=0) + 1
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for start in range(max(0, len(parts) - longest), len(parts)):
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
            f"{', '.join(quote(prefix) for prefix in best[:SHOWN])}: save only the ones you "
            f"mean, as torch.save(trained.{one_line(best[0])}.state_dict(), path)"
        )
    part = f"{(averaged or best)[0]}."
    return {
        name.removeprefix(part): value for name, value in state.items() if name.startswith(part)
    }


def count_classes(state: Mapping[str, torch.Tensor], module: nn.Module, classes: int) -> int:
    """Return the number of classes of a checkpoint's head.

    The head's tensors fit but for their first dimension, which is the number of classes in the
    module.

    Args:
        state: The checkpoint's tensors.
        module: A module of the same architecture.
        classes: The module's number of classes; returned if no head is found.
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
    """Load a state dict into a module, all of it or, if anything does not fit, nothing.

    Args:
        state: The checkpoint's tensors.
        module: The module.
        file: The checkpoint's path, for the message.
        model: The model's name, for the message.

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
        if name in state and not _converts(state[name], own[name])
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
    # The module's own state dict carries the version that some modules (MNASNet) need.
    own.update(state)
    try:
        module.load_state_dict(own, strict=True)
    except Exception as error:  # modules may check a state dict in their own ways
        raise WeightsError(
            f"checkpoint {file!r} cannot be loaded into {model}: {first_line(error)}"
        ) from error


def _converts(given: torch.Tensor, own: torch.Tensor) -> bool:
    """Return whether numbers keep their kind in the module's type."""
    if own.is_floating_point():
        return given.is_floating_point()
    return own.is_complex() or not given.is_complex()


def _fault(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {kind}: {', '.join(map(one_line, names[:SHOWN]))}{more}"
