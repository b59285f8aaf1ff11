"""Make an environment with uv for each family of packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from zoo.entries import Family, Package

ROOT = Path(__file__).parents[2]
PINNED = ("torch", "torchvision", "timm", "numpy", "pillow")
"""What no package may replace: effcam runs with these."""


def python_of(folder: Path) -> Path:
    """Return the interpreter of an environment."""
    return folder / "bin" / "python"


def make_environment(family: Family, folder: Path) -> dict[str, str]:
    """Install effcam from the checkout and a family's packages, those that can be installed.

    Returns:
        The reason for each package that could not be installed, by its name.

    Raises:
        SystemExit: If effcam itself cannot be installed.
    """
    if not python_of(folder).exists():
        _uv("venv", "--python", "3.11", str(folder))
    problem = _install(folder, "--editable", str(ROOT))
    if problem:
        raise SystemExit(f"effcam could not be installed: {problem}")
    constraints = _constraints(folder)
    failed = {}
    for package in family.packages:
        problem = _install_package(folder, package, constraints)
        if problem:
            failed[package.name] = problem
    return failed


def _install_package(folder: Path, package: Package, constraints: Path) -> str:
    options = ["--no-deps"] if package.alone else ["--constraint", str(constraints)]
    return _install(folder, *options, package.pin)


def _constraints(folder: Path) -> Path:
    listed = _uv("pip", "freeze", "--python", str(python_of(folder))).stdout.splitlines()
    path = folder / "constraints.txt"
    kept = [line for line in listed if line.partition("==")[0] in PINNED]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return path


def _install(folder: Path, *what: str) -> str:
    """Install something; return what went wrong, empty if nothing did."""
    done = _uv("pip", "install", "--python", str(python_of(folder)), *what)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[-300:]


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["uv", *arguments],  # noqa: S607  # the uv on the path is the one to use
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"UV_NO_PROGRESS": "1"},
    )
