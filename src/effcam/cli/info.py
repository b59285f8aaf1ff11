"""The command ``effcam info``: what a report on a bug needs to know of a machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from effcam import __version__
from effcam.cli.console import BOLD, document_alone, paint, say, say_json
from effcam.text import align

EXAMPLES = """\
examples:
  effcam info
  effcam info --json | jq .packages.torch
"""
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def add_info(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "info",
        help="tell versions, devices and caches, for a report on a bug",
        description="Tells versions, devices, caches and settings, to be pasted into a report on a "
        "bug. It names\nneither you nor your home, and shows no token. It takes seconds, since it "
        "imports every\npackage to see whether it works.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run_info)
    parser.add_argument_group("output").add_argument(
        "--json", action="store_true", help="print it as one JSON document"
    )


def run_info(options: argparse.Namespace) -> None:
    """Print what there is to say."""
    from effcam.cli.environment import find_out

    # Packages may print as they are imported.
    with document_alone(True):
        found = find_out()
    if options.json:
        say_json("info", found)
        return
    for heading, rows in _sections(found):
        say(f"{paint(heading, BOLD, sys.stdout)}\n{_indented(rows)}")


def _sections(found: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    python = found["python"]
    yield (
        f"effcam {__version__}",
        [
            ("Python", f"{python['version']}, {python['implementation']}, {python['executable']}"),
            ("platform", found["platform"]),
            ("installed in", python["effcam"]),
        ],
    )
    yield "packages", list(found["packages"].items())
    yield "extras", [(f"effcam[{name}]", _listed(state)) for name, state in found["extras"].items()]
    yield "devices", list(_devices(found["processor"], found["torch"]))
    yield "caches", list(_caches(found["caches"], found["weights"]))
    yield "environment", list(found["environment"].items()) or [("none set", "")]


def _listed(states: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {state}" for name, state in states.items())


def _devices(processor: Mapping[str, Any], torch: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cores = f"{processor['cores']} cores"
    if processor["usable"] not in (None, processor["cores"]):
        cores += f", {processor['usable']} of them usable"
    if "error" not in torch:
        cores += f", {torch['threads']} threads"
    yield "cpu", f"{_text(processor['name'])}, {cores}, {_bytes(processor['memory'])}"
    if "error" in torch:
        yield "gpu", _text(torch)
        return
    for device in torch["devices"]:
        yield device["name"], f"{device['model']}, {_bytes(device['memory'])}, CUDA {torch['cuda']}"
    if torch["mps"]:
        yield "mps", "available"
    if not torch["devices"] and not torch["mps"]:
        built = f"built for CUDA {torch['cuda']}" if torch["cuda"] else "built for the CPU alone"
        yield "gpu", f"none; torch is {built}"


def _caches(caches: Mapping[str, Any], weights: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "error" in caches:
        yield "folders", _text(caches)
    else:
        for name, cache in caches.items():
            yield name, f"{cache['folder']}, {_bytes(cache['bytes'], nothing='not there yet')}"
    if "error" in weights:
        yield "weights", _text(weights)
    else:
        yield "weights", f"{weights['here']:,} of {weights['known']:,} published sets are here"


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return f"not known: {value['error']}"
    return "not known" if value is None else str(value)


def _bytes(value: object, *, nothing: str = "not known") -> str:
    """Return a number of bytes in words.

    >>> _bytes(3 * 2**30), _bytes(0), _bytes(None)
    ('3.0 GiB', '0 B', 'not known')
    """
    if not isinstance(value, int):
        return nothing if value is None else _text(value)
    size, unit = float(value), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{value} B"


def _indented(rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"  {line}" for line in align(rows).split("\n"))
