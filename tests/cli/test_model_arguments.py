"""Models and methods as the command line writes them: labels, checkpoints, layers, modules."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import save_for_hf

import effcam
from effcam import ModelSpec, Preprocess
from effcam.models import registry
from tests.cli.commands import NET, UNTRAINED, Done, rows

pytestmark = pytest.mark.usefixtures("photos")

NAMES = ("-m", "mine=timm:resnet18", "-m", "torchvision:alexnet", "-m", "plain")


@pytest.mark.parametrize(
    ("argv", "label", "changes"),
    [
        (["--checkpoint", "mine=a.pt"], "mine", {"checkpoint": "a.pt"}),
        (["--checkpoint", "timm:resnet18=a=b.pt"], "mine", {"checkpoint": "a=b.pt"}),
        (
            ["--checkpoint", "torchvision:alexnet=C:/a.pt"],
            "torchvision:alexnet",
            {"checkpoint": "C:/a.pt"},
        ),
        (["--layer", "mine=layer3"], "mine", {"target_layer": "layer3"}),
        (["--scores", "mine=sigmoid"], "mine", {"scores": "sigmoid"}),
        (["--scores", "plain=softmax"], "plain", {"scores": "softmax"}),
        (["--layer", "timm:resnet18=layer4.1"], "mine", {"target_layer": "layer4.1"}),
        (["--option", "mine:num_classes=5"], "mine", {"options": {"num_classes": 5}}),
        (["--option", "plain:num-classes=5"], "plain", {"options": {"num_classes": 5}}),
        (["--option", "timm:resnet18:pad_type=same"], "mine", {"options": {"pad_type": "same"}}),
        (
            ["--option", "plain:a=true", "--option", "plain:b=x:y=z", "--option", "plain:c=[1, 2]"],
            "plain",
            {"options": {"a": True, "b": "x:y=z", "c": (1, 2)}},
        ),
        (
            ["--preprocess", "torchvision:alexnet:size=96", "--preprocess",
             "torchvision:alexnet:mean=[0.5, 0.4, 0.3]", "--preprocess",
             "torchvision:alexnet:mode=squash", "--preprocess", "torchvision:alexnet:std=1"],
            "torchvision:alexnet",
            {"preprocess": Preprocess(size=(96, 96), mode="squash", mean=(0.5, 0.4, 0.3),
                                      std=(1, 1, 1))},
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_one_model_is_its_own(
    run: Callable[..., Done],
    asked: dict[str, Any],
    argv: list[str],
    label: str,
    changes: Mapping[str, Any],
) -> None:
    names = {
        "mine": "timm:resnet18",
        "torchvision:alexnet": "torchvision:alexnet",
        "plain": "plain",
    }
    run("compare", "photos", *NAMES, *argv)
    assert asked["models"] == {
        each: ModelSpec(name, **(changes if each == label else {})) for each, name in names.items()
    }


@pytest.fixture
def name_files(photos: Path) -> None:
    """Write files of class names into the folder of the photos."""
    folder = photos.parent
    (folder / "names.txt").write_text("rose\ntulip\n")
    (folder / "own.json").write_text('{"0": "daisy", "1": "lily"}')
    (folder / "mine=x.txt").write_text("oak\nfir\n")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (
            ["--names", "names.txt"],
            {"mine": "rose", "torchvision:alexnet": "rose", "plain": "rose"},
        ),
        (["--names", "mine=names.txt"], {"mine": "rose"}),
        (["--names", "timm:resnet18=names.txt"], {"mine": "rose"}),
        (
            ["--names", "plain=own.json", "--names", "names.txt"],
            {"mine": "rose", "torchvision:alexnet": "rose", "plain": "daisy"},
        ),
        (
            ["--names", "./mine=x.txt"],
            {"mine": "oak", "torchvision:alexnet": "oak", "plain": "oak"},
        ),
    ],
)
@pytest.mark.usefixtures("name_files")
def test_names_of_classes_are_for_one_model_or_for_all(
    run: Callable[..., Done], asked: dict[str, Any], argv: list[str], expected: dict[str, str]
) -> None:
    run("compare", "photos", *NAMES, *argv)
    found = {label: spec.labels[0] for label, spec in asked["models"].items() if spec.labels}
    assert found == expected


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--names", "gone.txt"], "names 'gone.txt': there is no such file or folder"),
        (
            ["--names", "other=names.txt"],
            "'other' is not one of the models to compare: mine, torch",
        ),
        (["--names", "names.txt", "--names", "own.json"], "--names is given twice for all models"),
        (
            ["--names", "mine=names.txt", "--names", "mine=own.json"],
            "--names is given twice for 'mine': names.txt and own.json",
        ),
    ],
)
@pytest.mark.usefixtures("name_files")
def test_names_that_cannot_be_given_get_one_line(
    run: Callable[..., Done], argv: list[str], message: str
) -> None:
    done = run("compare", "photos", *NAMES, *argv)
    assert done.code != 0
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.usefixtures("name_files")
def test_names_of_classes_are_shown_and_may_be_explained(run: Callable[..., Done]) -> None:
    argv = ["compare", "photos/0.png", "-m", "mine=test_resnet", "--weights", "none", "--size", 64]
    two = ["--option", "mine:num_classes=2"]
    done = run(*argv, *two, "--names", "names.txt", "--target", "Tulip", "-o", "a.csv")
    assert done.code == 0, done.err
    (row,) = rows("a.csv")
    assert (row["target"], row["label"]) == ("1", "tulip")
    done = run(*argv, "--option", "mine:num_classes=3", "--names", "names.txt")
    assert done.code == 2
    assert "has 3 classes, but labels holds 2 labels ('rose', 'tulip')" in done.err


def test_a_label_goes_before_another_models_name(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    run("compare", "photos", "-m", "other=alexnet", "-m", "alexnet=vgg11",
        "--checkpoint", "alexnet=a.pt")  # fmt: skip
    assert asked["models"]["other"].checkpoint is None
    assert asked["models"]["alexnet"].checkpoint == "a.pt"


@pytest.mark.parametrize("owner", ["mine", "timm:test_resnet"])
def test_a_checkpoint_is_loaded(run: Callable[..., Done], photos: Path, owner: str) -> None:
    torch.manual_seed(1)
    module = timm.create_model("test_resnet", num_classes=5)
    torch.save(module.state_dict(), "mine.pt")
    done = run("compare", "photos", "-m", "mine=timm:test_resnet", "--checkpoint",
               f"{owner}=mine.pt", "--size", 64, "-o", "a.csv")  # fmt: skip
    assert done.code == 0, done.err
    assert done.err == ""
    (expected,) = {spec["weights"] for spec in rows("a.csv")}
    assert expected == "mine.pt"
    comparison = effcam.compare(photos, module.eval(), size=64, progress=False)
    for row, cell in zip(rows("a.csv"), comparison, strict=True):
        assert row["predicted_label"] == f"class {cell.predicted}"
        assert float(row["probability"]) == pytest.approx(cell.probability, abs=1e-5)


def test_the_layer_is_the_one_that_is_asked_for(run: Callable[..., Done]) -> None:
    done = run("compare", "photos/0.png", *UNTRAINED, "-m", "two=test_efficientnet", "--layer",
               "test_resnet=layer3", "-o", "a.csv")  # fmt: skip
    assert done.code == 0, done.err
    chosen, found = rows("a.csv")
    assert (chosen["target_layer"], chosen["grid"]) == ("layer3", "4x4")
    assert found["target_layer"] == "bn2"


def test_a_model_in_a_folder(run: Callable[..., Done]) -> None:
    names = ["rose", "tulip"]
    module = timm.create_model("test_resnet", num_classes=2)
    save_for_hf(module, "flowers", model_config={"label_names": names}, safe_serialization=True)
    done = run("compare", "photos/0.png", "-m", "local-dir:flowers", "-m", "b=local-dir:./flowers",
               "--layer", "local-dir:flowers=layer3", "-o", "a.csv")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    first, second = rows("a.csv")
    assert (first["column"], second["column"]) == ("local-dir:flowers", "b")
    assert (first["target_layer"], second["target_layer"]) == ("layer3", "layer4")
    assert {first["predicted_label"], second["predicted_label"]} <= set(names)
    assert first["weights"] == "model.safetensors"


def test_a_package_whose_models_are_left_out_is_named_unless_quiet(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("own", "no_such_package:models", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [entry])
    done = run("compare", "photos", "-m", "own_flowers", "--weights", "none")
    assert "'own' offers to effcam (no_such_package:models)" in done.err
    assert "no model is called 'own_flowers'" in done.err
    registry._entry_points.cache_clear()
    done = run("compare", "photos", "-m", "own_flowers", "--weights", "none", "-q")
    assert "offers" not in done.err


def test_a_registered_model_is_compared_and_changed_by_its_name(run: Callable[..., Done]) -> None:
    effcam.register_model(
        ModelSpec(
            "own_net", constructor="test_resnet", pretrained=False, options={"num_classes": 4}
        )
    )
    done = run("compare", "photos/0.png", "-m", "a=own_net", "-m", "b=own_net", "--layer",
               "b=layer3", "--option", "b:num_classes=6", "--size", "64",
               "-o", "a.csv")  # fmt: skip
    assert done.code == 0, done.err
    first, second = rows("a.csv")
    assert (first["target_layer"], second["target_layer"]) == ("layer4", "layer3")
    assert first["model"] == second["model"] == "own_net"
    assert first["predicted_label"] in [f"class {index}" for index in range(4)]


def test_without_weights_a_registered_checkpoint_is_left_out(run: Callable[..., Done]) -> None:
    done = run("compare", "photos/0.png", "-m", "demo_resnet", "--weights", "none", "-o", "a.csv")
    assert done.code == 0, done.err
    (row,) = rows("a.csv")
    assert row["weights"] != "demo_resnet.safetensors"


def test_options_and_preprocessing_change_the_model(run: Callable[..., Done]) -> None:
    done = run("compare", "photos/0.png", "-m", "timm:test_resnet", "--weights", "none",
               "--option", "timm:test_resnet:num_classes=4", "--preprocess",
               "timm:test_resnet:size=[64, 96]", "--preprocess", "timm:test_resnet:mode=squash",
               "-o", "a.csv")  # fmt: skip
    assert done.code == 0, done.err
    (row,) = rows("a.csv")
    assert row["predicted_label"] in [f"class {index}" for index in range(4)]
    assert row["grid"] == "2x3"


def test_a_module_of_the_users_own(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of("ownnet", NET)
    path = sys.path.copy()
    done = run("compare", "photos", "-m", "net=ownnet:make", "-m", "ownnet:make", "--option",
               "net:classes=7", "--target", "2", "-o", "a.csv")  # fmt: skip
    assert done.code == 0, done.err
    assert [row["column"] for row in rows("a.csv")][:2] == ["net", "ownnet:make"]
    assert {row["weights"] for row in rows("a.csv")} == {"as given"}
    assert {row["label"] for row in rows("a.csv")} == {"class 2"}
    assert sys.path == path


def test_a_module_that_imports_another_when_it_is_called(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of("ownparts", NET)
    module_of(
        "ownlate",
        """
        def make():
            from ownparts import make

            return make()
    """,
    )
    done = run("compare", "photos/0.png", "-m", "ownlate:make", "-o", "a.csv")
    assert done.code == 0, done.err


CAM = """
    def mine(activations, gradients):
        return (gradients.mean((2, 3), keepdim=True) * activations).sum(1)

    def flawed(activations, gradients):
        return activations
"""


def test_a_method_of_the_users_own(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of("ownnet", NET)
    module_of("owncam", CAM)
    path = sys.path.copy()
    done = run("compare", "photos", "-m", "net=ownnet:make", "--method", "gradcam",
               "--method", "owncam:mine", "--faithfulness", "-o", "a.csv")  # fmt: skip
    assert done.code == 0, done.err
    known, own = rows("a.csv")[:2]
    assert (known["column"], own["column"]) == ("net gradcam", "net mine")
    assert own["method"] == "mine"
    assert re.search(r"^net mine .*$", done.out, re.MULTILINE)
    assert sys.path == path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "photos", "--method", "owncam:nonesuch"],
         "'owncam:nonesuch' cannot be imported: module 'owncam' has no attribute 'nonesuch'."),
        (["compare", "photos", "--method", "timm:mine"], "no method is called 'timm:mine'."),
        (["compare", "photos", "-m", "ownnet:make", "--method", "owncam:flawed"],
         "ownnet:make: method 'flawed' returned a tensor of shape"),
        (["dataset", "photos", "--method", "owncam:mine", "-o", "run"],
         "a dataset accepts only effcam's own methods, by name"),
    ],
)  # fmt: skip
def test_a_method_that_cannot_be_used_gets_one_line(
    run: Callable[..., Done],
    module_of: Callable[[str, str], None],
    arguments: list[str],
    message: str,
) -> None:
    module_of("ownnet", NET)
    module_of("owncam", CAM)
    done = run(*arguments)
    assert done.code == 2
    assert done.err.startswith("effcam: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1
