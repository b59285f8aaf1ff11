"""Print the structure of the package: floors, packages, imports, and the longest import chain.

Run ``python tools/house.py`` for the working tree, or with ``--rev REV`` for a revision of git. The
floors are read from the test that enforces them.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGE = "src/effcam/"
TESTS = ("tests/project/test_layers_of_packages.py", "tests/test_floors.py")
"""The test of the floors; its place until 0.1.0 is the second."""

OUTSIDE = ("__init__", "__main__", "types")
"""Modules that only name or start what lies elsewhere."""


@dataclass(frozen=True, slots=True)
class House:
    """The modules of a revision.

    Attributes:
        texts: The source of each module by dotted name below ``effcam``, as ``cam.explain``.
        floors: The floor of each package, or module at the top, that has one.
    """

    texts: Mapping[str, str]
    floors: Mapping[str, int]

    def package(self, module: str) -> str:
        """Return the innermost package with a floor that contains a module, else the module."""
        parts = module.split(".")
        names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
        return next((name for name in names if name in self.floors), module)

    def packages(self) -> list[str]:
        """Return all packages, from the top floor down; those without a floor come last."""
        known = {self.package(module) for module in self.texts}
        return sorted(known, key=lambda name: (-self.floors.get(name, -1), name))

    def imports(self, module: str, *, late: bool = True) -> set[str]:
        """Return the modules that a module imports.

        Args:
            module: The module's name.
            late: Whether imports in functions, and for type checkers only, count too.
        """
        tree = ast.parse(self.texts[module])
        found = set()
        for node in ast.walk(tree) if late else _executed(tree):
            for name in _names(node):
                parts = name.split(".")
                ends = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
                found.add(next((end for end in ends if end in self.texts), module))
        return found - {module}

    def arrows(self) -> dict[str, set[str]]:
        """Return the packages that each package imports."""
        found: dict[str, set[str]] = {name: set() for name in self.packages()}
        for module in self.texts:
            own = self.package(module)
            found[own] |= {self.package(other) for other in self.imports(module)} - {own}
        return found

    def longest_chain(self) -> list[str]:
        """Return the most modules that import each other, one after the other, when loaded."""
        edges = {module: sorted(self.imports(module, late=False)) for module in self.texts}
        chains: dict[str, list[str]] = {}

        def chain(module: str) -> list[str]:
            if module not in chains:
                chains[module] = [module]  # for a circle of imports, which ends here
                below = [chain(other) for other in edges[module]]
                chains[module] = [module, *max(below, key=len, default=[])]
            return chains[module]

        return max((chain(module) for module in sorted(self.texts)), key=len)


def read_house(revision: str | None = None) -> House:
    """Return the modules of a revision, by default of the working tree."""
    files = dict(_tree_files() if revision is None else _revision_files(revision))
    texts = {_module(path): text for path, text in files.items() if path.startswith(PACKAGE)}
    for name in OUTSIDE:
        texts.pop(name, None)
    return House(texts, _floors(next(files[path] for path in TESTS if path in files)))


def _module(path: str) -> str:
    inside = path.removeprefix(PACKAGE).removesuffix(".py")
    return inside.removesuffix("/__init__").replace("/", ".")


def describe(house: House) -> str:
    """Return the report on a revision as text."""
    arrows = house.arrows()
    lines = [f"{'floor':>5}  {'package':<22}{'modules':>7}{'lines':>7}  imports"]
    for name in house.packages():
        own = [text for module, text in house.texts.items() if house.package(module) == name]
        below = ", ".join(sorted(arrows[name])) or "-"
        lines.append(
            f"{house.floors.get(name, '?'):>5}  {name:<22}{len(own):>7}{_lines(own):>7}  {below}"
        )
    chain = house.longest_chain()
    top = {module.split(".")[0] for module in house.texts}
    lines += [
        "",
        f"{len(house.packages())} packages or modules with a floor, {len(top)} names at the top",
        f"{len(house.texts)} modules, {_lines(house.texts.values())} lines",
        f"{sum(map(len, arrows.values()))} arrows between packages",
        f"{len(chain)} modules in the longest import chain: {' > '.join(chain)}",
    ]
    return "\n".join(lines)


def _lines(texts: Iterable[str]) -> int:
    return sum(text.count("\n") for text in texts)


def _floors(text: str) -> dict[str, int]:
    """Return the floor of each package from the source of the test that enforces them."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS":
            table = ast.literal_eval(node.value)
            if isinstance(table, dict):  # one line a module, until 0.1.0
                return table
            return {name: floor for floor, names in enumerate(table) for name in names}
    raise ValueError("the test has no table FLOORS")


def _tree_files() -> Iterator[tuple[str, str]]:
    tests = [REPOSITORY / path for path in TESTS]
    for path in [*(REPOSITORY / PACKAGE).rglob("*.py"), *filter(Path.is_file, tests)]:
        yield path.relative_to(REPOSITORY).as_posix(), path.read_text("utf-8")


def _revision_files(revision: str) -> Iterator[tuple[str, str]]:
    command = ["git", "-C", str(REPOSITORY), "archive", revision, PACKAGE, "tests"]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".py") else None
            if content and (member.name.startswith(PACKAGE) or member.name in TESTS):
                yield member.name, content.read().decode()


def _executed(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the statements that run when a module is loaded."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def _names(node: ast.AST) -> Iterator[str]:
    """Yield what a statement imports from effcam, as dotted names below it."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return
    yield from (name.removeprefix("effcam.") for name in names if name.startswith("effcam."))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rev", metavar="REV", help="a revision of git; default: the working tree")
    print(describe(read_house(parser.parse_args().rev)))
