"""The public names: what is visible, what is documented, and how it is called."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import effcam

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"

PUBLIC = sorted(set(effcam.__all__) - {"__version__"})
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(effcam, name))]
CLASSES = [name for name in PUBLIC if inspect.isclass(getattr(effcam, name))]

REQUIRED = "required"
STYLE = {"alpha": 0.5, "colormap": "turbo"}
SIGNATURES: dict[str, dict[str, Any]] = {
    "compare": {
        "images": REQUIRED,
        "models": effcam.DEFAULT_MODELS,
        "*": ...,
        "method": "gradcam",
        "target": None,
        "view": "model",
        "size": None,
        "batch_size": 16,
        "device": None,
        "precision": "fp32",
        "decoding": "exact",
        "placement": "pitch",
        "resolution": 56,
        "samples": None,
        "channels": None,
        "fuse": "sum",
        "aug_smooth": False,
        "eigen_smooth": False,
        "every": None,
        "fps": None,
        "on_error": "raise",
        "progress": None,
    },
    "compare_dataset": {
        "images": REQUIRED,
        "models": REQUIRED,
        "out": REQUIRED,
        "*": ...,
        "method": "gradcam",
        "target": None,
        "view": "model",
        "size": None,
        "batch_size": 16,
        "device": None,
        "precision": "fp32",
        "compile": False,
        "decoding": "exact",
        "placement": "pitch",
        "resolution": 56,
        "samples": None,
        "channels": None,
        "fuse": "sum",
        "aug_smooth": False,
        "eigen_smooth": False,
        "shard_size": 4096,
        "max_errors": None,
        "overwrite": False,
        "backend": "local",
        "workers": None,
        "num_gpus": None,
        "address": None,
        "progress": None,
    },
    "open_run": {"place": REQUIRED},
    "load_model": {
        "source": REQUIRED,
        "*": ...,
        "name": None,
        "checkpoint": None,
        "target_layer": None,
        "preprocess": None,
        "labels": None,
        "tokenizer": None,
        "pretrained": True,
        "options": None,
        "scores": None,
        "device": None,
    },
    "checkpoints": {
        "files": REQUIRED,
        "model": REQUIRED,
        "*": ...,
        "every": 1,
        "on_error": "raise",
    },
    "register_model": {"spec": REQUIRED, "*": ..., "replace": False},
    "list_models": {"pattern": "*", "*": ..., "source": None, "pretrained": None},
    "Comparison.grid": {
        "self": REQUIRED,
        "*": ...,
        "alpha": 0.5,
        "colormap": "turbo",
        "width": 224,
        "boxes": False,
        "rows": "images",
        "original": True,
        "title": "",
        "caption": None,
        "font": None,
        "theme": None,
        "marks": True,
    },
    "Explanation.overlay": {"self": REQUIRED, "*": ..., **STYLE, "boxes": False},
    "Explanation.box": {"self": REQUIRED, "*": ..., "threshold": 0.2},
    "Explanation.upsampled": {"self": REQUIRED},
    "Comparison.table": {"self": REQUIRED},
}
"""The contract: what callers may rely on. After the subject, everything is keyword-only."""

FIELDS = {
    "Explanation": {
        "image", "column", "model", "method", "target_layer", "target", "label", "probability",
        "predicted", "predicted_label", "predicted_probability", "heatmap", "region", "state",
    },
    "Comparison": {"images", "columns", "cells"},
}  # fmt: skip


def fresh(code: str) -> Any:
    """What a new process prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    return json.loads(done.stdout)


def find(name: str) -> Any:
    found: Any = effcam
    for part in name.split("."):
        found = getattr(found, part)
    return found


def methods(owner: type) -> list[str]:
    """The public methods and properties that a class defines itself."""
    return [
        name
        for name, value in vars(owner).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    ]


def test_what_is_visible_is_all() -> None:
    assert dir(effcam) == sorted(effcam.__all__)
    assert len(set(effcam.__all__)) == len(effcam.__all__)
    namespace: dict[str, Any] = {}
    exec("from effcam import *", namespace)  # noqa: S102 - what it brings is the question
    assert set(namespace) - {"__builtins__"} == set(effcam.__all__)


def test_what_is_documented_is_all() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    found = re.findall(r"^\.\. (?:auto\w+|data|module):: effcam\.(\w+)$", text, re.MULTILINE)
    assert sorted(found) == sorted(effcam.__all__)


def test_importing_loads_next_to_nothing() -> None:
    before, after = fresh(
        "import json, sys; before = sorted(sys.modules); import effcam; dir(effcam); "
        "effcam.__version__; print(json.dumps([before, sorted(sys.modules)]))"
    )
    loaded = set(after) - set(before)
    assert {name for name in loaded if name.startswith("effcam")} == {"effcam"}
    others = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert others == {"effcam"}


LIGHT = ("ModelSpec", "register_model", "DEFAULT_MODELS", "EffcamError")


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Return the modules that a new process has after each light name, and after ``effcam.api``."""
    found = fresh(
        "import json, sys, effcam; found = {}\n"
        f"for name in {LIGHT}: getattr(effcam, name); found[name] = sorted(sys.modules)\n"
        "import effcam.api; found['api'] = sorted(sys.modules); print(json.dumps(found))"
    )
    return {name: set(modules) for name, modules in found.items()}


@pytest.mark.parametrize("name", LIGHT)
def test_light_names_do_not_load_torch(name: str, loaded: dict[str, set[str]]) -> None:
    assert {"torch", "timm", "torchvision", "PIL", "numpy"}.isdisjoint(loaded[name])


def test_comparing_loads_nothing_that_draws_measures_or_writes(
    loaded: dict[str, set[str]],
) -> None:
    own = {name for name in loaded["api"] if name.startswith("effcam.")}
    later = ("comparison.report", "comparison.pictures", "images.annotations", "metrics")
    assert not [name for name in own if name.removeprefix("effcam.").startswith(later)]
    assert own.isdisjoint({"effcam.comparison.export", "effcam.comparison.parquet"})
    assert len(own) < 150


HEAVY = {
    # What computes no map of one of effcam's own methods for a network of its own.
    *("pytorch_grad_cam", "sklearn", "pandas", "cv2", "scipy", "timm", "torchvision"),
    # What draws no picture.
    *("matplotlib.pyplot", "pyarrow", "jinja2"),
    # What compiles no network; torch itself imports the first of these only for its compiler.
    *("torch._dynamo", "torch._inductor", "sympy"),
}
RUN = """
import json, sys
from effcam.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""


def loaded_by(*command: str) -> set[str]:
    """The modules that a command has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    return set(modules)


@pytest.mark.slow
@pytest.mark.core
def test_a_picture_is_made_without_what_it_does_not_need(tmp_path: Path) -> None:
    photo, picture = tmp_path / "one.png", tmp_path / "x.png"
    effcam.demo.scenes(1)[0].image.save(photo)
    modules = loaded_by("compare", str(photo), "-m", "demo_resnet", "-o", str(picture), "--quiet")
    assert picture.exists()
    assert modules & HEAVY == set()
    own = {name.removeprefix("effcam.") for name in modules if name.startswith("effcam.")}
    never = ("comparison.report", "comparison.parquet", "images.annotations", "metrics", "dataset")
    assert not [name for name in own if name.startswith(never)]


@pytest.mark.slow
@pytest.mark.core
def test_the_demo_is_made_without_the_libraries(tmp_path: Path) -> None:
    modules = loaded_by("demo", "--quiet", "-o", str(tmp_path))
    assert (tmp_path / "report.html").exists()
    needed = {"scipy", "jinja2"}
    assert modules & HEAVY == needed
    assert "scipy.stats" not in modules


@pytest.mark.slow
def test_info_imports_torch_alone() -> None:
    modules = loaded_by("info")
    assert "torch" in modules
    assert modules & (HEAVY | {"matplotlib", "PIL", "effcam.api"}) == set()


def test_each_name_is_loaded_when_it_is_used() -> None:
    for name in effcam.__all__:
        value = getattr(effcam, name)
        assert value is getattr(effcam, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert value.__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'effcam' has no attribute 'compair'"):
        effcam.compair  # type: ignore[attr-defined]  # noqa: B018 - looking it up is the test
    assert not hasattr(effcam, "api_key")


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_the_contracts(name: str) -> None:
    found: dict[str, Any] = {}
    for parameter in inspect.signature(find(name)).parameters.values():
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in found:
            found["*"] = ...
        required = parameter.default is parameter.empty
        found[parameter.name] = REQUIRED if required else parameter.default
    assert list(found.items()) == list(SIGNATURES[name].items())


@pytest.mark.parametrize("name", FIELDS)
def test_records_have_the_contracts_fields(name: str) -> None:
    assert FIELDS[name] <= set(find(name).__dataclass_fields__)


def test_the_default_models_are_the_notebooks() -> None:
    assert dict(effcam.DEFAULT_MODELS) == {
        "alexnet": "torchvision:alexnet.IMAGENET1K_V1",
        "densenet121": "torchvision:densenet121.IMAGENET1K_V1",
        "resnet152": "torchvision:resnet152.IMAGENET1K_V1",
        "EB0": "timm:tf_efficientnet_b0.in1k",
        "EB3": "timm:tf_efficientnet_b3.in1k",
    }
    with pytest.raises(TypeError):
        effcam.DEFAULT_MODELS["mine"] = "resnet50"  # type: ignore[index]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_take_and_raise(name: str) -> None:
    function = find(name)
    text = inspect.getdoc(function) or ""
    assert re.match(r"[A-Z][a-z]*[a-rt-z] ", text)  # in the imperative
    _, _, arguments = text.partition("\nArgs:\n")
    arguments, _, raises = arguments.partition("\nRaises:\n")
    documented = re.findall(r"^    (\w+): ", arguments, re.MULTILINE)
    assert documented == list(inspect.signature(function).parameters)
    errors = re.findall(r"^    (\w+): If ", raises, re.MULTILINE)
    assert errors
    for error in errors:
        assert issubclass(getattr(effcam.errors, error), effcam.EffcamError)
    assert ">>> " in text


@pytest.mark.parametrize("name", CLASSES)
def test_classes_say_what_they_hold(name: str) -> None:
    owner = find(name)
    text = inspect.getdoc(owner) or ""
    assert text
    assert text.splitlines()[0].endswith(".")
    fields = list(getattr(owner, "__dataclass_fields__", {}))
    assert re.findall(r"^    (\w+): ", text, re.MULTILINE)[: len(fields)] == fields


@pytest.mark.parametrize(
    "name", [f"{owner}.{name}" for owner in CLASSES for name in methods(find(owner))]
)
def test_methods_document_what_they_return(name: str) -> None:
    member = find(name)
    text = inspect.getdoc(member) or ""
    assert re.match(r"[A-Z]\w+ .*[.:]$", text.split("\n\n")[0], re.DOTALL), text
    if inspect.isfunction(member):
        options = [
            parameter.name
            for parameter in inspect.signature(member).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
        ]
        assert set(options) <= set(re.findall(r"^    (\w+): ", text, re.MULTILINE))


WARNINGS = (effcam.errors.EffcamWarning, effcam.errors.ImageWarning)


def test_every_error_is_an_effcam_error_and_the_builtin_it_refines() -> None:
    errors = [
        value
        for value in vars(effcam.errors).values()
        if inspect.isclass(value) and issubclass(value, Exception) and value not in WARNINGS
    ]
    assert len(errors) > 5
    for error in errors:
        assert issubclass(error, effcam.EffcamError)
        if error is not effcam.EffcamError:
            assert error.__bases__[0] is effcam.EffcamError
            assert error.__bases__[1].__module__ == "builtins"
        assert str(error("as it is")) == "as it is"
        assert error.__name__ in (effcam.errors.__doc__ or "")
