"""grad-cam's CAM classes, read from the installed package without importing it.

Importing it takes seconds, and the command line lists the names.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "pytorch_grad_cam"
ROOT = "BaseCAM"
WRAPPED = "base_method"
"""The argument of a class that runs another CAM class."""
WHOLE_MAP = {"__call__", "forward", "compute_cam_per_layer", "aggregate_multi_layers"}
"""The methods of the root class that make one map, at the input's size, of those of layers."""
LAYER_MAP = "get_cam_image"
"""The method of the root class that makes the map of one layer, and smooths it if asked to."""


@dataclass(frozen=True, slots=True)
class CamClass:
    """A CAM class of grad-cam.

    Attributes:
        name: Its name.
        of_layers: Whether it makes a map of each layer that `BaseCAM` then enlarges; otherwise it
            makes a map of the input's pixels.
        smooths: Whether it can return the first principal component, ``eigen_smooth``.
    """

    name: str
    of_layers: bool = True
    smooths: bool = True


@cache
def grad_cam_classes() -> dict[str, CamClass]:
    """Return the public CAM classes of the installed grad-cam: the class by its method's name.

    These are the classes of the package that derive from its `BaseCAM`, or run another CAM class.

    >>> classes = grad_cam_classes()
    >>> classes["gradcam++"], classes["kpcacam"].smooths, "ablationlayer" in classes
    (CamClass(name='GradCAMPlusPlus', of_layers=True, smooths=True), False, False)
    """
    spec = find_spec(PACKAGE)
    return {} if spec is None or spec.origin is None else read_classes(Path(spec.origin))


def read_classes(entry: Path) -> dict[str, CamClass]:
    """Return the public CAM classes of a package, given its ``__init__.py``."""
    public: list[str] = []
    known: dict[str, ast.ClassDef] = {}
    for statement in _parse(entry).body:
        if not isinstance(statement, ast.ImportFrom) or statement.module is None:
            continue
        file = entry.parent.joinpath(*statement.module.split(".")[1:]).with_suffix(".py")
        if file.is_file():
            public += [alias.name for alias in statement.names]
            parts = _parse(file).body
            known |= {part.name: part for part in parts if isinstance(part, ast.ClassDef)}
    found = (_describe(name, known) for name in public if name in known)
    return {method_name(each.name): each for each in found if each is not None}


def method_name(class_name: str) -> str:
    """Return the usual name of a method, given its class in grad-cam.

    >>> method_name("GradCAMPlusPlus"), method_name("KPCA_CAM"), method_name("FullGrad")
    ('gradcam++', 'kpcacam', 'fullgrad')
    """
    return class_name.replace("PlusPlus", "++").replace("_", "").lower()


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _describe(name: str, known: dict[str, ast.ClassDef]) -> CamClass | None:
    """Return what is known of a class; ``None`` if it makes no maps."""
    line, derives = _ancestry(name, known)
    parts = [part for each in line for part in each.body]
    own = {part.name for part in parts if isinstance(part, ast.FunctionDef)}
    if derives:
        return CamClass(name, not own & WHOLE_MAP, LAYER_MAP not in own)
    if any(_wraps(each) for each in line):
        return CamClass(name, of_layers=False)
    return None


def _ancestry(name: str, known: dict[str, ast.ClassDef]) -> tuple[list[ast.ClassDef], bool]:
    """Return a class with those it derives from, below the root, and whether it derives from it."""
    line: list[ast.ClassDef] = []
    derives = False
    waiting = [name]
    while waiting:
        at = waiting.pop()
        derives |= at == ROOT
        if at in known and at != ROOT and known[at] not in line:
            line.append(known[at])
            waiting += [_last_name(base) for base in known[at].bases]
    return line, derives


def _last_name(base: ast.expr) -> str:
    """Return the last part of a dotted name; empty for other expressions."""
    if isinstance(base, ast.Attribute):
        return base.attr
    return base.id if isinstance(base, ast.Name) else ""


def _wraps(definition: ast.ClassDef) -> bool:
    """Return whether a class runs another CAM class."""
    functions = [each for each in definition.body if isinstance(each, ast.FunctionDef)]
    starts = [each for each in functions if each.name == "__init__"]
    return any(argument.arg == WRAPPED for each in starts for argument in each.args.args)
