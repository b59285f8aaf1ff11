"""The kind of a layer, by its class and its name."""

from __future__ import annotations

from torch import nn

PASSIVE = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
)
PASSIVE_NAMES = ("DropPath", "StochasticDepth", "DropBlock2d", "Dropout")
LIBRARIES = ("timm", "torchvision")
DEMO = "effcam.demo.architectures."
ATTENTION_NAMES = ("att", "mhsa", "mha")
# Names of the layers that attention computes queries with.
QUERY_NAMES = ("qkv", "to_qkv", "q", "to_q", "q_proj", "query", "in_proj")
HEAD_NAMES = ("head", "classif", "fc", "logit")


def is_attention(name: str, module: nn.Module) -> bool:
    """Return whether a module is attention, by its name, its class's or that of its queries."""
    own, kind = name.rpartition(".")[2].casefold(), type(module).__name__.casefold()
    named = any(word in text for word in ATTENTION_NAMES for text in (own, kind))
    return (
        (named or any(part in QUERY_NAMES for part, _ in module.named_children()))
        and not isinstance(module, nn.Linear | nn.Conv2d | nn.Softmax)
        and not is_norm(module)
        and not is_passive(module)
    )


def is_norm(module: nn.Module) -> bool:
    """Return whether a module normalises, by itself or by all of its parts that have weights."""
    if "norm" in type(module).__name__.casefold():
        return True
    weighted = [each for each in module.modules() if any(True for _ in each.parameters(False))]
    return module not in weighted and bool(weighted) and all(map(is_norm, weighted))


def is_passive(module: nn.Module) -> bool:
    """Return whether a module returns its input, or only pools it."""
    return isinstance(module, PASSIVE) or type(module).__name__ in PASSIVE_NAMES


def is_dense_head(name: str, module: nn.Module, channels: int, classes: int) -> bool:
    """Return whether a module classifies every cell of a map."""
    own = name.rpartition(".")[2].casefold()
    return (
        isinstance(module, nn.Linear | nn.Conv2d)
        and channels == classes
        and any(word in own for word in HEAD_NAMES)
    )


def is_known(module: nn.Module) -> bool:
    """Return whether a network is one of those that `tools/sweep.py` or a test verifies."""
    home = type(module).__module__
    return home.partition(".")[0] in LIBRARIES or home.startswith(DEMO)


def quantised_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the layers with integer weights, by name."""
    names: dict[nn.Module, str] = {each: name for name, each in module.named_modules()}
    return {
        name: each
        for each, name in names.items()
        if any(_is_quantised(type(part)) for part in (each, *each.parameters(recurse=False)))
    }


def _is_quantised(kind: type) -> bool:
    """Return whether a class is one of torch's or torchao's layers or tensors of integers."""
    package, _, rest = kind.__module__.partition(".")
    return (package == "torch" and "quantized" in rest) or package == "torchao"
