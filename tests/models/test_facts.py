"""Facts on models that a comparison keeps: size, cost, speed and classes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import effcam
from effcam import Model, ModelSpec, Preprocess
from effcam.errors import TargetError
from effcam.models.facts import ModelFacts, facts_of
from effcam.models.tracing.placement import HowPlaced

SIZE = (16, 24)
CLASSES = 5


class Tiny(nn.Module):
    """A convolution of 3 x 3 px, the mean, and a linear head, whose operations can be counted."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, 4, 3, padding=1, stride=2)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images).relu()
        return self.head(maps.mean((2, 3)))  # type: ignore[no-any-return]


class Reads(Tiny):
    """Reads numbers while it runs, which meta tensors do not have."""

    def forward(self, images: Tensor) -> Tensor:
        if float(images.abs().sum()) < 0:
            raise AssertionError
        return super().forward(images)


class Cumbersome(Tiny):
    """Fails when it runs."""

    def forward(self, images: Tensor) -> Tensor:
        raise RuntimeError(f"not on {images.device}")


# 4 x 3 x 3 x 3 multiply-adds at each of 8 x 12 places, and 4 x 5 of the head.
MULTIPLY_ADDS = 8 * 12 * 4 * 3 * 9 + 4 * CLASSES
PARAMETERS = 4 * 3 * 9 + 4 + 4 * CLASSES + CLASSES


def load(module: nn.Module, channels: int = 3, **changes: object) -> Model:
    preprocess = Preprocess(size=SIZE, mode="squash", mean=(0.5,) * channels, std=(0.5,) * channels)
    options = {"preprocess": preprocess, "labels": ["ant", "bee", "cow", "dog", "elk"], **changes}
    return effcam.load_model(module, device="cpu", **options)  # type: ignore[arg-type]


def test_everything_is_counted_that_can_be_counted_by_hand() -> None:
    facts = facts_of(load(Tiny()))
    assert facts.parameters == PARAMETERS
    assert facts.flops == 2 * MULTIPLY_ADDS
    assert facts.input_size == SIZE
    assert facts.grid == (8, 12)
    assert facts.target_layer == "features"
    assert (facts.name, facts.weights) == ("Tiny", "as given")
    assert facts.labels == ("ant", "bee", "cow", "dog", "elk")


def test_operations_are_of_the_input_that_the_comparison_chose() -> None:
    model = load(Tiny())
    larger = replace(model, preprocess=model.preprocess.with_size(32))
    flops = facts_of(larger).flops
    assert flops == 2 * (16 * 16 * 4 * 3 * 9 + 4 * CLASSES)
    assert facts_of(larger).input_size == (32, 32)


def test_a_model_of_greyscale_images_is_counted_as_such() -> None:
    facts = facts_of(load(Tiny(channels=1), channels=1))
    assert facts.flops == 2 * (8 * 12 * 4 * 9 + 4 * CLASSES)


def test_a_module_that_reads_numbers_is_counted_too() -> None:
    assert facts_of(load(Reads())).flops == 2 * MULTIPLY_ADDS


def test_where_torch_cannot_count_it_says_nothing() -> None:
    model = replace(load(Tiny()), module=Cumbersome())
    facts = facts_of(model)
    assert facts.flops is None
    assert facts.parameters == PARAMETERS


def test_counting_leaves_a_module_unchanged() -> None:
    module = Tiny().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    facts_of(replace(load(Tiny()), module=module))
    assert module.training
    assert {each.device.type for each in module.parameters()} == {"cpu"}
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert all(each.grad is None for each in module.parameters())
    assert not module._forward_hooks
    assert not module.features._forward_hooks


@pytest.mark.parametrize(
    ("batches", "seconds"),
    [
        ([], None),
        ([0.25], 0.25),
        ([9.0, 0.25], 0.25),  # the first one warms up
        ([9.0, 0.1, 0.4, 0.2], 0.2),
        ([9.0, 0.25, 0.75], 0.5),
    ],
)
def test_the_time_is_the_median_without_the_first_batch(
    batches: list[float], seconds: float | None
) -> None:
    assert facts_of(load(Tiny())).timed(batches).seconds == seconds


def test_classes_are_found_as_the_model_finds_them() -> None:
    facts = facts_of(load(Tiny()))
    assert facts.find_class("Cow") == facts.find_class(2) == 2
    with pytest.raises(TargetError, match=r"^Tiny has no class called 'coww'\. Did you mean 'cow'"):
        facts.find_class("coww")
    with pytest.raises(TargetError, match="class 5 is out of range: Tiny has the 5 classes 0 to 4"):
        facts.find_class(5)


def test_synonyms_are_found() -> None:
    facts = replace(
        facts_of(load(Tiny())),
        synonyms=(("ant", "emmet"), ("bee",), ("cow", "cattle"), ("dog",), ("elk",)),
    )
    assert (facts.find_class("emmet"), facts.find_class("Cattle ")) == (0, 2)


def test_the_record_is_everything_but_the_classes_names_and_is_json() -> None:
    record = facts_of(load(Tiny())).timed([0.5]).record()
    assert json.loads(json.dumps(record)) == record
    assert record == {
        "name": "Tiny",
        "weights": "as given",
        "parameters": PARAMETERS,
        "flops": 2 * MULTIPLY_ADDS,
        "input_size": [16, 24],
        "grid": [8, 12],
        "target_layer": "features",
        "seconds": 0.5,
        "bypass": 0.0,
        "multi_label": False,
        "notes": [],
        "pitch": [2.0, 2.0],
        "offset": [0.0, 0.0],
        "measured_offset": None,
        "precision": "fp32",
        "training": None,
    }


def test_an_offset_that_was_measured_is_a_fact_whether_or_not_it_is_applied() -> None:
    model = effcam.load_model("demo_alexnet", device="cpu")
    measured = model.placement.offset
    assert measured[0] < -3
    for how in get_args(HowPlaced):
        facts = facts_of(model, how=how)
        assert facts.offset == (measured if how == "measured" else (0, 0))
        assert facts.measured_offset == measured


@pytest.mark.parametrize(
    ("pitch", "share"), [(None, 1), ((2.0, 2.0), 1), ((1.5, 2.0), 0.75), ((3.0, 1.0), 0.5)]
)
def test_the_share_of_the_input_that_cells_cover(
    pitch: tuple[float, float] | None, share: float
) -> None:
    facts = replace(facts_of(load(Tiny())), pitch=pitch)
    assert (facts.input_size, facts.grid) == ((16, 24), (8, 12))
    assert facts.covered == pytest.approx(share)


def test_facts_do_not_print_a_thousand_classes() -> None:
    facts = facts_of(load(Tiny()))
    assert "elk" not in repr(facts)
    assert "parameters=137" in repr(facts)


# in a comparison


def test_a_comparison_keeps_the_facts_of_each_column() -> None:
    photos = np.random.default_rng(0).random((3, 16, 24, 3))
    models = {"a": load(Tiny()), "b": ModelSpec("test_resnet", pretrained=False)}
    comparison = effcam.compare(
        photos, models, size=64, view="whole", batch_size=1, device="cpu", progress=False
    )
    assert len(comparison.facts) == 2
    first, second = comparison.facts
    assert isinstance(first, ModelFacts)
    assert (first.name, second.name) == ("Tiny", "timm:test_resnet")
    for facts, column in zip(comparison.facts, comparison.columns, strict=True):
        cell = comparison[0, column]
        assert facts.input_size == (64, 64)
        assert facts.target_layer == cell.target_layer
        assert facts.grid == cell.heatmap.shape
        assert facts.labels[cell.predicted] == cell.predicted_label
        assert facts.seconds is not None
        assert 0 < facts.seconds < 60
    assert second.weights == "random"


def test_each_method_has_its_own_column_and_facts() -> None:
    photo = np.random.default_rng(0).random((16, 24, 3))
    methods = ["gradcam", "layercam"]
    comparison = effcam.compare(photo, load(Tiny()), method=methods, device="cpu", progress=False)
    assert len(comparison.columns) == len(comparison.facts) == 2
    assert comparison.facts[0] is comparison.facts[1]
