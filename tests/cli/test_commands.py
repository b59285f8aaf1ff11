"""The command line: what it does, what it prints, and what it answers to mistakes."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models import save_for_hf

import effcam
from effcam import DEFAULT_MODELS, ModelSpec, Preprocess, api
from effcam.cam import head_cam
from effcam.cli import main
from effcam.comparison import export
from effcam.demo import LABELS, Scene, scenes
from effcam.errors import OutputError
from effcam.metrics.summary.summary import FORMATS
from effcam.models import downloads, registry
from effcam.models.architectures import is_current

UNTRAINED = ("-m", "test_resnet", "--weights", "none", "--size", "64")
"""A tiny model without weights, on which most commands here are tried."""

HEAVY = {"torch", "torchvision", "timm", "numpy", "PIL", "matplotlib", "pytorch_grad_cam", "tqdm"}


class Done:
    """What a command answered: its exit code and what it wrote to stdout and stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ``photos`` of three photos, in the empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for position, (width, height) in enumerate([(96, 64), (64, 96), (80, 80)]):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{position}.png")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command line in this process."""

    def run(*argv: object) -> Done:
        try:
            code = main([str(each) for each in argv])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a command asks of `effcam.compare`, which is not run."""
    calls: dict[str, Any] = {}

    def compare(images: Any, models: Any, **options: Any) -> None:
        calls.update(images=images, models=models, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "compare", compare)
    return calls


@pytest.fixture
def module_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a module of the user's own into the current folder, and forgets it afterwards."""

    def write(name: str, text: str) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        monkeypatch.setitem(sys.modules, name, None)  # so that it is taken back
        del sys.modules[name]
        importlib.invalidate_caches()

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return write


NET = """
    from torch import nn

    def make(classes=3, **options):
        return nn.Sequential(
            nn.AvgPool2d(16), nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, classes),
        )
"""


def python(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, timeout=300, check=False, **options
    )


def rows(path: Path | str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def frames(path: Path | str) -> int:
    with Image.open(path) as picture:
        return int(getattr(picture, "n_frames", 1))


# In a process of its own


def test_a_comparison_from_start_to_end(photos: Path) -> None:
    done = python(
        "-m", "effcam", "compare", "photos", *UNTRAINED, "-m", "two=test_efficientnet",
        "-o", "a.gif", "-o", "a.png", "-o", "a.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"wrote a.{suffix} (3 images x 2 columns)" for suffix in ("gif", "png", "csv")
    ]
    assert done.stderr == ("effcam: test_resnet, two: random weights, so the heat means nothing\n")
    assert sorted(path.name for path in photos.parent.iterdir()) == [
        "a.csv", "a.gif", "a.png", "photos",
    ]  # fmt: skip
    assert frames("a.gif") == 3
    assert frames("a.png") == 1
    assert [(row["image"], row["column"]) for row in rows("a.csv")] == [
        (f"{position}.png", column) for position in range(3) for column in ("test_resnet", "two")
    ]


def test_importing_and_asking_for_help_is_light() -> None:
    code = """
        import contextlib, io, json, sys
        import effcam
        dir(effcam)
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as shown:
            from effcam.cli import main
            main(sys.argv[1:])
        print(json.dumps([sorted(sys.modules), shown.getvalue()]))
    """
    for argv in (["--help"], ["compare", "--help"], ["models", "--help"], ["--version"]):
        done = python("-c", textwrap.dedent(code), *argv)
        modules, shown = json.loads(done.stdout)
        assert "effcam.cli.program" in modules
        assert HEAVY.isdisjoint(modules)
        assert "effcam" in shown


def test_a_closed_pipe_is_no_error() -> None:
    # A list of names that comes without the libraries that have them.
    code = """
        import sys, types
        sys.modules["effcam.models.listing"] = listing = types.ModuleType("effcam.models.listing")
        listing.list_models = lambda *_, **__: [str(number) for number in range(int(sys.argv[1]))]
        listing.RIGHT = listing.describe_all = ()
        from effcam.cli import main
        sys.exit(main(["models", "--names"]))
    """
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for count in (1, 100_000):  # written at the end, and in the middle
        command = [sys.executable, "-c", textwrap.dedent(code), str(count)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered
        ) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
            assert process.wait(300) == 1


# Help and version


def test_version(run: Callable[..., Done]) -> None:
    done = run("--version")
    assert (done.code, done.out) == (0, f"effcam {effcam.__version__}\n")


def test_help_names_every_option(run: Callable[..., Done]) -> None:
    done = run("compare", "--help")
    assert done.code == 0
    for option in (
        "PATH", "-m", "-o", "--target", "--method", "--device", "--checkpoint", "--view", "--size",
        "--skip-bad", "--option", "--preprocess", "--weights", "--batch-size", "-q", "-v",
        "--layer NAME=LAYER", "--summary", "--labels FILE", "--boxes FILE", "--masks FOLDER",
        "--faithfulness", "--all-images", "--save-summary FILE",
    ):  # fmt: skip
        assert option in done.out
    for method in ("gradcam++", "hirescam", "ablationcam"):
        assert method in done.out
    assert ", ".join(DEFAULT_MODELS) in " ".join(done.out.split())
    assert "effcam compare photos/" in run("--help").out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "arguments are required: COMMAND"),
        (["compare"], "arguments are required: PATH"),
        (["contrast", "photos"], "invalid choice: 'contrast'"),
        (["comprae", "photos"], "invalid choice: 'comprae'. Did you mean 'compare'? It is one of"),
        (["compare", "photos", "--tarqet", "1"], "arguments: --tarqet 1. Did you mean '--target'"),
        (["compare", "photos", "--meth", "gradcam"], "unrecognized arguments: --meth"),
        (["compare", "photos", "-m"], "argument -m/--model: expected one argument"),
        (["--verison", "demo"], "unrecognized arguments: --verison. Did you mean '--version'?"),
        (["completion", "nushell"], "It is one of bash, zsh, fish, tcsh"),
        (["models", "--names", "--json"], "--json: not allowed with argument --names"),
        (["models", "resnet18", "--layers", "--source", "timm"], "--source has no meaning with"),
        (["compare", "photos", "--view", "all"], "--view: invalid choice: 'all'"),
        (["compare", "photos", "--weights", "some"], "--weights: invalid choice: 'some'"),
        (["compare", "photos", "--size", "big"], "--size: invalid int value: 'big'"),
        (["compare", "photos", "--colour"], "unrecognized arguments: --colour"),
        (["compare", "photos", "-q", "-v"], "not allowed with argument"),
    ],
)
def test_misuse_exits_with_2(run: Callable[..., Done], argv: list[str], message: str) -> None:
    done = run(*argv)
    assert done.code == 2
    assert done.err.startswith("effcam: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


# What is asked of compare()


def test_options_reach_compare(run: Callable[..., Done], asked: dict[str, Any]) -> None:
    done = run(
        "compare", "photos", "more.png", "-m", "alexnet", "-m", "mine=timm:resnet18.a1_in1k",
        "--target", "tabby", "--method", "layercam", "--method", "gradcam++", "--view", "whole",
        "--size", 96, "--device", "cpu", "--batch-size", 3, "--skip-bad",
        "--precision", "bf16", "--decoding", "reduced", "--fps", "0.5",
    )  # fmt: skip
    assert done.code == 130
    assert asked == {
        "images": ["photos", "more.png"],
        "models": {
            "alexnet": ModelSpec("alexnet"),
            "mine": ModelSpec("timm:resnet18.a1_in1k"),
        },
        "method": ["layercam", "gradcam++"],
        "target": "tabby",
        "view": "whole",
        "size": 96,
        "batch_size": 3,
        "device": "cpu",
        "precision": "bf16",
        "decoding": "reduced",
        "every": None,
        "fps": 0.5,
        "on_error": "skip",
        "progress": None,
    }


def test_without_options_it_is_the_notebooks_comparison(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    run("compare", "photos")
    assert asked.pop("models") == {label: ModelSpec(name) for label, name in DEFAULT_MODELS.items()}
    assert asked == {
        "images": ["photos"],
        "method": "gradcam",
        "target": None,
        "view": "model",
        "size": None,
        "batch_size": 16,
        "device": None,
        "precision": "fp32",
        "decoding": "exact",
        "every": None,
        "fps": None,
        "on_error": "raise",
        "progress": None,
    }


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("3", 3),
        ("-1", -1),
        ("+7", 7),
        ("+-5", "+-5"),
        ("tabby", "tabby"),
        ("consensus", "consensus"),
        ("", ""),
        ("3.5", "3.5"),
    ],
)
def test_target_is_an_index_or_a_label(
    run: Callable[..., Done], asked: dict[str, Any], text: str, target: int | str
) -> None:
    run("compare", "photos", f"--target={text}")
    assert asked["target"] == target
    assert type(asked["target"]) is type(target)


def test_quiet_shows_no_bar(run: Callable[..., Done], asked: dict[str, Any]) -> None:
    run("compare", "photos", "-q")
    assert asked["progress"] is False


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


def test_a_label_goes_before_another_models_name(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    run("compare", "photos", "-m", "other=alexnet", "-m", "alexnet=vgg11",
        "--checkpoint", "alexnet=a.pt")  # fmt: skip
    assert asked["models"]["other"].checkpoint is None
    assert asked["models"]["alexnet"].checkpoint == "a.pt"


# Run for real


def test_quiet_prints_nothing(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert frames("compare.gif") == 3


def test_verbose_prints_a_line_for_each_cell(run: Callable[..., Done]) -> None:
    done = run("compare", "photos/0.png", "photos/1.png", *UNTRAINED, "-v", "-o", "a.csv")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[-1] == "wrote a.csv (2 images x 1 column)"
    for line, row in zip(lines[:-1], rows("a.csv"), strict=True):
        image, column, label, probability, layer, state = line.split("\t")
        assert (image, column, label) == (row["image"], row["column"], row["predicted_label"])
        assert float(probability) == pytest.approx(float(row["predicted_probability"]), abs=1e-3)
        assert (layer, state) == (row["target_layer"], row["state"])


def test_several_methods_are_several_columns(run: Callable[..., Done]) -> None:
    run("compare", "photos/0.png", *UNTRAINED, "--method", "layercam", "--method", "eigencam",
        "-o", "a.csv")  # fmt: skip
    assert [row["column"] for row in rows("a.csv")] == [
        "test_resnet layercam", "test_resnet eigencam",
    ]  # fmt: skip


def test_names_that_the_terminal_lacks_are_escaped(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "0.png").rename(photos / "caf\u00e9 \u732b.png")
    shown = io.BytesIO()
    terminal = io.TextIOWrapper(shown, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["compare", "photos", *UNTRAINED, "-v", "-o", "\u00e9.csv"]) == 0
    monkeypatch.undo()
    assert rb"caf\xe9 \u732b.png" in shown.getvalue()
    assert rb"wrote \xe9.csv" in shown.getvalue()
    assert "caf\u00e9 \u732b.png" in [row["image"] for row in rows(photos.parent / "\u00e9.csv")]


@pytest.mark.parametrize(("target", "index"), [("281", "281"), ("Tabby", "281"), ("7", "7")])
def test_the_target_is_explained(run: Callable[..., Done], target: str, index: str) -> None:
    assert run("compare", "photos", *UNTRAINED, "--target", target, "-o", "a.csv").code == 0
    assert {row["target"] for row in rows("a.csv")} == {index}


def test_the_whole_view_and_the_size(run: Callable[..., Done], photos: Path) -> None:
    argv = ["compare", photos / "0.png", "-m", "test_resnet", "--weights", "none", "--size", 96]
    run(*argv, "-o", "crop.csv")
    run(*argv, "--view", "whole", "-o", "whole.csv")
    (crop,), (whole,) = rows("crop.csv"), rows("whole.csv")
    assert whole["grid"] == crop["grid"] == "3x3"
    edges = ("left", "top", "right", "bottom")
    assert [float(whole[f"region_{edge}"]) for edge in edges] == [0, 0, 96, 64]
    assert float(crop["region_left"]) > 0


def test_precision_and_decoding_reach_the_comparison(
    run: Callable[..., Done], photos: Path
) -> None:
    argv = ["compare", photos / "0.png", *UNTRAINED, "-o", "a.json"]
    assert run(*argv, "--precision", "bf16", "--decoding", "reduced").code == 0
    settings = json.loads(Path("a.json").read_text("utf-8"))["settings"]
    assert (settings["precision"], settings["decoding"]) == ("bf16", "reduced")
    assert run(*argv, "--precision", "fp64").code == 2


@pytest.mark.parametrize("quiet", [False, True])
def test_too_little_memory_is_said_and_costs_nothing(
    run: Callable[..., Done], photos: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    original = head_cam.HeadCAM.scores

    def scores(self: head_cam.HeadCAM, images: torch.Tensor) -> Any:
        if len(images) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return original(self, images)

    monkeypatch.setattr(head_cam.HeadCAM, "scores", scores)
    message = "test_resnet: not enough memory for 3 images at once, so it goes on with 1"
    # Quiet, it would be an error here.
    with nullcontext() if quiet else pytest.warns(UserWarning, match=message):
        done = run("compare", photos, *UNTRAINED, "-o", "a.csv", *(["--quiet"] if quiet else []))
    assert done.code == 0
    assert len(rows("a.csv")) == 3


def test_bad_images_are_skipped_and_named(run: Callable[..., Done], photos: Path) -> None:
    (photos / "1.png").write_bytes(b"")
    done = run("compare", "photos", *UNTRAINED, "--skip-bad", "-o", "a.gif", "-o", "a.csv")
    assert done.code == 0
    assert "effcam: skipped image '1.png': the file is empty\n" in done.err
    assert "wrote a.gif (2 images x 1 column)" in done.out
    assert [row["image"] for row in rows("a.csv")] == ["0.png", "2.png"]


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
    with pytest.warns(RuntimeWarning, match=r"'own' offers to effcam \(no_such_package:models\)"):
        done = run("compare", "photos", "-m", "own_flowers", "--weights", "none")
    assert "no model is called 'own_flowers'" in done.err
    registry._entry_points.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        run("compare", "photos", "-m", "own_flowers", "--weights", "none", "-q")
    assert caught == []


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
         "a dataset takes effcam's own methods, by their names"),
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


def test_warnings_of_libraries_are_shown_on_demand(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of(
        "ownwarns",
        NET
        + """
    def warn():
        import warnings

        warnings.warn("soon to change", FutureWarning)
        return make()
    """,
    )
    filters = list(warnings.filters)
    assert run("compare", "photos", "-m", "ownwarns:warn", "-q").code == 0
    assert warnings.filters == filters
    with pytest.warns(FutureWarning, match="soon to change"):
        run("compare", "photos", "-m", "ownwarns:warn", "-v")


# How pictures look


def test_a_style_is_told_to_the_files_whose_format_has_it(run: Callable[..., Done]) -> None:
    argv = ["compare", "photos", *UNTRAINED, "-o", "a.gif", "-o", "a.png", "-o", "a.csv", "-q"]
    assert run(*argv).code == 0
    with Image.open("a.gif") as usual, Image.open("a.png") as grid:
        size, wide, pace = usual.size, grid.width, usual.info["duration"]
    style = ("--alpha", 0.9, "--colormap", "gray", "--width", 100, "--seconds", 0.3)
    assert run(*argv, *style).code == 0
    with Image.open("a.gif") as styled, Image.open("a.png") as grid:
        assert styled.width < size[0]
        assert grid.width < wide
        assert (pace, styled.info["duration"]) == (1000, 300)
        # Nothing but the greys of noise under grey heat is left to the map.
        assert grid.convert("RGB").getpixel((grid.width - 50, 60)) is not None
    assert len(rows("a.csv")) == 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-o", "a.csv", "--alpha", "0.5"], "--alpha has no meaning for a.csv"),
        (["-o", "a.png", "--seconds", "2"], "--seconds has no meaning for a.png"),
        (["--summary", "--width", "90"], "--width has no meaning where no picture is written"),
        (["-o", "a.png", "--alpha", "2"], "alpha is an opacity from 0 to 1, not 2.0"),
        (["-o", "a.png", "--colormap", "grey_"], "no colour map is called 'grey_'"),
        (["-o", "a.png", "--width", "5"], "width must be a whole number from 64"),
        (["-o", "a.gif", "--seconds", "0"], "a frame shows for more than 0"),
    ],
)
def test_a_style_that_is_for_nothing_or_impossible_is_refused_before_anything_runs(
    run: Callable[..., Done], asked: dict[str, Any], argv: list[str], message: str
) -> None:
    done = run("compare", "photos", *argv)
    assert asked == {}
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"effcam: error: {message}")


# JSON


def test_json_is_the_comparison_and_nothing_else(run: Callable[..., Done], photos: Path) -> None:
    (photos / "1.png").write_bytes(b"")
    before = files()
    done = run("compare", "photos", *UNTRAINED, "--skip-bad", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert list(found) == [
        "effcam", "command", "written", "settings", "images", "columns", "models", "skipped",
        "cells", "summary",
    ]  # fmt: skip
    assert (found["effcam"], found["command"]) == (effcam.__version__, "compare")
    assert (found["written"], found["summary"]) == ([], None)
    assert (found["images"], found["columns"]) == (["0.png", "2.png"], ["test_resnet"])
    assert found["skipped"] == [{"image": "1.png", "reason": "image '1.png': the file is empty"}]
    assert [cell["image"] for cell in found["cells"]] == found["images"]
    spec = ModelSpec("test_resnet", pretrained=False)
    expected = effcam.compare(photos / "0.png", spec, size=64, progress=False).table()[0]
    assert set(found["cells"][0]) == set(expected)
    assert found["cells"][0]["predicted_label"] == expected["predicted_label"]
    assert found["models"][0]["input_size"] == [64, 64]
    assert "effcam: skipped image '1.png'" in done.err
    assert files() == before


def test_json_has_null_for_nan(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of("ownflat", NET + """
    def flat():
        net = make()
        net[-1].weight.data[:] = float("nan")
        return net
    """)  # fmt: skip
    found = json.loads(run("compare", "photos/0.png", "-m", "ownflat:flat", "--json").out)
    table = effcam.compare(
        "photos/0.png", importlib.import_module("ownflat").flat(), progress=False
    ).table()
    missing = {
        name for name, value in table[0].items() if isinstance(value, float) and np.isnan(value)
    }
    assert missing
    assert all(found["cells"][0][name] is None for name in missing)


def test_json_lists_what_was_written_and_the_summary(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "--json", "--summary", "-o", "a.csv",
               "--save-summary", "b.txt", "--quiet")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["written"] == ["a.csv", "b.txt"]
    keys = {measure["key"] for measure in found["summary"]["measures"]}
    assert "effective_area" in keys


def test_what_models_print_goes_beside_the_document(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of("ownprints", NET + """
    def loud():
        print("built")
        return make()
    """)  # fmt: skip
    done = run("compare", "photos/0.png", "-m", "ownprints:loud", "--json", "-v")
    assert json.loads(done.out)["columns"] == ["ownprints:loud"]
    assert "built\n" in done.err
    assert "0.png\townprints:loud" in done.err


def test_an_error_leaves_no_document(run: Callable[..., Done]) -> None:
    for argv in (["gone"], ["photos", "--size", "0"], ["photos", "--view", "all"]):
        done = run("compare", *argv, *UNTRAINED[:4], "--json")
        assert done.code in (1, 2)
        assert done.out == ""
        assert done.err.count("\n") == 1


def test_json_of_models(run: Callable[..., Done]) -> None:
    found = json.loads(run("models", "resnet50", "--source", "torchvision", "--json").out)
    assert found["models"] == [
        {
            "name": "torchvision:resnet50", "source": "torchvision", "family": "resnet",
            "parameters": 25557032, "input_size": [224, 224], "top1": 80.858,
            "target_layer": "layer4", "layout": "NCHW",
        }
    ]  # fmt: skip
    (demo,) = json.loads(run("models", "demo_resnet", "--json").out)["models"]
    assert (demo["source"], demo["family"], demo["top1"]) == ("registered", None, None)


def test_json_and_names_of_layers(run: Callable[..., Done]) -> None:
    found = json.loads(run("models", "test_resnet", "--layers", "--json").out)
    assert found["model"] == "test_resnet"
    assert [layer["name"] for layer in found["layers"] if layer["default"]] == ["layer4"]
    assert found["layers"][-1]["grid"] == [5, 5]
    names = run("models", "test_resnet", "--layers", "--names").out.split()
    assert names == [layer["name"] for layer in found["layers"]]


def test_json_of_the_demo(run: Callable[..., Done]) -> None:
    done = run("demo", "--json", "-q")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["written"] == [str(Path("effcam-demo", each)) for each in (
        "compare.png", "compare.gif", "report.html", "scenes")]  # fmt: skip
    assert len(found["scenes"]) == 12
    for score in found["models"]:
        assert score["images"] == 12
        assert 0 <= score["hits"] <= 12
        assert score["right"] >= 9
        assert len(score["grid"]) == 2


# Paths from standard input


def piped(*argv: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "effcam", "compare", *argv, *UNTRAINED],
        input=data, capture_output=True, timeout=300, check=False,
    )  # fmt: skip


def test_paths_come_from_standard_input_among_others(photos: Path) -> None:
    odd = os.fsencode(photos) + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes((photos / "0.png").read_bytes())
    done = piped("photos/2.png", "-", "--json", data=b"\nphotos/1.png\r\n  \n" + odd + b"\n")
    assert done.returncode == 0, done.stderr
    names = json.loads(done.stdout)["images"]
    assert [os.fsencode(name) for name in names] == [b"2.png", b"1.png", b"caf\xe9.png"]
    done = piped("-", "-o", "a.csv", data=odd + b"\0photos/0.png\0")
    assert done.returncode == 0, done.stderr
    assert b"wrote a.csv (2 images x 1 column)" in done.stdout


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\0\0"])
def test_an_empty_list_of_paths_is_an_error(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    done = run("compare", "-", *UNTRAINED)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("effcam: error: standard input lists no paths; expected one a line")


# The summary


@pytest.fixture
def truths(photos: Path) -> list[Scene]:
    """Scenes in the place of the photos, and beside them files of what is known of them."""
    shown = scenes(3, 9_000, 96)
    for position, scene in enumerate(shown):
        scene.image.save(photos / f"{position}.png")
    Path("labels.csv").write_text(
        "image,label\n" + "".join(f"{at}.png,{each.label}\n" for at, each in enumerate(shown))
    )
    boxes = {f"{at}.png": list(each.box.as_tuple()) for at, each in enumerate(shown)}
    Path("boxes.json").write_text(json.dumps(boxes))
    Path("masks").mkdir()
    for position, scene in enumerate(shown):
        Image.fromarray(scene.mask).save(f"masks/{position}.png")
    return shown


DEMO = ("-m", "demo_alexnet", "-m", "demo_resnet")
FOCUS = ("effective area", "Gini index", "half-mass area")


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_summary_is_printed_and_no_picture_is_drawn(run: Callable[..., Done]) -> None:
    before = files()
    done = run("compare", "photos", *UNTRAINED, "-m", "two=test_efficientnet", "--summary")
    assert done.code == 0, done.err
    assert done.out.startswith("3 images.\n\nmodel ")
    lines = done.out.splitlines()
    assert any(line.startswith("focus ") for line in lines)
    for figure in FOCUS:
        assert figure in done.out
    assert "test_resnet, two: random weights, so the heat means nothing." in done.out
    assert "pointing game" not in done.out
    assert "accuracy, %" not in done.out
    assert files() == before


def test_what_is_asked_for_is_written_beside_a_summary(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "--summary", "-o", "a.csv")
    assert done.code == 0, done.err
    first, *rest = done.out.splitlines()
    assert first == "wrote a.csv (3 images x 1 column)"
    assert rest[0] == "3 images."
    assert files() == ["a.csv", "photos"]


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [
        (".txt", "3 images."),
        (".md", "3 images"),
        (".tex", "%"),
        (".csv", "column,"),
        (".json", "{"),
        (".html", "<!"),
    ],
)
def test_a_summary_is_saved_in_every_format(
    run: Callable[..., Done], suffix: str, begins: str
) -> None:
    done = run("compare", "photos", *UNTRAINED, "--save-summary", f"scores{suffix}")
    assert done.code == 0, done.err
    # Printed it is only if that was asked for too.
    assert done.out == f"wrote scores{suffix} (summary)\n"
    assert files() == ["photos", f"scores{suffix}"]
    text = Path(f"scores{suffix}").read_text(encoding="utf-8")
    assert text.startswith(begins)
    assert "effective" in text


def test_every_format_of_a_summary_is_offered() -> None:
    assert set(FORMATS) == {".txt", ".md", ".tex", ".csv", ".json", ".html"}


def test_a_quiet_summary_is_saved_and_not_printed(run: Callable[..., Done]) -> None:
    done = run(
        "compare", "photos", *UNTRAINED, "--summary", "--save-summary", "scores.csv", "--quiet"
    )
    assert (done.code, done.out) == (0, "")
    assert files() == ["photos", "scores.csv"]


def test_a_summary_is_saved_and_printed(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "--summary", "--save-summary", "scores.txt")
    text = Path("scores.txt").read_text(encoding="utf-8")
    assert done.out == f"{text}wrote scores.txt (summary)\n"
    quiet = run("compare", "photos", *UNTRAINED, "--save-summary", "again.txt", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert Path("again.txt").is_file()


@pytest.mark.usefixtures("truths")
@pytest.mark.parametrize(
    ("argv", "figures"),
    [
        (["--boxes", "boxes.json"], {"pointing game", "MaxBoxAcc"}),
        (["--masks", "masks"], {"pointing game", "PxAP"}),
        (["--labels", "labels.csv"], {"accuracy, %"}),
        (["--all-images"], set()),
        (
            ["--boxes", "boxes.json", "--masks", "masks", "--labels", "labels.csv", "--summary"],
            {"pointing game", "MaxBoxAcc", "PxAP", "accuracy, %"},
        ),
    ],
)
def test_what_is_told_of_the_images_asks_for_a_summary(
    run: Callable[..., Done], argv: list[str], figures: set[str]
) -> None:
    before = files()
    done = run("compare", "photos", *DEMO, *argv)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 images")
    every = {"pointing game", "MaxBoxAcc", "PxAP", "accuracy, %"}
    assert {figure for figure in every if figure in done.out} == figures
    assert ("(centre)" in done.out) == ("pointing game" in figures)
    assert files() == before


def test_the_figures_are_those_of_the_comparison(
    run: Callable[..., Done], photos: Path, truths: list[Scene]
) -> None:
    run("compare", "photos", *DEMO, "--boxes", "boxes.json", "--masks", "masks",
        "--labels", "labels.csv", "--save-summary", "a.json")  # fmt: skip
    found = json.loads(Path("a.json").read_text(encoding="utf-8"))
    comparison = effcam.compare(photos, ["demo_alexnet", "demo_resnet"], progress=False)
    expected = comparison.summary(
        boxes=[scene.box for scene in truths],
        masks=[scene.mask for scene in truths],
        labels=[scene.target for scene in truths],
    )
    assert found["columns"] == ["demo_alexnet", "demo_resnet"]
    assert (found["images"], found["used"]) == (3, expected.used)
    kept = {measure["key"]: measure["values"] for measure in found["measures"]}
    for measure in expected.measures:
        key = measure.figure.key
        if key != "seconds":
            assert kept[key] == pytest.approx(measure.values.tolist()), key


@pytest.mark.usefixtures("truths")
def test_all_images_are_measured_where_that_is_asked_for(run: Callable[..., Done]) -> None:
    # The label of the first image is changed, so that no model is right there.
    lines = Path("labels.csv").read_text().splitlines()
    wrong = next(each for each in LABELS if not lines[1].endswith(each))
    Path("labels.csv").write_text("\n".join([lines[0], f"0.png,{wrong}", *lines[2:]]))
    argv = ["compare", "photos", "-m", "demo_resnet", "--labels", "labels.csv"]
    chosen = run(*argv)
    assert chosen.out.startswith("3 images; every figure but accuracy is of 2 of them.")
    assert "--all-images" in chosen.out
    every = run(*argv, "--all-images")
    assert every.out.startswith("3 images.\n")
    assert "--all-images" not in every.out
    for done in (chosen, every):
        assert re.search(r"demo_resnet .* 66\.7 ", done.out)


def test_faithfulness_is_measured_on_demand(run: Callable[..., Done], photos: Path) -> None:
    argv = ["compare", photos / "0.png", photos / "1.png", *UNTRAINED, "--device", "cpu"]
    assert "insertion" not in run(*argv, "--summary").out
    done = run(*argv, "--faithfulness")
    assert done.code == 0, done.err
    for figure in ("faithfulness", "insertion", "deletion", "ROAD", "(random map)"):
        assert figure in done.out
    assert files() == ["photos"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--boxes", "gone.json"], r"'gone\.json': there is no such file or folder"),
        (["--boxes", "broken.json"], r"'broken\.json': it begins as JSON does, but is none"),
        (["--labels", "empty.csv"], r"'empty\.csv': the file is empty"),
        (["--labels", "gone.csv", "-o", "a.png"], r"'gone\.csv': there is no such file"),
        (["--masks", "empty"], r"'empty': the folder holds no masks"),
        (["--summary", "--save-summary", "a.doc"], r"cannot save 'a\.doc': .* use one of \.txt"),
        (["--save-summary", "gone/a.txt"], "there is no folder 'gone'"),
    ],
)
def test_broken_files_of_the_truth_fail_before_any_model_runs(
    run: Callable[..., Done], asked: dict[str, Any], argv: list[str], message: str
) -> None:
    Path("broken.json").write_text('{"0.png": [1, 2,')
    Path("empty.csv").write_text("")
    Path("empty").mkdir()
    before = files()
    done = run("compare", "photos", *UNTRAINED, *argv)
    assert asked == {}
    assert (done.code, done.out) == (1, "")
    assert re.match(rf"effcam: error: .*{message}", done.err)
    assert done.err.count("\n") == 1
    assert files() == before


@pytest.mark.usefixtures("truths")
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("0.png,whale\n", "demo_resnet has no class called 'whale'"),
        ("0.png,10\n", "class 10 is out of range: demo_resnet has the 10 classes 0 to 9"),
        ("other.png,1\n", "there are no labels for any of the 3 images: known are 'other.png'"),
    ],
)
def test_labels_that_fit_no_model_or_image_fail_before_any_model_runs(
    run: Callable[..., Done], asked: dict[str, Any], labels: str, message: str
) -> None:
    Path("labels.csv").write_text("image,label\n" + labels)
    done = run("compare", "photos", "-m", "demo_resnet", "--labels", "labels.csv", "-o", "a.png",
               "--save-summary", "a.txt")  # fmt: skip
    assert asked == {}
    assert (done.code, done.out) == (1, "")
    assert re.match(rf"effcam: error: .*({message})", done.err)
    assert done.err.count("\n") == 1


@pytest.mark.usefixtures("truths")
@pytest.mark.parametrize("name", ["test_resnet", "torchvision:alexnet"])
def test_published_weights_are_known_to_have_the_classes_of_imagenet(
    run: Callable[..., Done], asked: dict[str, Any], name: str
) -> None:
    Path("labels.csv").write_text("image,label\n0.png,whale\n")
    done = run("compare", "photos", "-m", name, "--labels", "labels.csv")
    assert asked == {}
    assert f"{name} has no class called 'whale'" in done.err
    Path("labels.csv").write_text("image,label\n0.png,tabby\n1.png,999\n")
    assert run("compare", "photos", "-m", name, "--labels", "labels.csv").code == 130
    assert [ref.name for ref in asked["images"]] == ["0.png", "1.png", "2.png"]


def test_a_scoreboard_is_of_the_frames_that_were_asked_for(
    run: Callable[..., Done], photos: Path, asked: dict[str, Any]
) -> None:
    first, *more = [Image.new("RGB", (32, 32), (90, level, 9)) for level in (0, 80, 160, 240)]
    first.save(photos / "film.gif", save_all=True, append_images=more, duration=500)
    done = run("compare", photos / "film.gif", "-m", "demo_resnet", "--fps", 1, "--summary")
    assert (done.code, done.err) == (130, "effcam: interrupted\n")
    assert [ref.name for ref in asked["images"]] == ["film.gif @ 0:00.000", "film.gif @ 0:01.000"]


@pytest.mark.usefixtures("truths")
def test_pictures_are_saved_before_a_summary_that_fails(run: Callable[..., Done]) -> None:
    # Which classes a model without published weights has, is known when it is built.
    Path("labels.csv").write_text("image,label\n0.png,whale\n")
    argv = ["compare", "photos", *UNTRAINED, "--labels", "labels.csv", "-o", "a.png"]
    done = run(*argv, "--save-summary", "a.txt")
    assert done.code == 1
    assert done.out == "wrote a.png (3 images x 1 column)\n"
    assert re.search(r"^effcam: error: .*has no class called 'whale'", done.err, re.MULTILINE)
    assert not Path("a.txt").exists()
    told = run(*argv, "--json", "-q")
    assert told.code == 1
    assert told.err.count("\n") == 1
    document = json.loads(told.out)
    assert (document["written"], document["summary"]) == (["a.png"], None)


def test_a_picture_that_fails_does_not_cost_the_summary(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("cannot write a.json: no space left")

    monkeypatch.setitem(export.SAVERS, ".json", (full, ()))
    done = run("compare", "photos", *UNTRAINED, "-o", "a.json", "--summary")
    assert done.code == 1
    assert done.out.startswith("3 images.")
    assert "effcam: error: cannot write a.json: no space left\n" in done.err


# Mistakes: one line that says what to do, and no traceback


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["gone"], 1, "image 'gone' does not exist"),
        (["gone/*.png"], 1, r"no image file matches 'gone/\*\.png'"),
        (["empty"], 1, "folder 'empty' has no images"),
        (["bad.png"], 1, r"image 'bad\.png': the file is not an image"),
        (["bad.png", "--skip-bad"], 1, r"no image can be read: image 'bad\.png'"),
        (["photos", "-o", "a.bmp"], 1, r"cannot save 'a\.bmp': .* suffix '\.bmp'"),
        (["photos", "-o", "gone/a.png"], 1, "there is no folder 'gone'"),
        (["photos", "--target", "taby"], 1, r"no class called 'taby'\. Did you mean 'tabby'"),
        (["photos", "--target", "1000"], 1, "class 1000 is out of range: timm:test_resnet has"),
        (["photos", "--target", "-1"], 1, "class -1 is out of range"),
        (["photos", "--method", "gradcm"], 2,
         "argument --method: invalid choice: 'gradcm'. Did you mean 'gradcam'"),
        (["photos", "--size", "0"], 2, "size must be a whole number from 1, not 0"),
        (["photos", "--batch-size", "0"], 2, "batch_size must be a whole number from 1"),
        (["photos", "--device", "abacus"], 2, "device 'abacus' cannot be used"),
        (["photos", "-m", "resnet5"], 1, r"no model is called 'resnet5'.* 'resnet50'"),
        (["photos", "-m", "hub:resnet50"], 1, "'hub:resnet50' cannot be imported: No module"),
        (["photos", "-m", "json:nothing"], 1, "'json:nothing' cannot be imported: .* no attribute"),
        (["photos", "-m", "json:loads"], 1, r"constructor of 'json:loads' failed: TypeError\("),
        (["photos", "-m", "test_resnet"], 2, "two models have the same label"),
        (["photos", "--checkpoint", "a.pt"], 2, "'a.pt' is not of the form --checkpoint NAME=FILE"),
        (["photos", "--checkpoint", "other=a.pt"], 2, "'other' is none of the models to compare: "),
        (["photos", "--checkpoint", "test_resnet=a.pt"], 1, r"checkpoint 'a\.pt' does not exist"),
        (["photos", "--checkpoint", "test_resnet=bad.png"], 1, r"checkpoint 'bad\.png' "),
        (["photos", "--checkpoint", "test_resnet=a", "--checkpoint", "test_resnet=b"], 2,
         "'test_resnet' has --checkpoint twice: a and b"),
        (["photos", "-m", "a=vgg11", "-m", "b=vgg11", "--option", "vgg11:x=1"], 2,
         "'vgg11' is the model of several labels, a, b: name one"),
        (["photos", "--option", "test_resnet=5"], 2, "not of the form --option NAME:KEY=VALUE"),
        (["photos", "--option", "test_resnet:classes"], 2, "not of the form --option NAME:KEY=VAL"),
        (["photos", "--option", "test_resnet:depht=5"], 1, "cannot be built with .*'depht'"),
        (["photos", "--layer", "layer3"], 2, "'layer3' is not of the form --layer NAME=LAYER"),
        (["photos", "--layer", "other=layer3"], 2, "'other' is none of the models to compare: "),
        (["photos", "--layer", "test_resnet=a", "--layer", "test_resnet=b"], 2,
         "'test_resnet' has --layer twice: a and b"),
        (["photos", "--layer", "test_resnet=layr3"], 1,
         r"timm:test_resnet: .* no layer called 'layr3'\. Did you mean 'layer3'.* nearest layers"),
        (["photos", "--layer", "test_resnet=fc"], 1, "layer 'fc' gives no map of .*layer4"),
        (["photos", "-m", "local-dir:gone"], 1, "folder 'gone' does not exist: expected a folder"),
        (["photos", "-m", "hf_hub:flowers"], 1, "these configuration files are not on this"),
        (["photos", "--preprocess", "test_resnet:siz=5"], 2,
         "--preprocess knows no 'siz'. Did you mean 'size'.* It knows size, resize, mode"),
        (["photos", "--preprocess", "test_resnet:std=0"], 2, "std must be positive"),
        (["photos", "--preprocess", "test_resnet:mode=stretch"], 2, "mode must be 'crop'"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_line(
    run: Callable[..., Done], argv: list[str], code: int, message: str
) -> None:
    Path("empty").mkdir()
    Path("bad.png").write_bytes(b"no image")
    done = run("compare", *argv[:1], *UNTRAINED, *argv[1:])
    assert done.code == code
    assert re.match(rf"effcam: error: .*{message}", done.err)
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert not Path("compare.gif").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(:", r"'ownbroken:make' cannot be imported: SyntaxError\("),
        ("raise ValueError('no')", r"'ownbroken:make' cannot be imported: ValueError\('no'\)"),
        ("import nonesuch", "'ownbroken:make' cannot be imported: No module named 'nonesuch'"),
        ("make = 5", r"constructor of 'ownbroken:make' failed: TypeError\("),
        ("def make(): raise OSError('lost')", r"of 'ownbroken:make' failed: OSError\('lost'"),
        ("def make(): return 5", "returned a int, not an nn.Module"),
    ],
)
def test_a_broken_module_of_the_users_gets_one_line(
    run: Callable[..., Done],
    module_of: Callable[[str, str], None],
    text: str,
    message: str,
) -> None:
    module_of("ownbroken", text)
    done = run("compare", "photos", "-m", "ownbroken:make")
    assert done.code == 1
    assert re.match(rf"effcam: error: .*{message}", done.err)
    assert done.err.count("\n") == 1


def test_a_message_of_several_lines_becomes_one(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise effcam.EffcamError("the model failed:\n  out of memory\n  at all")

    monkeypatch.setattr(api, "compare", fail)
    done = run("compare", "photos")
    assert done.err == "effcam: error: the model failed: out of memory at all\n"


def test_where_to_write_is_checked_before_anything_runs(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    assert run("compare", "photos", "-o", "a.png", "-o", "gone/a.gif").code == 1
    assert asked == {}


def test_missing_weights_are_told_in_one_line(run: Callable[..., Done]) -> None:
    done = run("compare", "photos")
    assert done.code == 1
    assert re.match("effcam: error: .*weights are not on this machine and ", done.err)
    assert done.err.count("\n") == 1
    # Which, from where, and three ways on.
    for name in DEFAULT_MODELS.values():
        assert name in done.err
    for part in (
        "download.pytorch.org", "huggingface.co/timm/tf_efficientnet_b0.in1k", "Go online once",
        "--checkpoint NAME=FILE", "--weights none",
    ):  # fmt: skip
        assert part in done.err


def test_an_interrupt_says_so(run: Callable[..., Done], asked: dict[str, Any]) -> None:
    done = run("compare", "photos")
    assert asked["images"] == ["photos"]
    assert (done.code, done.out, done.err) == (130, "", "effcam: interrupted\n")


# models


def test_names_are_listed_one_a_line(run: Callable[..., Done]) -> None:
    done = run("models", "alexnet*", "--names")
    assert (done.code, done.out, done.err) == (0, "alexnet\n", "")
    assert run("models", "resnet1[08]", "--source", "timm", "--names").out == "resnet18\n"
    lines = run("models", "--names").out.splitlines()
    assert lines == list(effcam.list_models())
    assert len(lines) > 1000


def test_what_is_known_of_each_model_is_a_table(run: Callable[..., Done]) -> None:
    done = run("models", "resnet50", "--source", "torchvision", "--pretrained")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "name                                source       family  parameters  input  top-1 %"
        "  target layer  layout\n"
        "torchvision:resnet50.IMAGENET1K_V1  torchvision  resnet           -      -    76.13"
        "  layer4        NCHW\n"
        "torchvision:resnet50.IMAGENET1K_V2  torchvision  resnet      25.6 M    224    80.86"
        "  layer4        NCHW\n"
    )
    lines = run("models").out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *effcam.list_models()]
    # Every column begins or ends where its header does, whatever is in it.
    starts = [lines[0].index(name) for name in ("source", "family", "target layer", "layout")]
    ends = [lines[0].index(name) + len(name) for name in ("parameters", "input", "top-1 %")]
    for line in lines:
        assert all(line[at - 2 : at] == "  " and line[at] != " " for at in starts), line
        assert all(line[at - 1] != " " and line[at : at + 2] == "  " for at in ends), line


def test_the_table_is_read_without_the_libraries() -> None:
    if not all(map(is_current, ("timm", "torchvision"))):
        pytest.skip("other versions are installed than the table's")
    code = """
        import contextlib, io, json, sys
        from effcam.cli import main
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            main(["models"])
            main(["models", "resnet*", "--pretrained", "--names"])
        print(json.dumps([len(shown.getvalue().splitlines()), sorted(sys.modules)]))
    """
    lines, modules = json.loads(python("-c", textwrap.dedent(code)).stdout)
    assert lines > 1000
    assert "effcam.models.listing" in modules
    assert {
        "torch",
        "timm",
        "torchvision",
        "effcam.models.model",
        "effcam.models.build",
    }.isdisjoint(modules)


def test_layers_are_listed_and_the_default_is_marked(run: Callable[..., Done]) -> None:
    done = run("models", "test_resnet", "--layers")
    assert (done.code, done.err) == (0, "")
    header, *lines = done.out.splitlines()
    assert header.split() == ["layer", "layout", "prefix", "channels", "grid"]
    model = effcam.load_model("test_resnet", pretrained=False)
    assert [line.split()[:4] for line in lines] == [
        [layer.name, layer.layout, str(layer.channels), "x".join(map(str, layer.grid))]
        for layer in model.layers()
    ]
    assert [line for line in lines if "<-" in line] == [lines[-1]]
    assert lines[-1].split() == [
        "layer4", "NCHW", "96", "5x5", "<-", "features", "entering", "the", "head",
    ]  # fmt: skip
    assert {line.index("NCHW") for line in lines} == {header.index("layout")}


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("timm:test_vit", "blocks.5.norm1"),
        ("torchvision:regnet_y_400mf", "trunk_output"),  # reads numbers while it is built
        ("resnet50.a1_in1k", "layer4"),
        ("own_net", "layer3"),
    ],
)
def test_layers_are_listed_without_weights(
    run: Callable[..., Done], name: str, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    effcam.register_model(ModelSpec("own_net", constructor="resnet18", target_layer="layer3"))
    monkeypatch.setattr(downloads.PublishedWeights, "fetch", lambda _: pytest.fail("fetched"))
    done = run("models", name, "--layers")
    assert (done.code, done.err) == (0, "")
    (marked,) = [line.split()[0] for line in done.out.splitlines() if "<-" in line]
    assert marked == layer


def test_models_are_filtered(run: Callable[..., Done]) -> None:
    assert run("models", "alexnet", "--source", "timm").code == 1
    assert run("models", "alexnet*", "--pretrained", "--names").out == "alexnet.IMAGENET1K_V1\n"
    assert "alexnet" not in run("models", "--no-pretrained", "--names").out.splitlines()
    only = run("models", "resnet50", "--source", "torchvision", "--names")
    assert only.out == "torchvision:resnet50\n"


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["resnet5_"], 1, "no model's name matches 'resnet5_'"),
        (
            ["--source", "jax"],
            2,
            "argument --source: invalid choice: 'jax'. It is one of timm, torch",
        ),
        (["resnet5_", "--layers"], 1, "no model is called 'resnet5_'. Did you mean 'resnet50' or"),
        (["--layers"], 2, "--layers takes the name of one model, as 'resnet50', not '*'"),
        (["resnet[15]*", "--layers"], 2, "--layers takes the name of one model"),
    ],
)
def test_models_says_what_is_wrong(
    run: Callable[..., Done], argv: list[str], code: int, message: str
) -> None:
    done = run("models", *argv)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"effcam: error: {message}")
    assert done.err.count("\n") == 1


def test_one_output_that_fails_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OutputError("cannot write a.json: no space left")

    monkeypatch.setitem(export.SAVERS, ".json", (full, ()))
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    outputs = [str(tmp_path / name) for name in ("a.json", "a.csv")]
    code = main(
        [
            "compare", str(tmp_path / "a.png"), "-m", "test_resnet", "--weights", "none",
            "--size", "64", "-o", outputs[0], "-o", outputs[1],
        ]
    )  # fmt: skip
    assert code == 1
    printed = capsys.readouterr()
    assert "no space left" in printed.err
    assert f"wrote {outputs[1]}" in printed.out
    assert (tmp_path / "a.csv").is_file()


# Layouts


MODELS = ("-m", "a=demo_resnet", "-m", "b=demo_alexnet")


@pytest.mark.usefixtures("photos")
def test_layouts_reach_the_pictures_and_leave_tables_alone(run: Callable[..., Done]) -> None:
    outputs = ("-o", "a.svg", "-o", "a.gif", "-o", "a.csv")
    done = run(
        "compare", "photos", *MODELS, *outputs, "--rows", "models", "--no-original", "--title", "T",
        "--caption", r"{column}\n{label:.3}!", "--inches", "4", "--fontsize", "6", "-q",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    drawn = Path("a.svg").read_text("utf-8")
    assert 'width="288pt"' in drawn
    assert ">T<" in drawn
    assert ">Original<" not in drawn
    assert frames("a.gif") == 3
    for row in rows("a.csv"):
        assert f">{row['label'][:3]}!<" in drawn


def test_a_poster_is_of_one_photo(run: Callable[..., Done], photos: Path) -> None:
    photo = min(photos.iterdir())
    assert run("compare", photo, *MODELS, "-o", "a.png", "--layout", "poster", "-q").code == 0
    assert run("compare", photo, *MODELS, "-o", "b.png", "-q").code == 0
    assert Path("a.png").read_bytes() != Path("b.png").read_bytes()


def test_a_poster_of_several_photos_is_refused_before_anything_runs(
    run: Callable[..., Done], photos: Path, asked: dict[str, Any]
) -> None:
    poster = (*MODELS, "-o", "a.png", "--layout", "poster")
    done = run("compare", photos, *poster)
    assert done.code == 2
    assert "a poster shows one image, and there are 3: choose one" in done.err
    assert asked == {}
    assert run("compare", min(photos.iterdir()), *poster).code == 130
    assert len(asked["images"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--caption", "{lable}"], "caption has no field 'lable'. Did you mean 'label'"),
        (["--font", "none.ttf"], "font 'none.ttf' cannot be read"),
        (["--inches", "4"], "inches has no meaning for compare.gif"),
        (["--layout", "poster", "-o", "a.gif", "-o", "a.csv"], "layout has no meaning for a.gif,"),
        (["--layout", "poster", "--rows", "models", "-o", "a.png"], "rows has no meaning for a "),
        (["-o", "a.pdf", "--fontsize", "1"], "fontsize is a number from 3 to 72, not 1.0"),
    ],
)
def test_impossible_layouts_are_refused_before_anything_runs(
    run: Callable[..., Done], photos: Path, asked: dict[str, Any], options: list[str], message: str
) -> None:
    done = run("compare", photos, *MODELS, *options)
    assert done.code == 2
    assert message in done.err
    assert asked == {}
