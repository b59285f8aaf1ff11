"""The names of grad-cam's CAM classes, read from the installed package without importing it.

Importing it takes seconds, and the command line lists the names.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "pytorch_grad_cam"
ROOT = "BaseCAM"
WRAPPED = "base_method"
"""The argument of a class that runs another CAM class."""


@cache
def grad_cam_classes() -> dict[str, str]:
    """Return the public CAM classes of the installed grad-cam: the class by its method's name.

    These are the classes of the package that derive from its `BaseCAM`, or run another CAM class.

    >>> classes = grad_cam_classes()
    >>> classes["gradcam++"], classes["kpcacam"], "ablationlayer" in classes
    ('GradCAMPlusPlus', 'KPCA_CAM', False)
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return {}
    entry = Path(spec.origin)
    found: dict[str, str] = {}
    for statement in _parse(entry).body:
        if not isinstance(statement, ast.ImportFrom) or statement.module is None:
            continue
        file = entry.parent.joinpath(*statement.module.split(".")[1:]).with_suffix(".py")
        if not file.is_file():
            continue
        makes_maps = {each.name for each in _parse(file).body if _makes_maps(each)}  # type: ignore[attr-defined]
        found |= {
            method_name(each.name): each.name for each in statement.names if each.name in makes_maps
        }
    return found


def method_name(class_name: str) -> str:
    """Return the usual name of a method, given its class in grad-cam.

    >>> method_name("GradCAMPlusPlus"), method_name("KPCA_CAM"), method_name("FullGrad")
    ('gradcam++', 'kpcacam', 'fullgrad')
    """
    return class_name.replace("PlusPlus", "++").replace("_", "").lower()


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _makes_maps(statement: ast.stmt) -> bool:
    """Return whether a statement defines a class that makes maps."""
    if not isinstance(statement, ast.ClassDef):
        return False
    if any(isinstance(base, ast.Name) and base.id == ROOT for base in statement.bases):
        return True
    functions = [each for each in statement.body if isinstance(each, ast.FunctionDef)]
    starts = [each for each in functions if each.name == "__init__"]
    return any(argument.arg == WRAPPED for each in starts for argument in each.args.args)
