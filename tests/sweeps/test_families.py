"""Every family of architectures: the smallest is run and compared with grad-cam, another traced."""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from effcam.errors import ModelError
from effcam.models.architectures import JOINT, ArchitectureFacts, is_current, known_architectures
from effcam.models.loading import load_untrained
from effcam.models.lookup import find_architecture
from tests.tiers import core

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # libraries' remarks on their own future
    pytest.mark.skipif(
        not (is_current("timm") and is_current("torchvision")),
        reason="the table is of other versions of timm and torchvision",
    ),
]


def load_sweep() -> ModuleType:
    """Return the tool that runs all architectures; here it runs some."""
    spec = importlib.util.spec_from_file_location("sweep", ROOT / "tools" / "sweep.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sweep"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sweep() -> Iterator[ModuleType]:
    yield load_sweep()
    del sys.modules["sweep"]


@pytest.fixture(autouse=True)
def memory_returns() -> Iterator[None]:
    yield
    gc.collect()


def families() -> dict[str, list[ArchitectureFacts]]:
    """Return the architectures with class scores of each family, by size."""
    found: dict[str, list[ArchitectureFacts]] = defaultdict(list)
    for entry in sorted(known_architectures().values(), key=lambda entry: entry.parameters):
        if entry.layers:
            found[f"{entry.library}:{entry.family}"].append(entry)
    return found


FAMILIES = families()
CORE = {
    "timm:resnet",  # NCHW
    "timm:mambaout",  # NHWC
    "timm:vision_transformer",  # a class token
    "timm:vision_transformer_relpos",  # pooled tokens
    "timm:crossvit",  # two layers side by side
    "torchvision:googlenet",  # auxiliary heads
}
"""The families in the default tier; test_parity_with_grad_cam.py has five more there."""


@pytest.mark.sweep
@pytest.mark.parametrize("family", core(FAMILIES, CORE))
def test_the_smallest_of_a_family_gives_grad_cams_map(sweep: ModuleType, family: str) -> None:
    entry = FAMILIES[family][0]
    run = sweep.Run(**sweep.run(entry.library, entry.name))
    assert run.reason == ""
    assert (run.layer, run.layout) == (JOINT.join(entry.layers), entry.layout)
    assert run.verified, run
    model = load_untrained(f"{entry.library}:{entry.name}")
    assert tuple(layer.name for layer in model.target_layers) == entry.layers
    assert (model.layer.layout, model.layer.prefix) == (entry.layout, entry.prefix)
    assert model.layer in model.layers()
    assert model.scores.has_classes is find_architecture(str(model.name)).has_classifier()


@pytest.mark.sweep
@pytest.mark.parametrize(
    "family", core([name for name, members in FAMILIES.items() if members[1:]], {"timm:resnet"})
)
def test_another_of_a_family_is_traced_to_the_layer_that_is_shipped(
    sweep: ModuleType, family: str
) -> None:
    members = FAMILIES[family]
    entry = members[len(members) // 2]
    row = sweep.derive(entry.library, entry.name)
    shipped = sweep.read_shipped()[entry.library, entry.name]
    row["bypass"] = row["bypass"] or shipped["bypass"]  # it is measured
    assert row == {key: value for key, value in shipped.items() if key != "verified"}


def test_every_family_of_both_libraries_is_run() -> None:
    without = {entry.family for entry in known_architectures().values() if not entry.layers}
    known = {f"{entry.library}:{entry.family}" for entry in known_architectures().values()}
    assert known - FAMILIES.keys() <= {f"timm:{family}" for family in without}
    assert len(FAMILIES) > 100


def test_what_gives_no_row_of_values_is_refused() -> None:
    encoders = [entry for entry in known_architectures().values() if not entry.layers]
    smallest = min(encoders, key=lambda entry: entry.parameters)
    message = f"{smallest.name}.* expected a classifier, .*target_layer"
    with pytest.raises(ModelError, match=message):
        load_untrained(smallest.name)
