"""The command ``effcam models``: the known models, and the layers or the placement of one."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from effcam.cli.console import echo, echo_json, echo_table, reserve_stdout
from effcam.errors import ArgumentError, UnknownModelError, did_you_mean
from effcam.models.architectures import SOURCES

if TYPE_CHECKING:
    from effcam.models.tracing.target_layer import TargetLayer

LAYERS = ("layer", "layout", "prefix", "channels", "grid", "")
EXAMPLES = """\
examples:
  effcam models 'efficientnet*'
  effcam models 'resnet*' --pretrained
  effcam models --source torchvision --json | jq -r '.models[] | [.name, .top1] | @tsv'
  effcam models vit_base_patch16_224 --layers
  effcam models demo_alexnet --placement
"""


def add_models(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "models",
        help="list the known models, or the layers of one",
        description="List the names for 'effcam compare -m', with the facts that are known without "
        "building the\nmodel: parameters, input size, the top-1 accuracy that the library states, "
        "and target layer.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run_models)
    chosen = parser.add_argument_group("models")
    chosen.add_argument(
        "pattern",
        nargs="?",
        default="*",
        metavar="PATTERN",
        help="a glob, such as 'resnet*'; with --layers or --placement, a name",
    )
    chosen.add_argument("--source", choices=SOURCES, help="list the models of one source only")
    chosen.add_argument(
        "--pretrained",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="list each set of published weights, or only models without any",
    )
    about = chosen.add_mutually_exclusive_group()
    about.add_argument(
        "--layers",
        action="store_true",
        help="list the possible target layers of one model, and mark the default",
    )
    about.add_argument(
        "--placement",
        action="store_true",
        help="measure where the cells of one model's maps lie in its input, with its weights",
    )
    output = parser.add_argument_group("output").add_mutually_exclusive_group()
    output.add_argument("--names", action="store_true", help="print only the names, one per line")
    output.add_argument("--json", action="store_true", help="print one JSON document")


def run_models(options: argparse.Namespace) -> None:
    """Print models, or the layers or the placement of one."""
    if options.layers:
        _print_layers(options)
    elif options.placement:
        _print_placement(options)
    else:
        _print_models(options)


def _print_models(options: argparse.Namespace) -> None:
    from effcam.models.listing import list_models

    names = list_models(options.pattern, source=options.source, pretrained=options.pretrained)
    if not names:
        raise UnknownModelError(f"no model's name matches {options.pattern!r}.{_hint(options)}")
    if options.names:
        echo("\n".join(names))
        return
    from effcam.models.listing import RIGHT, describe_all, records

    if options.json:
        echo_json("models", {"models": records(names)})
    else:
        echo_table(describe_all(names), right=RIGHT)


def _hint(options: argparse.Namespace) -> str:
    """Suggest a wider pattern if it matches names, or close names."""
    from effcam.models.listing import list_models

    wider = f"*{options.pattern.strip('*')}*"
    found = list_models(wider, source=options.source, pretrained=options.pretrained)
    if found:
        return f" {wider!r} matches {len(found)}."
    return did_you_mean(options.pattern, list_models())


def _print_layers(options: argparse.Namespace) -> None:
    layers = _find_layers(options)
    if options.json:
        echo_json("models", {"model": options.pattern, "layers": list(map(_record, layers))})
    elif options.names:
        echo("\n".join(layer.name for layer in layers))
    else:
        echo_table([LAYERS, *map(_row, layers)], right=[2, 3, 4])


def _find_layers(options: argparse.Namespace) -> tuple[TargetLayer, ...]:
    """Return the layers of the model that the pattern names, built without weights."""
    _check_single(options, "--layers")
    from effcam.models.loading import load_untrained

    with reserve_stdout(options.json):
        return tuple(load_untrained(options.pattern).layers())


def _print_placement(options: argparse.Namespace) -> None:
    _check_single(options, "--placement")
    if options.names:
        raise ArgumentError("--names has no meaning with --placement")
    from effcam.models.loading import load_model

    with reserve_stdout(options.json):
        model = load_model(options.pattern, device="cpu")
        placement = model.placement
    if options.json:
        echo_json("models", {"model": options.pattern, "placement": asdict(placement)})
    else:
        echo(str(placement))


def _check_single(options: argparse.Namespace, option: str) -> None:
    """Check that an option about one model is given one, and none about several.

    Raises:
        ArgumentError: If not.
    """
    for name in ("source", "pretrained"):
        if getattr(options, name) is not None:
            raise ArgumentError(f"--{name} has no meaning with {option}, which is about one model")
    if re.search(r"[*?[]", options.pattern):
        raise ArgumentError(
            f"{option} needs the name of one model, such as 'resnet50', not {options.pattern!r}"
        )


def _row(layer: TargetLayer) -> tuple[str, ...]:
    grid = "x".join(map(str, layer.grid))
    prefix = str(layer.prefix) if layer.layout == "tokens" else ""
    mark = f"<- {layer.reason}" if layer.reason else ""
    return (layer.name, layer.layout, prefix, str(layer.channels), grid, mark)


def _record(layer: TargetLayer) -> dict[str, object]:
    return {
        "name": layer.name,
        "layout": layer.layout,
        "prefix": layer.prefix,
        "channels": layer.channels,
        "grid": layer.grid,
        "default": bool(layer.reason),
        "reason": layer.reason or None,
    }
