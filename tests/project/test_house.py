"""``tools/house.py``: packages, imports and the longest chain, of small houses and of this one."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = spec_from_file_location("house", ROOT / "tools" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TEXTS = {
    "errors": "import re\n",
    "models": "",
    "models.build": "from effcam.errors import EffcamError\nfrom effcam import __version__\n",
    "models.hub": "def f():\n    from effcam.cam import explain\n",
    "cam.explain": "import effcam.models.build\nfrom effcam.models import hub\n",
    "cam.cells": "if TYPE_CHECKING:\n    from effcam.cam.explain import x\n",
}


def test_imports_are_counted_between_packages(tool: ModuleType) -> None:
    house = tool.House(TEXTS, {"errors": 0, "models": 1, "cam": 2})
    assert house.packages() == ["cam", "models", "errors"]
    assert house.arrows() == {"cam": {"models"}, "models": {"cam", "errors"}, "errors": set()}
    assert house.imports("cam.cells") == {"cam.explain"}
    assert house.imports("cam.cells", late=False) == set()


def test_the_chain_follows_imports_that_run_when_a_module_is_loaded(tool: ModuleType) -> None:
    house = tool.House(TEXTS, {"errors": 0, "models": 1, "cam": 2})
    assert house.longest_chain() == ["cam.explain", "models.build", "errors"]
    circle = {"a": "import effcam.b", "b": "import effcam.a"}
    assert tool.House(circle, {}).longest_chain() == ["a", "b", "a"]


def test_the_working_tree_is_described(tool: ModuleType) -> None:
    house = tool.read_house()
    assert set(house.floors) == set(house.packages())
    shown = tool.describe(house)
    for part in (
        "    0  errors ",
        "    8  cli ",
        "arrows between packages",
        "longest import chain",
    ):
        assert part in shown


def test_a_revision_is_described(tool: ModuleType) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("the sources are not in a git repository")
    assert "errors" in tool.read_house("HEAD").texts
