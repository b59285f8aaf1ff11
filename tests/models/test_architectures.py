"""The table shipped with effcam: it agrees with the libraries, and is used for their versions."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torchvision
from torchvision.models import get_model_weights

import effcam
from effcam import load_model
from effcam.models import architectures
from effcam.models.architectures import (
    LIBRARIES,
    ArchitectureFacts,
    Library,
    is_current,
    known_architectures,
    known_names,
)
from effcam.models.lookup import KINDS, find_architecture
from effcam.models.timm_architecture import TimmArchitecture
from effcam.models.torchvision_architecture import TorchvisionArchitecture

REPOSITORY = Path(__file__).parents[2]
TABLE = Path(architectures.__file__).parent / architectures.TABLE

CHEAP = 8e6
SMALL = 256
LAYER, OTHER = "layer4", "layer3"
"""The layer of test_resnet that is looked at by default, and another one that can be."""

current = pytest.mark.skipif(
    not all(map(is_current, LIBRARIES)), reason="other versions are installed than the table's"
)


def rows() -> dict[tuple[str, str], dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {(row["library"], row["name"]): row for row in csv.DictReader(file)}


def library_names(library: Library) -> list[str]:
    if library == "timm":
        return list(timm.list_models())
    return list(torchvision.models.list_models(module=torchvision.models))


def sample(count: int, known: list[Any]) -> list[Any]:
    return [known[at] for at in np.random.default_rng(0).permutation(len(known))[:count]]


@pytest.fixture
def fresh() -> Iterator[None]:
    """Clear the caches of the table and of the libraries, before and after."""
    known = (
        *(known_architectures, is_current, known_names),
        *(kind.library_names for kind in KINDS.values()),
    )
    for each in known:
        each.cache_clear()
    yield
    for each in known:
        each.cache_clear()


# contents of the table


@current
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_architecture_is_in_the_table_in_the_librarys_order(library: Library) -> None:
    assert [name for owner, name in rows() if owner == library] == library_names(library)


@current
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_weights_are_the_librarys_the_default_first(library: Library) -> None:
    for name in sample(40, library_names(library)):
        assert list(known_architectures()[library, name].weights) == KINDS[library].library_weights(
            name
        )


@current
def test_accuracies_are_those_that_torchvision_states() -> None:
    for name in library_names("torchvision"):
        for weights in get_model_weights(name):
            known = known_architectures()["torchvision", name].weights[weights.name]
            stated = weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
            # For vgg16's features, which have no classifier, it is NaN.
            assert known == (None if math.isnan(stated) else pytest.approx(stated)), name


@pytest.fixture(scope="module")
def sweep() -> ModuleType:
    """The script that writes the table."""
    spec = spec_from_file_location("sweep", REPOSITORY / "tools" / "sweep.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["sweep"] = module
    spec.loader.exec_module(module)
    return module


def cheap() -> list[tuple[str, str]]:
    """A few architectures of each layout, each traced in a second or less."""
    chosen = []
    for layout, count in (("NCHW", 7), ("tokens", 4), ("NHWC", 1)):
        chosen += sample(
            count,
            [
                pair
                for pair, row in rows().items()
                if row["layout"] == layout
                and int(row["parameters"]) < CHEAP * (4 if layout == "NHWC" else 1)
                and int(row["size"].partition("x")[0]) <= SMALL
            ],
        )
    return chosen


@current
@pytest.mark.parametrize("pair", cheap(), ids=":".join)
def test_it_is_what_is_derived_from_the_libraries(pair: tuple[str, str], sweep: ModuleType) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        derived = sweep.derive(*pair)
    shipped = rows()[pair]
    assert shipped.pop("verified") in ("yes", "no")
    if not derived["bypass"]:  # it is measured
        derived["bypass"] = shipped["bypass"]
    assert derived == shipped


def test_every_row_is_whole() -> None:
    assert len(known_architectures()) == len(rows()) > 1000
    for (library, name), entry in known_architectures().items():
        assert (entry.library, entry.name) == (library, name)
        assert entry.constructor.startswith(f"{library}.models."), name
        assert entry.constructor.endswith(f".{name}"), name
        assert entry.parameters > 0, name
        assert min(entry.size) >= 32, name
        assert entry.rule, name
        if entry.layers:
            assert entry.bypass is None or 0 <= entry.bypass <= 1, name
            assert entry.layout in ("NCHW", "NHWC", "tokens"), name
            assert min(entry.grid) > 1, name
        else:
            assert (entry.layout, entry.grid, entry.prefix) == ("", (0, 0), 0), name
            assert "expected a classifier" in entry.rule, name


def test_rows_become_entries() -> None:
    entry = known_architectures()["torchvision", "resnet50"]
    assert entry == ArchitectureFacts(
        library="torchvision",
        name="resnet50",
        version=entry.version,
        constructor="torchvision.models.resnet.resnet50",
        size=(224, 224),
        layers=("layer4",),
        layout="NCHW",
        prefix=0,
        grid=(7, 7),
        pooling="",
        parameters=25557032,
        weights={"IMAGENET1K_V2": 80.858, "IMAGENET1K_V1": 76.13},
        rule="features entering the head",
        bypass=0.0,
        verified=entry.verified,
    )
    assert entry.family == "resnet"
    several = known_architectures()["timm", "crossvit_tiny_240"]
    assert several.layers == ("blocks.2.blocks.0", "blocks.2.blocks.1")
    assert (several.layout, several.prefix, several.family) == ("tokens", 1, "crossvit")
    assert set(known_architectures()["timm", "resnet50"].weights.values()) == {None}


def test_the_table_cannot_be_changed_from_outside() -> None:
    with pytest.raises(TypeError):
        known_architectures()["timm", "mine"] = known_architectures()["timm", "resnet50"]  # type: ignore[index]
    with pytest.raises(TypeError):
        known_architectures()["timm", "resnet50"].weights["mine"] = 99.0  # type: ignore[index]


# when it is used


@pytest.mark.usefixtures("fresh")
def test_it_holds_for_the_version_that_it_was_derived_with(monkeypatch: pytest.MonkeyPatch) -> None:
    (known,) = {row["version"] for (library, _), row in rows().items() if library == "timm"}
    for installed, current in (
        (known, True),
        (f"{known}+cu126", True),
        (f"{known}1", False),
        (f"{known}.dev0", False),
        ("0.1", False),
    ):
        is_current.cache_clear()
        monkeypatch.setattr(architectures, "version", lambda _, installed=installed: installed)
        assert is_current("timm") is current, installed


@pytest.mark.usefixtures("fresh")
def test_an_empty_table_knows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_current("hf-hub")
    header = TABLE.read_text("utf-8").partition("\n")[0]
    (tmp_path / architectures.TABLE).write_text(f"{header}\n")
    monkeypatch.setattr(architectures, "files", lambda _: tmp_path)
    known_architectures.cache_clear()
    is_current.cache_clear()
    assert known_architectures() == {}
    assert not is_current("timm")


@pytest.mark.usefixtures("fresh")
def test_other_versions_of_the_libraries_are_asked_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(architectures, "version", lambda _: "0.1")
    monkeypatch.setattr(timm, "list_models", lambda: ["resnet50", "brand_new"])
    monkeypatch.setattr(torchvision.models, "list_models", lambda **_: ["alexnet"])
    for kind in KINDS.values():
        monkeypatch.setattr(kind, "library_weights", lambda name: ["asked", name])
    assert TimmArchitecture.names() == ("resnet50", "brand_new")
    assert TorchvisionArchitecture.names() == ("alexnet",)
    for name in TimmArchitecture.names():
        assert TimmArchitecture.weights_names(name) == ["asked", name]
    names = [name for name in effcam.list_models() if not name.startswith("demo_")]
    assert names == ["alexnet", "brand_new", "resnet50"]
    assert find_architecture("brand_new") == TimmArchitecture("brand_new", "asked")


@current
def test_the_libraries_are_not_asked_while_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        pytest.fail("the library was asked")

    monkeypatch.setattr(timm, "list_models", fail)
    monkeypatch.setattr(torchvision.models, "list_models", fail)
    for kind in KINDS.values():
        monkeypatch.setattr(kind, "library_weights", fail)
    known_names.cache_clear()
    assert len(effcam.list_models()) == len(rows()) + len(effcam.list_models("demo_*"))
    assert TorchvisionArchitecture.weights_names("resnet50") == ["IMAGENET1K_V2", "IMAGENET1K_V1"]


@current
def test_listing_and_describing_import_no_library() -> None:
    code = """
        import json, sys
        import effcam
        from effcam.models.listing import describe_all
        from effcam.models.lookup import find_architecture

        names = effcam.list_models()
        weights = effcam.list_models(pretrained=True)
        rows = describe_all([*names, *weights])
        find_architecture("torchvision:resnet50.IMAGENET1K_V1")
        print(json.dumps([len(names), len(weights), len(rows), sorted(sys.modules)]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    names, weights, described, modules = json.loads(done.stdout)
    assert names > 1000
    assert weights > names
    assert described == names + weights + 1
    assert {"torch", "timm", "torchvision", "huggingface_hub"}.isdisjoint(modules)


def test_an_architecture_that_was_added_to_timm_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.models import _registry

    for module in (_registry._model_entrypoints,):
        monkeypatch.setitem(module, "own_net", timm.models.model_entrypoint("test_resnet"))
    assert find_architecture("own_net") == TimmArchitecture("own_net", "")
    assert find_architecture("timm:own_net").library == "timm"
    assert load_model("own_net", pretrained=False).name == "timm:own_net"


# the layers in it


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace values in the row of test_resnet, for any installed version."""
    pair = ("timm", "test_resnet")
    known = known_architectures()[pair]
    assert known.layers == (LAYER,)

    def record(**changes: Any) -> None:
        changed = {**known_architectures(), pair: replace(known, **changes)}
        monkeypatch.setattr(architectures, "known_architectures", lambda: changed)
        monkeypatch.setattr(architectures, "is_current", lambda library: library == "timm")

    return record


def test_its_layer_is_the_one_that_is_looked_at(recorded: Any) -> None:
    recorded(layers=(OTHER,), rule="as recorded")
    for options in ({}, {"num_classes": 7}, {"drop_rate": 0.5}):
        model = load_model("timm:test_resnet", pretrained=False, options=options)
        assert model.target_layer == OTHER
        assert model.layer.reason == "as recorded"
    spec = effcam.ModelSpec("mine", constructor="test_resnet", pretrained=False)
    assert load_model(spec).target_layer == OTHER


def test_several_layers_are_taken_as_they_are_recorded(recorded: Any) -> None:
    recorded(layers=("layer2", OTHER), rule="as recorded")
    model = load_model("timm:test_resnet", pretrained=False)
    assert [layer.name for layer in model.target_layers] == ["layer2", OTHER]


def test_the_callers_layer_goes_before_it(recorded: Any) -> None:
    recorded(layers=(OTHER,), rule="as recorded")
    model = load_model("timm:test_resnet", pretrained=False, target_layer="layer2")
    assert model.target_layer == "layer2"


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": ("layer9",)},
        {"layers": (OTHER, "layer9")},
        {"layers": (OTHER,), "layout": "tokens"},
        {"layers": ("fc",)},
        {"layers": (), "layout": ""},
    ],
)
def test_layers_that_do_not_fit_are_found_again(recorded: Any, changes: dict[str, Any]) -> None:
    recorded(**changes, rule="as recorded")
    model = load_model("timm:test_resnet", pretrained=False)
    assert model.target_layer == LAYER
    assert model.layer.reason == "features entering the head"


def test_of_another_version_nothing_is_taken(
    recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(layers=(OTHER,))
    monkeypatch.setattr(architectures, "is_current", lambda _: False)
    assert load_model("timm:test_resnet", pretrained=False).target_layer == LAYER


@pytest.mark.parametrize("options", [{"output_stride": 16}, {"global_pool": "max"}])
def test_options_that_change_the_structure_make_the_layers_be_found_again(
    recorded: Any, options: dict[str, object]
) -> None:
    recorded(layers=(OTHER,))
    model = load_model("timm:test_resnet", pretrained=False, options=options)
    assert model.target_layer == LAYER


def test_a_transformer_that_averages_its_cells_is_looked_at_elsewhere() -> None:
    known = known_architectures()["timm", "test_vit"]
    token = load_model("timm:test_vit", pretrained=False)
    assert (token.target_layer, token.layer.prefix) == (known.layers[0], known.prefix)
    average = load_model("timm:test_vit", pretrained=False, options={"global_pool": "avg"})
    assert average.target_layer != token.target_layer
    assert average.layer.reason == "features entering the head"


def test_modules_of_the_caller_are_traced(recorded: Any) -> None:
    recorded(layers=(OTHER,))
    assert load_model(timm.create_model("test_resnet")).target_layer == LAYER
