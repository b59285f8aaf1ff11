"""Offsets that were measured before: those of the demo models, and a cache on disk.

A key stands for all that an offset depends on: first the architecture, the layer and the transform,
then the weights, which take longer to read. Only networks whose classes are all of torch,
torchvision, timm or effcam are remembered on disk, since the code of others may change where
neither weights nor names show it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam.errors import OutputError
from effcam.files import atomic
from effcam.images.preprocess import Preprocess
from effcam.models.tracing.cache import WeightsCache
from effcam.models.tracing.offset import Offset
from effcam.models.tracing.target_layer import TargetLayer

if TYPE_CHECKING:
    from torch import nn

OFFSETS: WeightsCache[Offset | None] = WeightsCache()
SHIPPED = Path(__file__).with_name("demo_offsets.json")
METHOD = 1
"""The version of the way in which offsets are measured: another one has other keys."""
VERSIONED = ("timm", "torchvision")
"""Packages whose networks another release may change."""
OWN = ("torch", "effcam", *VERSIONED)


def offset_of(
    module: nn.Module,
    layer: TargetLayer,
    preprocess: Preprocess,
    measure: Callable[[], Offset | None],
) -> Offset | None:
    """Return the offset of a layer's cells, measured unless it is known; ``None`` if there is none.

    Args:
        module: The network.
        layer: The layer to look at.
        preprocess: The network's transform.
        measure: Measures it; exceptions are not remembered.
    """

    def find() -> Offset | None:
        key = offset_key(module, layer, preprocess)
        if key is not None:
            with contextlib.suppress(KeyError):
                return find_offset(key)
        offset = measure()
        if key is not None:
            keep_offset(key, offset)
        return offset

    return OFFSETS.get(module, (layer, preprocess), find)


def known_offset(module: nn.Module, layer: TargetLayer, preprocess: Preprocess) -> Offset | None:
    """Return the offset of a layer's cells if it was measured before, else ``None``.

    Args:
        module: The network.
        layer: The layer to look at.
        preprocess: The network's transform.
    """

    def find() -> Offset | None:
        start = _structure_key(module, layer, preprocess)
        if start is None or not _is_known(start):
            raise KeyError(start)
        return find_offset(f"{start}-{_weights_key(module)}")

    with contextlib.suppress(KeyError):
        return OFFSETS.get(module, (layer, preprocess), find)
    return None


def offset_key(module: nn.Module, layer: TargetLayer, preprocess: Preprocess) -> str | None:
    """Return what stands for an offset on disk; ``None`` if it is not to be remembered there.

    Args:
        module: The network.
        layer: The layer to look at.
        preprocess: The network's transform.
    """
    start = _structure_key(module, layer, preprocess)
    return None if start is None else f"{start}-{_weights_key(module)}"


def _structure_key(module: nn.Module, layer: TargetLayer, preprocess: Preprocess) -> str | None:
    packages = {type(each).__module__.partition(".")[0] for each in module.modules()}
    if not packages <= set(OWN) or any(each.is_meta for each in module.state_dict().values()):
        return None
    described = [METHOD, repr(module), str(layer), layer.turn, repr(preprocess)]
    described += [(name, metadata.version(name)) for name in sorted(packages & set(VERSIONED))]
    return hashlib.blake2b(repr(described).encode(), digest_size=8).hexdigest()


def _weights_key(module: nn.Module) -> str:
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        plain = (tensor.dequantize() if tensor.is_quantized else tensor).detach().cpu()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _is_known(start: str) -> bool:
    """Return whether an offset is known whose key starts with that of a structure."""
    shipped = any(key.startswith(start) for key in _shipped())
    return shipped or any(cache_folder().glob(f"{start}-*.json"))


def find_offset(key: str) -> Offset | None:
    """Return the offset of that key, from the package or from disk.

    Raises:
        KeyError: If it was not measured before.
    """
    shipped = _shipped()
    if key in shipped:
        return _read(shipped[key])
    try:
        return _read(json.loads((cache_folder() / f"{key}.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:  # absent, or not written by effcam
        raise KeyError(key) from error


def keep_offset(key: str, offset: Offset | None) -> None:
    """Write an offset to disk for later; without effect if that is impossible."""
    with contextlib.suppress(OSError, OutputError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        with atomic(cache_folder() / f"{key}.json") as file:
            file.write_text(json.dumps(offset), "utf-8")


def cache_folder() -> Path:
    """Return the folder of measured offsets: in that of torch's own caches."""
    import torch

    return Path(torch.hub.get_dir()).parent / "effcam" / "offsets"


def _read(stored: Any) -> Offset | None:
    """Return an offset from JSON.

    Raises:
        ValueError: If it is none.
        TypeError: If it is none.
    """
    if stored is None:
        return None
    (down, across), (down_error, across_error) = stored
    return Offset((float(down), float(across)), (float(down_error), float(across_error)))


@cache
def _shipped() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(SHIPPED.read_text("utf-8"))
    return found
