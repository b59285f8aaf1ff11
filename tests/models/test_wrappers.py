"""A module of the caller's own: its wrappers, its layers by name, its attributes."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from timm.utils import ModelEmaV2, ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel

from effcam.errors import ArgumentError, LayerError, ModelError
from effcam.models.wrappers import check_module, layer_names, own_labels, own_size, unwrap
from tests.nets import ConvNet, DistributedDataParallel


def compiled(module: nn.Module) -> Any:
    return torch.compile(module, backend="eager")


class Own(DistributedDataParallel):
    """Holds a network under a wrapper's attribute, but is a network itself."""


WRAPPERS: dict[str, Any] = {
    "parallel": nn.DataParallel,
    "distributed": DistributedDataParallel,
    "averaged": AveragedModel,
    "timm's averaged": ModelEmaV3,
    "timm's older averaged": ModelEmaV2,
    "compiled": compiled,
    "compiled and distributed": lambda module: DistributedDataParallel(compiled(module)),
    "distributed and compiled": lambda module: compiled(DistributedDataParallel(module)),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_the_network_is_taken_out_of_its_wrappers(kind: str) -> None:
    network = ConvNet()
    inner = unwrap(WRAPPERS[kind](network))
    assert type(inner) is ConvNet
    if "averaged" not in kind:
        assert inner is network


def test_a_module_that_is_not_a_wrapper_is_returned() -> None:
    own, bare = Own(ConvNet()), nn.Sequential(nn.DataParallel(ConvNet()))
    assert unwrap(own) is own
    assert unwrap(bare) is bare
    empty = DistributedDataParallel(nn.Identity())
    del empty.module
    assert unwrap(empty) is empty


def test_a_network_with_layers_to_look_into_is_taken() -> None:
    check_module(ConvNet(), "mine")


def test_lazy_buffers_are_refused_as_lazy_parameters_are() -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.LazyBatchNorm2d(affine=False))
    with pytest.raises(ModelError, match=r"^mine has lazy layers: run it once on a batch"):
        check_module(module, "mine")


NETWORK = ConvNet()


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (None, ()),
        ("features", ("features",)),
        (NETWORK.features, ("features",)),
        (NETWORK.features[0], ("features.0",)),
        (["features.0", NETWORK.features], ("features.0", "features")),
        ((NETWORK.fc,), ("fc",)),
        (["features", NETWORK.features, "module.features"], ("features",)),
        ("module.features.0", ("features.0",)),
        ("module._orig_mod.features", ("features",)),
        ("_orig_mod.module.features", ("features",)),
        ("features.7", ("features.7",)),
        ("module.bodi", ("bodi",)),
        ("module", ("module",)),
    ],
)
def test_layers_are_named_as_the_network_names_them(layers: Any, names: tuple[str, ...]) -> None:
    assert layer_names(NETWORK, layers) == names


def test_layers_may_come_one_after_another() -> None:
    def several() -> Iterator[str]:
        yield "features"
        yield "fc"

    assert layer_names(NETWORK, several()) == ("features", "fc")  # type: ignore[arg-type]


def test_a_name_that_the_network_has_itself_is_kept() -> None:
    assert layer_names(Own(ConvNet()), "module.features") == ("module.features",)


def test_a_module_with_several_names_goes_by_its_first() -> None:
    shared = nn.Module()
    shared.first = shared.second = ConvNet()
    assert layer_names(shared, "second.features") == ("first.features",)
    assert layer_names(shared, shared.second.features) == ("first.features",)  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize("layer", [ConvNet().features, NETWORK, [NETWORK.features, nn.ReLU()]])
def test_modules_that_are_not_layers_of_the_network_are_refused(layer: Any) -> None:
    with pytest.raises(LayerError, match=r"the target layer, a \w+, is no part of the model"):
        layer_names(NETWORK, layer)


@pytest.mark.parametrize("layers", [5, [], (), 0.5, lambda network: network.features])
def test_what_is_neither_a_name_nor_a_module_is_refused(layers: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^target_layer must be a layer's name, the layer it"):
        layer_names(NETWORK, layers)
    with pytest.raises(ArgumentError, match=r"^a target layer is a name or a module, not "):
        layer_names(NETWORK, ["features", layers])


def configured(**config: object) -> nn.Module:
    module = ConvNet()
    module.config = SimpleNamespace(**config)  # type: ignore[assignment]  # as Hugging Face's do
    return module


def training(network: nn.Module) -> nn.Module:
    module = nn.Module()
    module.loss, module.model = nn.CrossEntropyLoss(), network
    return module


@pytest.mark.parametrize(
    ("stated", "size"),
    [
        (64, (64, 64)),
        ([64, 96], (64, 96)),
        ((64, 96), (64, 96)),
        (None, None),
        ("64", None),
        ([3, 64, 96], None),
        ([64.0, 96.0], None),
    ],
)
def test_the_input_size_is_what_the_config_states(
    stated: object, size: tuple[int, int] | None
) -> None:
    assert own_size(configured(image_size=stated)) == size
    assert own_size(configured(vision_config=SimpleNamespace(image_size=stated))) == size
    assert own_size(training(configured(image_size=stated))) == size


def test_modules_without_a_config_state_nothing() -> None:
    assert own_size(ConvNet()) is None
    assert own_labels(ConvNet()) is None
    module = ConvNet()
    module.config = {"image_size": 64}  # type: ignore[assignment]  # somefeatures's own
    assert own_size(module) is None
    assert own_labels(module) is None


def test_labels_are_the_configs() -> None:
    names = {0: "ant", 1: "bee"}
    assert own_labels(configured(id2label=names)) == ("ant", "bee")
    assert own_labels(training(configured(id2label=names))) == ("ant", "bee")
    assert own_labels(configured(id2label={0: "LABEL_0", 1: "LABEL_1"})) is None


def test_labels_are_timms() -> None:
    module = ConvNet()
    module.pretrained_cfg = {"label_names": ["ant", "bee"], "mean": (0.5,)}  # type: ignore[assignment]
    assert own_labels(module) == ("ant", "bee")
    assert own_labels(training(module)) == ("ant", "bee")
    module.pretrained_cfg = {"label_names": None}  # type: ignore[assignment]
    assert own_labels(module) is None
