"""Modules of the caller's own: remove wrappers, check them, read their attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from effcam.errors import ArgumentError, LayerError, ModelError
from effcam.models.class_names import read_labels
from effcam.models.tracing.closed_parts import is_exported
from effcam.models.tracing.isolation import is_script, untouched
from effcam.models.tracing.module_kinds import quantised_layers
from effcam.models.tracing.runners import device_of, dtype_of

Layers: TypeAlias = str | nn.Module | Sequence[str | nn.Module] | None

SIDE = 224
"""The side in px of images for a graph that takes any."""

# Classes that wrap a network, and the attribute that holds it.
WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
    "ModelEmaV2": "module",
    "ModelEmaV3": "module",
    "OptimizedModule": "_orig_mod",
}


def unwrap(module: nn.Module) -> nn.Module:
    """Return the network without wrappers for parallel, averaged and compiled models.

    Hooks do not run in compiled code, and parallel copies do not return their layers' outputs.
    """
    inner = getattr(module, WRAPPERS.get(type(module).__name__, ""), None)
    return unwrap(inner) if isinstance(inner, nn.Module) else module


def check_module(module: nn.Module, name: str) -> None:
    """Refuse modules that cannot run, or whose layers cannot be hooked.

    Raises:
        ModelError: If it is TorchScript, without weights, lazy, or made in inference mode.
    """
    if is_script(module):
        raise ModelError(
            f"{name} is a TorchScript module, whose layers cannot be traced: give the "
            "nn.Module that it was made from"
        )
    tensors = [*module.parameters(), *module.buffers()]
    # Quantised layers keep their weights in a form of their own.
    if not tensors and not quantised_layers(module):
        raise ModelError(f"{name} has no parameters, so it is no network to look into")
    if any(is_lazy(each) for each in tensors):
        raise ModelError(f"{name} has lazy layers: run it once on a batch of images first")
    if any(each.is_inference() for each in tensors):
        raise ModelError(
            f"{name} was made under torch.inference_mode(), so nothing can be differentiated "
            "through it; make it outside"
        )


def check_numbers(tensors: Sequence[torch.Tensor], name: str) -> None:
    """Refuse the tensors of a module that is on the meta device, also in part.

    Raises:
        ModelError: If a weight holds no numbers.
    """
    if any(each.is_meta for each in tensors):
        raise ModelError(
            f"{name} has weights on the meta device, which holds shapes and no numbers: make it "
            "outside of torch.device('meta'), or call .to_empty(device='cpu') and load its weights"
        )


def open_exported(module: nn.Module, name: str) -> nn.Module:
    """Return an exported graph as modules that run hooks, with the same weights.

    Other modules are returned as they are.

    Raises:
        ModelError: If the graph takes batches of one size only, or cannot be taken apart.
    """
    shape = _exported_shape(module)
    if shape and isinstance(shape[0], int):
        raise ModelError(
            f"{name} was exported for batches of exactly {shape[0]}: export it with dynamic_shapes="
            '({0: torch.export.Dim("batch")},), or give the nn.Module that it was made from'
        )
    if not is_exported(module):
        return module
    sides = (each if isinstance(each, int) else SIDE for each in shape[1:])
    images = torch.zeros(2, *sides, device=device_of(module), dtype=dtype_of(module))
    dynamic = ({0: torch.export.Dim.AUTO},)  # of any range
    try:
        with untouched(module), torch.inference_mode(False):
            program = torch.export.export(module, (images,), dynamic_shapes=dynamic)
            opened = torch.export.unflatten(program)
        _share_tensors(opened, module)
        return opened
    except Exception as error:  # a graph may hold anything
        raise ModelError(
            f"{name} is an exported graph, which cannot be taken apart ({_first_line(error)}): "
            "give the nn.Module that it was made from, or torch.export.unflatten(program)"
        ) from error


def _share_tensors(module: nn.Module, source: nn.Module) -> None:
    """Give a module the parameters and buffers that another one has under the same names."""
    parameters, buffers = dict(source.named_parameters()), dict(source.named_buffers())
    for name, each in module.named_modules():
        dot = f"{name}." if name else ""
        for own, found in ((each._parameters, parameters), (each._buffers, buffers)):
            own.update({key: found[dot + key] for key in own if dot + key in found})


def _exported_shape(module: nn.Module) -> tuple[object, ...]:
    """Return the shape of an exported graph's first input; sides that may vary are no ints."""
    if not is_exported(module) and not isinstance(module, torch.export.UnflattenedModule):
        return ()
    graph: Any = module.graph
    values = (node.meta.get("val") for node in graph.nodes if node.op == "placeholder")
    return next((tuple(each.shape) for each in values if isinstance(each, torch.Tensor)), ())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def layer_names(module: nn.Module, layers: Layers) -> tuple[str, ...]:
    """Return the dotted names of the layers that a caller chose, empty for ``None``.

    Args:
        module: The network, unwrapped.
        layers: One or several names or submodules. A name may begin with a wrapper's prefix.

    Raises:
        LayerError: If a module is no part of the network.
        ArgumentError: If it is neither a name nor a module, nor several of them.
    """
    if layers is None:
        return ()
    several = [layers] if isinstance(layers, str | nn.Module) else layers
    if not isinstance(several, Iterable) or not several:
        raise ArgumentError(
            "target_layer must be a layer's name, the layer itself, several of these or None, "
            f"not {layers!r}"
        )
    return tuple(dict.fromkeys(_layer_name(module, each) for each in several))


def _layer_name(module: nn.Module, layer: object) -> str:
    names: dict[nn.Module, str] = {each: name for name, each in module.named_modules() if name}
    if isinstance(layer, nn.Module):
        if layer in names:
            return names[layer]
        raise LayerError(
            f"the target layer, a {type(layer).__name__}, is no part of the model; choose one of "
            "its own modules"
        )
    if not isinstance(layer, str):
        raise ArgumentError(f"a target layer is a name or a module, not {layer!r}")
    every = dict(module.named_modules(remove_duplicate=False))
    bare = layer
    while bare not in every and bare.partition(".")[0] in WRAPPERS.values():
        bare = bare.partition(".")[2]
    if bare not in every:
        with suppress(AttributeError):  # a compiled part passes on the names inside it
            return names.get(module.get_submodule(bare), bare)
    # A shared module has its first name. For an unknown name, the trace raises a better error.
    return names.get(every.get(bare, module), bare) or layer


def own_size(module: nn.Module) -> tuple[int, int] | None:
    """Return the input size that a Hugging Face model's config states, (height, width) in px.

    The model may be a part of a training module, as Lightning's.
    """
    return next(filter(None, map(_stated_size, module.modules())), None)


def own_labels(module: nn.Module) -> tuple[str, ...] | None:
    """Return the classes' names that a module carries with it, ``None`` if it has none.

    timm's modules have them in their ``pretrained_cfg``, Hugging Face's in their ``config``; the
    model may be a part of a training module.
    """
    return next(filter(None, map(_stated_labels, module.modules())), None)


def _stated_size(module: nn.Module) -> tuple[int, int] | None:
    height, width = _exported_shape(module)[2:] or (None, None)
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    config = getattr(module, "config", None)
    # Models of images and texts have a config for each.
    for each in (config, getattr(config, "vision_config", None)):
        stated = getattr(each, "image_size", None)
        values = [stated, stated] if isinstance(stated, int) else stated
        if isinstance(values, list | tuple) and len(values) == 2:
            height, width = values
            if isinstance(height, int) and isinstance(width, int):
                return height, width
    return None


def _stated_labels(module: nn.Module) -> tuple[str, ...] | None:
    config = getattr(module, "pretrained_cfg", None)
    if isinstance(config, Mapping) and config.get("label_names"):
        return read_labels(config["label_names"])
    return read_labels(getattr(getattr(module, "config", None), "id2label", None))
