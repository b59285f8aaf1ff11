"""The demo models: the libraries' own classes, small, known by name, their files without code."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from timm.models.resnet import ResNet
from torchvision.models import AlexNet, DenseNet, EfficientNet

import effcam
from effcam.demo import LABELS, MODELS, networks
from effcam.demo.models import MULTI_LABEL, SIZES, WEIGHTS, specs
from effcam.models import registry
from effcam.models.registry import ModelSpec

CLASSES = {
    "alexnet": AlexNet,
    "densenet": DenseNet,
    "resnet": ResNet,
    "efficientnet_b0": EfficientNet,
    "efficientnet_b3": EfficientNet,
}
LAYERS = {
    "demo_alexnet": ("features", (6, 6)),
    "demo_densenet": ("features", (7, 7)),
    "demo_resnet": ("layer4", (14, 14)),
    "demo_efficientnet_b0": ("features", (7, 7)),
    "demo_efficientnet_b3": ("features", (9, 9)),
    MULTI_LABEL: ("features", (7, 7)),
}
LOG = Path(__file__).parents[2] / "tools" / "train_demo.csv"


def test_their_names_go_by_the_default_models_labels() -> None:
    assert len(MODELS) == len(effcam.DEFAULT_MODELS)
    every = tuple(sorted([*MODELS.values(), MULTI_LABEL]))
    assert effcam.list_models("demo_*") == every
    assert effcam.list_models("demo_*", source="registered", pretrained=True) == every
    with pytest.raises(TypeError):
        MODELS["mine"] = "resnet18"  # type: ignore[index]


@pytest.mark.parametrize("name", CLASSES)
def test_they_are_the_libraries_own_classes(name: str) -> None:
    assert type(getattr(networks, name)()) is CLASSES[name]


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
    assert large.features[-1].out_channels > small.features[-1].out_channels
    depths = [[len(stage) for stage in net.features[1:-1]] for net in (small, large)]
    assert depths == [[1, 2, 2, 3, 3, 4, 1], [2, 3, 3, 5, 5, 6, 2]]
    assert SIZES["efficientnet_b3"] > SIZES["efficientnet_b0"]


def test_their_weights_are_small_halves_without_code() -> None:
    files = sorted(WEIGHTS.iterdir())
    assert [file.name for file in files] == sorted(
        f"{name}.safetensors" for name in (*MODELS.values(), MULTI_LABEL)
    )
    assert sum(file.stat().st_size for file in files) <= 2.7e6
    assert (WEIGHTS / f"{MULTI_LABEL}.safetensors").stat().st_size <= 200_000
    for file in files:
        state = safetensors.torch.load_file(file)
        assert {tensor.dtype for tensor in state.values()} == {torch.float16}
        assert all(tensor.isfinite().all() for tensor in state.values())


def test_the_log_is_of_the_weights_that_are_shipped() -> None:
    with LOG.open(newline="", encoding="utf-8") as stream:
        rows = {row["network"]: row for row in csv.DictReader(stream)}
    assert set(rows) == set(CLASSES)
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
