"""The demo models: as the libraries' classes, small, known by name, their files without code."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import nn
from torchvision.models import AlexNet, DenseNet, EfficientNet
from torchvision.models.efficientnet import MBConvConfig

import effcam
from effcam.demo import LABELS, MODELS, networks
from effcam.demo.models import MULTI_LABEL, SIZES, SMALL_KINDS, TWO_TOWER, WEIGHTS, specs
from effcam.models import registry
from effcam.models.registry import ModelSpec


def library_alexnet() -> AlexNet:
    """Its widths are fixed, so that its layers are replaced."""
    network = AlexNet(num_classes=10)
    sizes = ((3, 24, 11, 2, 2), (24, 48, 5, 1, 2), (48, 64, 3, 1, 1), (64, 48, 3, 1, 1))
    for place, size in zip((0, 3, 6, 8, 10), (*sizes, (48, 32, 3, 1, 1)), strict=True):
        network.features[place] = nn.Conv2d(*size)
    widths = {1: (32 * 36, 56), 4: (56, 56), 6: (56, 10)}
    for place, (inside, out) in widths.items():
        network.classifier[place] = nn.Linear(inside, out)
    return network


def library_resnet(output_stride: int = 8) -> ResNet:
    return ResNet(
        Bottleneck,  # type: ignore[arg-type]  # timm annotates an instance instead of the class
        (2, 3, 4, 2),
        10,
        output_stride=output_stride,
        channels=(12, 20, 32, 40),
    )


def library_efficientnet(wider: float, deeper: float) -> EfficientNet:
    scale = {"width_mult": wider, "depth_mult": deeper}
    settings = [MBConvConfig(*block, **scale) for block in networks.B0_BLOCKS]
    last = MBConvConfig.adjust_channels(networks.FEATURES, wider)
    return EfficientNet(settings, 0.1, 0.0, num_classes=10, last_channel=last)


def library_densenet(*blocks: int) -> DenseNet:
    return DenseNet(10, blocks, 24, num_classes=10)  # type: ignore[arg-type]  # three blocks


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "alexnet": (networks.alexnet, library_alexnet),
    "densenet": (networks.densenet, lambda: library_densenet(4, 8, 10)),
    "multilabel": (networks.multilabel, lambda: library_densenet(4, 7, 1)),
    "resnet": (networks.resnet, library_resnet),
    "resnet in training": (lambda: networks.resnet(16), lambda: library_resnet(16)),
    "efficientnet_b0": (networks.efficientnet_b0, lambda: library_efficientnet(1.0, 1.0)),
    "efficientnet_b3": (networks.efficientnet_b3, lambda: library_efficientnet(1.2, 1.4)),
}
"""The networks, and the libraries' classes with the same settings."""
LAYERS = {
    "demo_alexnet": ("features", (6, 6)),
    "demo_densenet": ("features", (7, 7)),
    "demo_resnet": ("layer4", (14, 14)),
    "demo_efficientnet_b0": ("features", (7, 7)),
    "demo_efficientnet_b3": ("features", (9, 9)),
    MULTI_LABEL: ("features", (7, 7)),
}
SMALL = [f"demo_{kind}" for kind in SMALL_KINDS]
LOG = Path(__file__).parents[2] / "tools" / "train_demo.csv"


def test_their_names_go_by_the_default_models_labels() -> None:
    assert len(MODELS) == len(effcam.DEFAULT_MODELS)
    every = tuple(sorted([*MODELS.values(), MULTI_LABEL, TWO_TOWER, *SMALL]))
    assert effcam.list_models("demo_*") == every
    assert effcam.list_models("demo_*", source="registered", pretrained=True) == every
    with pytest.raises(TypeError):
        MODELS["mine"] = "resnet18"  # type: ignore[index]


@pytest.mark.parametrize("name", NETWORKS)
def test_they_compute_what_the_libraries_classes_do(name: str) -> None:
    """They have the same weights, drawn in the same way from one seed, and the same outputs."""
    made = []
    for build in NETWORKS[name]:
        torch.manual_seed(0)
        made.append(build())
    ours, theirs = made
    own, known = ours.state_dict(), theirs.state_dict()
    assert list(own) == list(known)
    if name != "alexnet":  # whose layers are drawn twice there
        assert all(torch.equal(own[key], known[key]) for key in own)
    theirs.load_state_dict(own)
    images = torch.randn(2, 3, 112, 112)
    for network in made:
        network.eval()
    assert torch.equal(ours(images), theirs(images))
    for network in made:
        network.train()
    torch.manual_seed(1)
    trained = ours(images)
    torch.manual_seed(1)
    torch.testing.assert_close(trained, theirs(images))


@pytest.mark.parametrize("name", LAYERS)
def test_each_is_ready_by_name(name: str) -> None:
    model = effcam.load_model(name, device="cpu")
    assert (model.name, model.labels) == (name, LABELS)
    assert (model.target_layer, model.layer.grid) == LAYERS[name]
    assert model.weights == f"{name}.safetensors"
    assert model.preprocess.size == (SIZES.get(name.removeprefix("demo_"), 112),) * 2
    assert model.multi_label == (name == MULTI_LABEL)
    assert model.dtype == torch.float32


def test_b3_is_b0_scaled_as_the_original_is() -> None:
    """1.2 times as wide, 1.4 times as deep (arXiv 1905.11946), and with a larger input."""
    small, large = networks.efficientnet_b0(), networks.efficientnet_b3()
    assert large.features[-1][0].out_channels > small.features[-1][0].out_channels
    depths = [[len(stage) for stage in net.features[1:-1]] for net in (small, large)]
    assert depths == [[1, 2, 2, 3, 3, 4, 1], [2, 3, 3, 5, 5, 6, 2]]
    assert SIZES["efficientnet_b3"] > SIZES["efficientnet_b0"]


def test_their_weights_are_small_halves_without_code() -> None:
    files = sorted(WEIGHTS.iterdir())
    assert [file.name for file in files] == sorted(
        f"{name}.safetensors" for name in (*MODELS.values(), MULTI_LABEL, TWO_TOWER, *SMALL)
    )
    assert sum(file.stat().st_size for file in files) <= 3.5e6
    assert (WEIGHTS / f"{MULTI_LABEL}.safetensors").stat().st_size <= 200_000
    assert (WEIGHTS / f"{TWO_TOWER}.safetensors").stat().st_size <= 600_000
    for file in files:
        state = safetensors.torch.load_file(file)
        assert {tensor.dtype for tensor in state.values()} == {torch.float16}
        assert all(tensor.isfinite().all() for tensor in state.values())


def test_the_log_is_of_the_weights_that_are_shipped() -> None:
    with LOG.open(newline="", encoding="utf-8") as stream:
        rows = {row["network"]: row for row in csv.DictReader(stream)}
    assert set(rows) == set(SIZES)
    for name, row in rows.items():
        assert int(row["bytes"]) == (WEIGHTS / f"demo_{name}.safetensors").stat().st_size
        assert float(row["accuracy"]) >= 90
        parameters = sum(each.numel() for each in getattr(networks, name)().parameters())
        assert int(row["parameters"]) == parameters


def test_specs_can_be_sent_to_another_process() -> None:
    """All but what a spec itself cannot send: its read-only options."""
    for spec in specs():
        copy = pickle.loads(pickle.dumps(spec.constructor))  # noqa: S301 - our own
        assert isinstance(copy(), torch.nn.Module)


def test_a_name_of_the_demo_can_be_taken_over() -> None:
    mine = ModelSpec("demo_resnet", constructor="resnet18", pretrained=False)
    effcam.register_model(mine, replace=True)
    assert registry.find_spec("demo_resnet") is mine
    assert registry.find_spec("demo_alexnet") is not None
