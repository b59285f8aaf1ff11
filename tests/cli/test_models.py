"""``effcam models``: names, the table, and the layers of one model."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable

import pytest

import effcam
from effcam import ModelSpec
from effcam.models import downloads
from effcam.models.architectures import is_current
from tests.cli.commands import Done, python

pytestmark = pytest.mark.usefixtures("photos")


def test_json_of_models(run: Callable[..., Done]) -> None:
    found = json.loads(run("models", "resnet50", "--source", "torchvision", "--json").out)
    assert found["models"] == [
        {
            "name": "torchvision:resnet50", "source": "torchvision", "family": "resnet",
            "parameters": 25557032, "input_size": [224, 224], "top1": 80.858,
            "target_layer": "layer4", "layout": "NCHW", "has_classifier": True,
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


def test_names_are_listed_one_a_line(run: Callable[..., Done]) -> None:
    done = run("models", "alexnet*", "--names")
    assert (done.code, done.out, done.err) == (0, "alexnet\n", "")
    assert run("models", "resnet1[08]", "--source", "timm", "--names").out == "resnet18\n"
    lines = run("models", "--names").out.splitlines()
    assert lines == list(effcam.list_models())
    assert len(lines) > 1000


def test_the_facts_of_each_model_are_a_table(run: Callable[..., Done]) -> None:
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
        "effcam.models.loading",
    }.isdisjoint(modules)


def test_the_placement_of_a_models_cells_is_measured_with_its_weights(
    run: Callable[..., Done],
) -> None:
    placement = effcam.load_model("demo_alexnet").placement
    assert run("models", "demo_alexnet", "--placement").out == f"{placement}\n"
    found = json.loads(run("models", "demo_alexnet", "--placement", "--json").out)
    assert found["model"] == "demo_alexnet"
    assert found["placement"]["pitch"] == [16, 16]
    assert found["placement"]["offset"] == list(placement.offset)


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
            "argument --source: invalid choice: 'jax'. Choose from timm, torch",
        ),
        (["resnet5_", "--layers"], 1, "no model is called 'resnet5_'. Did you mean 'resnet50' or"),
        (["--layers"], 2, "--layers needs the name of one model, such as 'resnet50', not '*'"),
        (["resnet[15]*", "--layers"], 2, "--layers needs the name of one model"),
        (["demo_*", "--placement"], 2, "--placement needs the name of one model"),
        (["demo_alexnet", "--placement", "--names"], 2, "--names has no meaning with --placement"),
    ],
)
def test_models_says_what_is_wrong(
    run: Callable[..., Done], argv: list[str], code: int, message: str
) -> None:
    done = run("models", *argv)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"effcam: error: {message}")
    assert done.err.count("\n") == 1
