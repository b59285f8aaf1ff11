"""Models by name, as data: what a spec holds, and who may take which name."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from effcam.errors import ArgumentError, DuplicateModelError
from effcam.registry import (
    DEFAULT_MODELS,
    ModelSpec,
    find_spec,
    register_model,
    registered_names,
)


def test_a_registered_spec_is_found_under_its_name() -> None:
    spec = ModelSpec("mine", constructor="resnet18")
    assert find_spec("mine") is None
    assert register_model(spec) is spec
    assert find_spec("mine") is spec


def test_a_name_is_taken_once() -> None:
    first = register_model(ModelSpec("mine", constructor="resnet18"))
    with pytest.raises(
        DuplicateModelError, match=r"'mine' is registered already.*another name.*replace=True"
    ):
        register_model(ModelSpec("mine", constructor="resnet34"))
    assert find_spec("mine") is first


def test_replace_lets_the_old_model_give_way() -> None:
    register_model(ModelSpec("mine", constructor="resnet18"))
    second = register_model(ModelSpec("mine", constructor="resnet34"), replace=True)
    assert find_spec("mine") is second
    assert registered_names() == ("mine",)


def test_replace_also_registers_what_was_not_there() -> None:
    register_model(ModelSpec("mine"), replace=True)
    assert registered_names() == ("mine",)


def test_names_are_filtered_by_a_glob_and_keep_their_order() -> None:
    for name in ("my_b", "other", "my_a"):
        register_model(ModelSpec(name))
    assert registered_names() == ("my_b", "other", "my_a")
    assert registered_names("my_*") == ("my_b", "my_a")
    assert registered_names("MY_*") == ()


@pytest.mark.parametrize("thing", ["resnet50", None, {"name": "x"}])
def test_only_a_spec_can_be_registered(thing: object) -> None:
    with pytest.raises(ArgumentError, match=f"takes a ModelSpec, not {type(thing).__name__}"):
        register_model(thing)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_spec_needs_a_name(name: object) -> None:
    with pytest.raises(ArgumentError, match=f"non-empty string, not {name!r}"):
        ModelSpec(name)  # type: ignore[arg-type]


def test_a_spec_cannot_be_changed_from_outside() -> None:
    options = {"num_classes": 5}
    spec = ModelSpec("mine", options=options)
    options["num_classes"] = 6
    assert spec.options == {"num_classes": 5}
    with pytest.raises(TypeError):
        spec.options["num_classes"] = 7  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "yours"  # type: ignore[misc]


def test_specs_with_options_can_be_compared_and_hashed() -> None:
    spec = ModelSpec("mine", options={"num_classes": 5})
    assert spec == ModelSpec("mine", options={"num_classes": 5})
    assert spec != ModelSpec("mine", options={"num_classes": 6})
    assert hash(spec) == hash(ModelSpec("mine", options={"num_classes": 5}))


def test_the_default_models_are_the_notebooks_five_in_its_order() -> None:
    assert list(DEFAULT_MODELS) == ["alexnet", "densenet121", "resnet152", "EB0", "EB3"]
    with pytest.raises(TypeError):
        DEFAULT_MODELS["vgg16"] = "torchvision:vgg16"  # type: ignore[index]


def test_the_registry_needs_the_standard_library_alone() -> None:
    code = (
        "import sys, effcam.registry; "
        "print(sorted({'torch', 'timm', 'torchvision', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
