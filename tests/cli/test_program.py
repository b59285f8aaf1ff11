"""The program: help, versions, exit codes, and how mistakes are reported."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import effcam
from effcam import DEFAULT_MODELS, api
from effcam.cli import main
from tests.cli.commands import UNTRAINED, Done, python, rows

pytestmark = pytest.mark.usefixtures("photos")

HEAVY = {"torch", "torchvision", "timm", "numpy", "PIL", "matplotlib", "pytorch_grad_cam", "tqdm"}


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
    for argv in (
        ["--help"],
        ["compare", "--help"],
        ["models", "--help"],
        ["app", "--help"],
        ["--version"],
    ):
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
    assert "'--method help'" in " ".join(done.out.split())
    assert ", ".join(DEFAULT_MODELS) in " ".join(done.out.split())
    assert "effcam compare photos/" in run("--help").out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "arguments are required: COMMAND"),
        (["compare"], "arguments are required: PATH"),
        (["contrast", "photos"], "invalid choice: 'contrast'"),
        (["comprae", "photos"], "invalid choice: 'comprae'. Did you mean 'compare'? Choose from"),
        (["compare", "photos", "--tarqet", "1"], "arguments: --tarqet 1. Did you mean '--target'"),
        (["compare", "photos", "--meth", "gradcam"], "unrecognized arguments: --meth"),
        (["compare", "photos", "-m"], "argument -m/--model: expected one argument"),
        (["--verison", "demo"], "unrecognized arguments: --verison. Did you mean '--version'?"),
        (["completion", "nushell"], "Choose from bash, zsh, fish, tcsh"),
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


def test_an_error_leaves_no_document(run: Callable[..., Done]) -> None:
    for argv in (["gone"], ["photos", "--size", "0"], ["photos", "--view", "all"]):
        done = run("compare", *argv, *UNTRAINED[:4], "--json")
        assert done.code in (1, 2)
        assert done.out == ""
        assert done.err.count("\n") == 1


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
        (["photos", "--width", "0"], 2, "width must be a whole number from"),
        (["photos", "--batch-size", "0"], 2, "batch_size must be a whole number from 1"),
        (["photos", "--device", "abacus"], 2, "device 'abacus' cannot be used"),
        (["photos", "-m", "resnet5"], 1, r"no model is called 'resnet5'.* 'resnet50'"),
        (["photos", "-m", "hub:resnet50"], 1, "'hub:resnet50' cannot be imported: No module"),
        (["photos", "-m", "json:nothing"], 1, "'json:nothing' cannot be imported: .* no attribute"),
        (["photos", "-m", "json:loads"], 1, r"constructor of 'json:loads' failed: TypeError\("),
        (["photos", "-m", "test_resnet"], 2, "two models have the same label"),
        (["photos", "--checkpoint", "a.pt"], 2, "'a.pt' does not have the form --checkpoint NAME"),
        (["photos", "--checkpoint", "other=a.pt"], 2, "'other' is not one of the models"),
        (["photos", "--checkpoint", "test_resnet=a.pt"], 1, r"checkpoint 'a\.pt' does not exist"),
        (["photos", "--checkpoint", "test_resnet=bad.png"], 1, r"checkpoint 'bad\.png' "),
        (["photos", "--checkpoint", "test_resnet=a", "--checkpoint", "test_resnet=b"], 2,
         "--checkpoint is given twice for 'test_resnet': a and b"),
        (["photos", "-m", "a=vgg11", "-m", "b=vgg11", "--option", "vgg11:x=1"], 2,
         "'vgg11' has several labels, a, b: use one of these"),
        (["photos", "--option", "test_resnet=5"], 2, "not have the form --option NAME:KEY=VALUE"),
        (["photos", "--option", "test_resnet:classes"], 2, "not have the form --option NAME:KEY"),
        (["photos", "--option", "test_resnet:depht=5"], 1, "cannot be built with .*'depht'"),
        (["photos", "--layer", "layer3"], 2, "'layer3' does not have the form --layer NAME=LAYER"),
        (["photos", "--layer", "other=layer3"], 2, "'other' is not one of the models to compare: "),
        (["photos", "--layer", "test_resnet=a", "--layer", "test_resnet=a"], 2,
         "--layer is given twice for 'test_resnet': a"),
        (["photos", "--layer", "test_resnet=layr3"], 1,
         r"timm:test_resnet: .* no layer called 'layr3'\. Did you mean 'layer3'.* nearest layers"),
        (["photos", "--layer", "test_resnet=fc"], 1, "layer 'fc' gives no map of .*layer4"),
        (["photos", "-m", "local-dir:gone"], 1, "folder 'gone' does not exist: expected a folder"),
        (["photos", "-m", "hf_hub:flowers"], 1, "these configuration files are not on this"),
        (["photos", "--preprocess", "test_resnet:siz=5"], 2,
         "--preprocess has no key 'siz'. Did you mean 'size'.* Choose from size, resize, mode"),
        (["photos", "--preprocess", "test_resnet:std=0"], 2, "std must be positive"),
        (["photos", "--preprocess", "test_resnet:mode=stretch"], 2, "mode must be 'crop'"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_line(
    run: Callable[..., Done], argv: list[str], code: int, message: str
) -> None:
    Path("empty").mkdir()
    Path("bad.png").write_bytes(b"no image")
    # An option of one value may be given once.
    usual = UNTRAINED[:-2] if "--size" in argv else UNTRAINED
    done = run("compare", *argv[:1], *usual, *argv[1:])
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


def test_missing_weights_give_one_line(run: Callable[..., Done]) -> None:
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
