"""Names that a function's bytecode uses, and whether its code is installed or the caller's own."""

from __future__ import annotations

import dis
import site
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, ModuleType


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those inside it: of lambdas, comprehensions and inner functions."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def attribute_names(code: CodeType) -> set[str]:
    """Return the names of globals, attributes and modules that code uses."""
    return {name for each in nested(code) for name in each.co_names}


def global_names(code: CodeType) -> list[str]:
    """Return the names of globals that code uses, sorted."""
    found = {
        str(step.argval)
        for each in nested(code)
        for step in dis.get_instructions(each)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return sorted(found)


@cache
def is_installed(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package.

    Code without a file, as from a notebook or from ``exec``, is the caller's own.
    """
    if file.startswith("<"):
        return file.startswith("<frozen ")
    path = Path(file).resolve()
    return any(path.is_relative_to(folder) for folder in _folders())


def is_installed_module(module: ModuleType | None) -> bool:
    """Return whether a module is Python's or an installed package's."""
    if module is None or module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if file is None:  # built in, or a package without __init__.py
        return module.__name__ in sys.builtin_module_names or not hasattr(module, "__path__")
    return is_installed(file)


@cache
def release(package: str) -> str:
    """Return the version of an installed package, empty where it is unknown."""
    try:
        return version(package)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", ""))


@cache
def _folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [sysconfig.get_path(name) for name in names]
    own = Path(__file__).parents[1]  # effcam, which may be installed as editable
    every = [*found, *site.getsitepackages(), site.getusersitepackages()]
    return own, *(Path(each).resolve() for each in every if each)
