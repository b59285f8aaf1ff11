"""Specs of models, and the registry of their names."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from effcam.errors import ArgumentError, DuplicateModelError, EffcamWarning
from effcam.models import registry
from effcam.models.registry import (
    DEFAULT_MODELS,
    ModelSpec,
    find_spec,
    register_model,
    registered_names,
)


@pytest.fixture(autouse=True)
def without_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty the registry; tests/demo/test_models.py tests its usual content."""
    monkeypatch.setattr(registry, "OWN", ())
    monkeypatch.setattr(registry, "_registered", {})


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


def test_replace_replaces_the_registered_model() -> None:
    register_model(ModelSpec("mine", constructor="resnet18"))
    second = register_model(ModelSpec("mine", constructor="resnet34"), replace=True)
    assert find_spec("mine") is second
    assert registered_names() == ("mine",)


def test_replace_also_registers_new_names() -> None:
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


def test_the_registry_imports_only_the_standard_library() -> None:
    code = (
        "import sys, effcam.models.registry; "
        "print(sorted({'torch', 'timm', 'torchvision', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# models of installed packages


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Add entry points to an installed package, by name, that load the given values."""

    def offer(**offered: Any) -> None:
        package = ModuleType("ownpackage")
        entries = []
        for name, thing in offered.items():
            setattr(package, name, thing)
            entries.append(EntryPoint(name, f"ownpackage:{name}", registry.GROUP))
        monkeypatch.setitem(sys.modules, "ownpackage", package)
        monkeypatch.setattr(registry, "entry_points", lambda *, group: entries * (group != ""))

    return offer


A, B, C = (ModelSpec(f"own_{letter}", constructor="resnet18") for letter in "abc")


def several() -> Iterator[ModelSpec]:
    yield A
    yield B


@pytest.mark.parametrize(
    ("offered", "names"),
    [
        (A, ("own_a",)),
        ([A, B], ("own_a", "own_b")),
        ((A, B), ("own_a", "own_b")),
        (lambda: A, ("own_a",)),
        (lambda: [A, B], ("own_a", "own_b")),
        (several, ("own_a", "own_b")),
        ([], ()),
        (lambda: None, ()),
    ],
)
def test_an_entry_point_is_a_spec_or_several_or_a_function_that_returns_these(
    offer: Callable[..., None], offered: object, names: tuple[str, ...]
) -> None:
    offer(models=offered)
    assert registered_names() == names
    assert find_spec("own_a") is (A if names else None)


def test_a_spec_is_found_without_being_listed_first(offer: Callable[..., None]) -> None:
    offer(models=[A, B])
    assert find_spec("own_b") is B


def test_entry_points_are_read_once(
    offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    def models() -> ModelSpec:
        called.append("models")
        return A

    offer(models=models)
    found = registry.entry_points

    def look(*, group: str) -> Any:
        called.append(group)
        return found(group=group)

    monkeypatch.setattr(registry, "entry_points", look)
    for _ in range(3):
        assert find_spec("own_a") is A
        assert registered_names() == ("own_a",)
    assert called == ["effcam.models", "models"]


def test_a_package_may_register_its_models_itself(offer: Callable[..., None]) -> None:
    def register() -> list[ModelSpec]:
        return [register_model(A), register_model(B, replace=True), C]

    offer(register=register)
    assert registered_names() == ("own_a", "own_b", "own_c")


def test_a_package_may_look_models_up_while_it_is_read(offer: Callable[..., None]) -> None:
    def models() -> ModelSpec:
        known = find_spec("own_b")
        assert known is B
        return dataclasses.replace(known, name="own_copy")

    offer(models=models, more=B)
    assert registered_names() == ("own_b", "own_copy")


class Net:
    """A callable that is not a spec."""

    def __call__(self) -> None:
        raise AssertionError("called twice")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("own_a", r"ArgumentError\('expected a ModelSpec, several, or .*, not a str'\)"),
        ({"own_a": A}, r"ArgumentError\('expected a ModelSpec, .*, not a str'\)"),
        (5, r"ArgumentError\('expected a ModelSpec, .*, not a int'\)"),
        ([A, "own_b"], r"ArgumentError\('expected a ModelSpec, .*, not a str'\)"),
        (Net, r"ArgumentError\('expected a ModelSpec, .*, not a Net'\)"),
        (lambda: 1 / 0, r"ZeroDivisionError\('.*'\)"),
        (lambda _: A, r"TypeError\(.*missing 1 required"),
    ],
)
def test_an_invalid_entry_point_warns_and_others_still_work(
    offer: Callable[..., None], broken: object, reason: str
) -> None:
    offer(first=C, broken=broken, last=B)
    with pytest.warns(EffcamWarning) as caught:
        assert registered_names() == ("own_c", "own_b")
    (warning,) = caught
    assert str(warning.message).startswith(
        "the models that 'broken' offers to effcam (ownpackage:broken) are left out: "
    )
    assert re.search(f"left out: {reason}", str(warning.message))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registered_names() == ("own_c", "own_b")


def test_an_entry_point_that_cannot_be_imported_warns(
    monkeypatch: pytest.MonkeyPatch, offer: Callable[..., None]
) -> None:
    offer(models=A)
    entries = [
        EntryPoint("gone", "no_such_package:models", registry.GROUP),
        EntryPoint("lost", "ownpackage:nothing", registry.GROUP),
        *registry.entry_points(group=registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda **_: entries)
    with pytest.warns(EffcamWarning) as caught:
        assert registered_names() == ("own_a",)
    messages = [str(warning.message) for warning in caught]
    assert messages[0].startswith("the models that 'gone' offers to effcam (no_such_package:models")
    assert "No module named 'no_such_package'" in messages[0]
    assert "has no attribute 'nothing'" in messages[1]
    assert len(messages) == 2


def test_a_taken_name_leaves_out_only_that_model(offer: Callable[..., None]) -> None:
    mine = register_model(ModelSpec("own_a", constructor="resnet34"))
    offer(models=[A, B], others=[dataclasses.replace(B, constructor="resnet50"), C])
    with pytest.warns(EffcamWarning) as caught:
        assert registered_names() == ("own_a", "own_b", "own_c")
    assert [str(warning.message) for warning in caught] == [
        f"the model {name!r} that {entry!r} offers to effcam (ownpackage:{entry}) is left out: "
        "its name is taken"
        for name, entry in (("own_a", "models"), ("own_b", "others"))
    ]
    assert find_spec("own_a") is mine
    assert find_spec("own_b") is B


def test_a_spec_under_two_entry_points_is_registered_once(offer: Callable[..., None]) -> None:
    calls = []

    def models() -> ModelSpec:
        calls.append(1)
        return ModelSpec("own_a")

    offer(models=models)
    entries = [
        EntryPoint(name, "ownpackage:models", registry.GROUP) for name in ("models", "again")
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda **_: entries)
        assert registered_names() == ("own_a",)
    assert calls == [1]


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Install a package with entry points; return the environment that finds it."""

    def install(entries: str, code: str) -> dict[str, str]:
        (tmp_path / "ownflowers").mkdir()
        (tmp_path / "ownflowers" / "__init__.py").write_text(textwrap.dedent(code))
        metadata = tmp_path / "ownflowers-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: ownflowers\nVersion: 1.0\n"
        )
        (metadata / "entry_points.txt").write_text(f"[effcam.models]\n{entries}\n")
        path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
        return {**os.environ, "PYTHONPATH": path}

    return install


FLOWERS = """
    import effcam

    def specs():
        yield effcam.ModelSpec("own_flowers", constructor="resnet18", target_layer="layer3")
        yield effcam.ModelSpec("resnet50", constructor="resnet18")
"""


def test_an_installed_package_makes_its_models_known(
    installed: Callable[..., dict[str, str]],
) -> None:
    environment = installed("flowers = ownflowers:specs", FLOWERS)
    code = "import effcam, sys; print(effcam.list_models('own_*'), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert (done.stdout, done.stderr) == ("('own_flowers',) False\n", "")
    done = subprocess.run(
        [sys.executable, "-m", "effcam", "models", "[or]*[sn]*", "--source", "registered"],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["own_flowers", "registered", "-", "-", "-", "-", "layer3", "-"],
        ["resnet50", "registered", "-", "-", "-", "-", "-", "-"],
    ]


def test_a_package_that_is_broken_is_named_on_the_command_line(
    installed: Callable[..., dict[str, str]],
) -> None:
    environment = installed("flowers = ownflowers:specs", "raise ImportError('no jax')")
    done = subprocess.run(
        [sys.executable, "-m", "effcam", "models", "own_flowers"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        "effcam: note: the models that 'flowers' offers to effcam (ownflowers:specs) are left "
        "out: ImportError('no jax')\n"
    ) in done.stderr
    assert done.stderr.endswith("effcam: error: no model's name matches 'own_flowers'.\n")
