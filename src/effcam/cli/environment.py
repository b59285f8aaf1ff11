"""What a report on a bug needs to know of a machine: versions, devices, caches, settings.

It is made to be shown to strangers: home folders are ``~``, names of users and what opens doors
are left out. It must come about where something is broken, since then it is asked for.
"""

from __future__ import annotations

import getpass
import importlib
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES: Mapping[str, str] = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "grad-cam": "pytorch_grad_cam",
    "numpy": "numpy",
    "pillow": "PIL",
    "imageio": "imageio",
    "matplotlib": "matplotlib",
    "scipy": "scipy",
    "tqdm": "tqdm",
    "safetensors": "safetensors",
    "huggingface-hub": "huggingface_hub",
    "filelock": "filelock",
    "fsspec": "fsspec",
    "shtab": "shtab",
    "jinja2": "jinja2",
}
"""What effcam needs, by distribution, each with the module that tells whether it works."""

EXTRAS: Mapping[str, Mapping[str, str]] = {
    "dataset": {"pyarrow": "pyarrow"},
    "ray": {"ray": "ray.data", "pyarrow": "pyarrow"},
    "video": {"av": "av"},
}
"""What else effcam can use, by the extra that installs it."""

VARIABLES = (
    *("NO_COLOR", "TERM", "COLUMNS", "LANG", "LC_ALL", "PYTHONIOENCODING", "PYTHONUTF8"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN", "TORCH_HOME"),
    *("HUGGING_FACE_HUB_TOKEN", "XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
    *("MKL_NUM_THREADS", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "RAY_ADDRESS"),
    *("PYTORCH_ENABLE_MPS_FALLBACK", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE"),
    *("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"),
)
"""The variables of the environment that change what effcam, or a library under it, does."""

SECRET = re.compile(r"token|proxy$", re.IGNORECASE)
"""Which variables may hold what opens doors; that of ``no_proxy`` names machines."""
SET = "set, not shown"
MISSING = "missing"


def find_out() -> dict[str, Any]:
    """Return what there is to say, as JSON has it: texts, numbers, ``None`` where not known.

    Nothing of it names the user or their home. It takes seconds, since packages are imported to
    see whether they work.
    """
    with _quietly():
        found = {
            "python": _python(),
            "platform": platform.platform(),
            "packages": {name: _state(name, module) for name, module in PACKAGES.items()},
            "extras": {
                extra: {name: _state(name, module) for name, module in needed.items()}
                for extra, needed in EXTRAS.items()
            },
            "processor": _processor(),
            "torch": _attempt(_torch),
            "caches": _attempt(_caches),
            "weights": _attempt(_weights),
            "environment": {
                name: SET if SECRET.search(name) else os.environ[name]
                for name in VARIABLES
                if name in os.environ
            },
        }
    private: dict[str, Any] = anonymous(found)
    return private


def anonymous(value: Any) -> Any:
    """Return texts, in mappings and sequences, without home folders, users and passwords.

    >>> anonymous("https://me:secret@host/path")
    'https://***@host/path'
    """
    if isinstance(value, Mapping):
        return {key: anonymous(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [anonymous(each) for each in value]
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return _hide(value) if isinstance(value, str) else value


def _hide(text: str) -> str:
    text = re.sub(r"(?<=://)[^/@\s]+@", "***@", text)
    home = os.path.expanduser("~")  # noqa: PTH111  # Path.home raises where there is none
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    user = _user()
    # As a folder of a path: a word like "test" may be a user too.
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|$)", "USER", text) if user else text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""


def _python() -> dict[str, Any]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "effcam": str(Path(__file__).parent),
    }


def _state(distribution: str, module: str) -> str:
    """Return the version of a package, and why it cannot be used if it cannot."""
    try:
        number = version(distribution)
    except PackageNotFoundError:
        return MISSING
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  # a broken package may raise anything
        return f"{number}, broken: {_reason(error)}"
    return number


def _attempt(ask: Callable[[], Any]) -> Any:
    """Return an answer, or why there is none."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  # a broken package may raise anything
        return {"error": _reason(error)}


def _reason(error: Exception) -> str:
    """Return the first line of what an error says, after its kind."""
    said = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _processor() -> dict[str, Any]:
    return {
        "name": _attempt(_processor_name),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory": _attempt(_memory),
    }


def _processor_name() -> str | None:
    known = Path("/proc/cpuinfo")
    if known.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", known.read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or None


def _memory() -> int | None:
    """Return the bytes of memory, where the system says."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _torch() -> dict[str, Any]:
    import torch

    cuda = torch.cuda
    return {
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "devices": [
            {
                "name": f"cuda:{number}",
                "model": cuda.get_device_properties(number).name,
                "memory": cuda.get_device_properties(number).total_memory,
            }
            for number in range(cuda.device_count() if cuda.is_available() else 0)
        ],
        "mps": torch.backends.mps.is_available(),
    }


def _caches() -> dict[str, Any]:
    from effcam.models.downloads import cache_folders

    return {
        name: {"folder": str(folder), "bytes": _size(folder)}
        for name, folder in cache_folders().items()
    }


def _size(folder: Path) -> int | None:
    """Return the bytes of the files in a folder, ``None`` if there is none."""
    if not folder.is_dir():
        return None
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            # The hub's names are links to where the bytes are.
            with suppress(OSError):  # gone meanwhile
                total += Path(place, name).lstat().st_size
    return total


def _weights() -> dict[str, int]:
    """Return how many of the sets of published weights are on this machine."""
    from effcam.models.listing import list_models
    from effcam.models.registry import find_spec
    from effcam.models.zoo import find_architecture, published_weights

    names = [name for name in list_models(pretrained=True) if find_spec(name) is None]
    places = [published_weights(find_architecture(name)) for name in names]
    known = [each for each in places if each is not None]
    return {"known": len(known), "here": sum(each.find() is not None for each in known)}
