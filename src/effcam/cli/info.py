"""The command ``effcam info``: versions, devices and settings for a bug report.

The report is for strangers: home folders are shown as ``~``, and neither the user's name nor
tokens and passwords appear in it. It must also work where torch or another package is broken.
"""

from __future__ import annotations

import argparse
import getpass
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from effcam import __version__
from effcam.cli.console import BOLD, echo, echo_json, paint, reserve_stdout
from effcam.cli.imports import importing
from effcam.text import align

EXAMPLES = """\
examples:
  effcam info
  effcam info --json | jq .packages.torch
"""
PACKAGES = (
    *("torch", "torchvision", "timm", "grad-cam", "numpy", "pillow", "imageio", "matplotlib"),
    *("scipy", "tqdm", "safetensors", "huggingface-hub", "filelock", "fsspec", "shtab", "jinja2"),
    "pyyaml",
)
EXTRAS = {
    "app": ("gradio",),
    "clip": ("open_clip_torch", "transformers"),
    "dataset": ("pyarrow",),
    "datasets": ("datasets",),
    "fiftyone": ("fiftyone",),
    "lightning": ("lightning",),
    "mlflow": ("mlflow",),
    "pandas": ("pandas",),
    "polars": ("polars",),
    "ray": ("ray", "pyarrow"),
    "tensorboard": ("tensorboard",),
    "trainer": ("accelerate", "transformers"),
    "video": ("av",),
    "wandb": ("wandb",),
}
VARIABLES = (
    *("NO_COLOR", "TERM", "COLUMNS", "LANG", "LC_ALL", "PYTHONIOENCODING", "PYTHONUTF8"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN", "TORCH_HOME"),
    *("HUGGING_FACE_HUB_TOKEN", "XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
    *("MKL_NUM_THREADS", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "RAY_ADDRESS"),
    *("PYTORCH_ENABLE_MPS_FALLBACK", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE"),
    *("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"),
)
"""The environment variables that change what effcam, or a library that it uses, does."""
SECRET = re.compile(r"token|proxy$", re.IGNORECASE)
"""Variables whose values may hold a password; those of ``no_proxy`` name machines."""


def add_info(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "info",
        help="print versions, devices and settings for a bug report",
        description="Print versions, devices, caches and settings, to paste into a bug report. "
        "Your name, your\nhome folder, tokens and passwords are left out.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run_info)
    parser.add_argument_group("output").add_argument(
        "--json", action="store_true", help="print one JSON document instead"
    )


def run_info(options: argparse.Namespace) -> None:
    """Print the report."""
    with reserve_stdout(True):  # torch may print as it is imported
        report = anonymous(collect())
    if options.json:
        echo_json("info", report)
        return
    echo(paint(f"effcam {__version__}", BOLD, sys.stdout))
    for heading, content in report.items():
        lines = align(list(_rows(content))).replace("\n", "\n  ")
        echo(f"{paint(heading, BOLD, sys.stdout)}\n  {lines.lstrip()}")


def collect() -> dict[str, Any]:
    """Return the report as JSON has it; of packages, only torch is imported."""
    return {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
            "effcam": str(Path(__file__).parents[1]),
        },
        "platform": platform.platform(),
        "packages": _versions(PACKAGES),
        "extras": {extra: _versions(packages) for extra, packages in EXTRAS.items()},
        "processor": {"machine": platform.machine(), "cores": os.cpu_count()},
        "torch": _attempt(_torch),
        "caches": _attempt(_caches),
        "environment": {
            name: "set, not shown" if SECRET.search(name) else os.environ[name]
            for name in VARIABLES
            if name in os.environ
        },
    }


def anonymous(value: Any) -> Any:
    """Return texts, in mappings and lists too, without home folders, user names and passwords.

    >>> anonymous("https://me:secret@host/path")
    'https://***@host/path'
    """
    if isinstance(value, Mapping):
        return {key: anonymous(each) for key, each in value.items()}
    if isinstance(value, list):
        return [anonymous(each) for each in value]
    if not isinstance(value, str):
        return value
    text = re.sub(r"(?<=://)[^/@\s]+@", "***@", value)
    home = os.path.expanduser("~")  # noqa: PTH111  # Path.home raises where there is none
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    try:
        user = re.escape(getpass.getuser())
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return text
    # Only as a folder of a path: a word like "test" may be a user's name too.
    return re.sub(rf"(?<=[/\\]){user}(?=[/\\]|$)", "USER", text)


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _attempt(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  # a broken package may raise anything
        return {"error": f"{type(error).__name__}: {error}".strip().split("\n")[0]}


def _torch() -> dict[str, Any]:
    with importing():
        import torch

    cuda = torch.cuda
    cards = map(cuda.get_device_properties, range(cuda.device_count()))
    return {
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "devices": [
            {"name": f"cuda:{number}", "model": card.name, "memory": card.total_memory}
            for number, card in enumerate(cards)
        ],
        "mps": torch.backends.mps.is_available(),
    }


def _caches() -> dict[str, Any]:
    from effcam.models.downloads import cache_folders

    return {name: {"folder": str(folder)} for name, folder in cache_folders().items()}


def _rows(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value of a nested report as text, after the path to it: ``devices 0 name``."""
    if value and isinstance(value, Mapping | list):
        named = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, each in named:
            yield from _rows(each, f"{name} {key}".strip())
    else:
        yield name, str(value) if value or value == 0 else "none"
