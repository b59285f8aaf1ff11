"""Read the design of an architecture's attention from a build without weights.

Many architectures differ only in widths, in how often blocks repeat, and in their weights. The
design is what is left: the classes of modules and how they are nested, with their settings, each
kind of numbered part once. Two architectures of one design do the same to tokens.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from effcam.cam.attention.recording import Attention, visiting_attention
from sweep import build, own_options, own_size

Size: TypeAlias = tuple[int, int]
Shapes: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""The shapes of the values and of the output of an attention."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WIDTHS = _words(
    "attention_dim attn_dim bias_shape ch_in channels conv_dim d depth depths dh dim dim_head "
    "dim_head_qk dim_head_v dim_in dim_out dim_out_qk dim_out_v dims embed_dim embed_dims feat_dim "
    "feature_dim head_dim head_hidden_size hidden_dim hidden_features hidden_size in_channels "
    "in_chs in_dim in_features in_split inner_dim kdim key_attn_dim key_dim kv_dim latent_dim "
    "layer_dims mlp_dim nh_kd normalized_shape num_attention_heads num_blocks num_channels "
    "num_classes num_features num_heads num_kv_heads num_layers o_proj_inpdim out_channels out_chs "
    "out_dim out_features out_split pdim qk_dim query_dim shape skip_dim stem_chs val_attn_dim "
    "val_dim value_dim vdim"
)
"""Settings that say how wide a part is, how many heads it has or how often parts repeat."""
INERT = _words(
    "affine approximate device dtype fused_attn grad_checkpointing inplace track_running_stats "
    "training"
)
"""Settings that change nothing between tokens."""
SIZES = _words(
    "N feat_shape feature_size grid_size image_size img_size max_seq_len num_patches "
    "ref_feat_shape seq_length"
)
"""Settings that follow from the size of the input."""
UNKNOWN = "a value of another kind"
MOST = 8
"""The longest tuple that is a setting."""
PASSIVE = ("Dropout", "DropPath", "Identity", "StochasticDepth")


@dataclass(frozen=True, slots=True)
class Part:
    """A module without its weights.

    Attributes:
        kind: Its class.
        settings: Its settings: numbers, texts, and tuples of these.
        parameters: The names of its own parameters.
        parts: Its submodules by name.
    """

    kind: str
    settings: dict[str, object] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    parts: tuple[tuple[str, Part], ...] = ()


@dataclass(frozen=True, slots=True)
class Design:
    """What attention an architecture computes.

    Attributes:
        layers: How many attentions its pass has.
        digest: Names its design; empty without attention.
    """

    layers: int
    digest: str


def read_design(library: str, name: str, **options: object) -> Design:
    """Return the design of an architecture, from a pass without numbers.

    Args:
        library: Its library.
        name: Its name there.
        options: Options of its constructor besides those for its own input size.
    """
    size = own_size(library, name)
    options = own_options(library, name) | options
    module = build(library, name, meta=True, **options).eval().requires_grad_(False)
    shapes = attention_shapes(module, size)
    return design_of(describe(module), shapes, size)


def design_of(part: Part, shapes: list[Shapes], size: Size) -> Design:
    """Return the design of a described module with attention of these shapes."""
    if not shapes:
        return Design(0, "")
    even = is_even(shapes)
    text = repr((_form(part, without_sizes=even), None if even else size))
    return Design(len(shapes), hashlib.sha256(text.encode()).hexdigest()[:8])


def attention_shapes(module: nn.Module, size: Size) -> list[Shapes]:
    """Return the shapes of each attention of a pass of two images."""
    found: list[Shapes] = []

    def visit(attention: Attention) -> Tensor:
        found.append((tuple(attention.value.shape), tuple(attention.output.shape)))
        return attention.output

    device = next(module.parameters()).device
    with torch.no_grad(), visiting_attention(visit):
        module(torch.zeros(2, 3, *size, device=device))
    return found


def is_even(shapes: Iterable[Shapes]) -> bool:
    """Return whether all attention is of one sequence of tokens, but for pools of it.

    What such a network does to tokens does not depend on how many there are.
    """
    mixing = {(value, output) for value, output in shapes if value[-2] == output[-2]}
    values = {value[:-1] for value, _ in mixing}
    if len(values) != 1:
        return False
    most = max(value[-2] for value, _ in mixing)
    return all(max(value[-2], output[-2]) <= 1.1 * most for value, output in shapes)


def describe(module: nn.Module) -> Part:
    """Return a module without its weights."""
    kept = {
        name: _plain(value)
        for name, value in vars(module).items()
        if not name.startswith("_") and _plain(value) not in (None, UNKNOWN)
    }
    return Part(
        f"{type(module).__module__}.{type(module).__qualname__}",
        kept,
        tuple(sorted(module._parameters)),
        tuple((name, describe(each)) for name, each in module._modules.items() if each is not None),
    )


def _plain(value: object) -> object:
    """Return a setting: a number without a fraction, a text, or a short tuple of these."""
    if isinstance(value, tuple | list):
        parts = tuple(_plain(each) for each in value)
        return UNKNOWN if len(parts) > MOST or UNKNOWN in parts or None in parts else parts
    if isinstance(value, enum.Enum):
        return str(value)
    return value if value is None or isinstance(value, bool | int | str) else UNKNOWN


def _form(part: Part, *, without_sizes: bool) -> tuple[Any, ...]:
    """Return what of a part belongs to the design."""
    left_out = WIDTHS | INERT | (SIZES if without_sizes else frozenset())
    settings = [
        (name, value == 1 if name == "groups" else value)
        for name, value in sorted(part.settings.items())
        if name not in left_out
    ]
    parts: list[Any] = []
    for name, each in part.parts:
        if _is_inert(each):
            continue
        form = _form(each, without_sizes=without_sizes)
        # Numbered parts repeat: each kind counts once.
        known = form if name.isdigit() else (name, form)
        if not name.isdigit() or known not in parts:
            parts.append(known)
    return part.kind, tuple(settings), part.parameters, tuple(parts)


def _is_inert(part: Part) -> bool:
    """Return whether a part works on each number by itself."""
    last = part.kind.rpartition(".")[2]
    return last.startswith(PASSIVE) or ("activation" in part.kind and "Multihead" not in last)
