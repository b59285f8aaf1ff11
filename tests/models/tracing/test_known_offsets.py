from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from effcam import Model, Preprocess, load_model
from effcam.models.tracing import known_offsets
from effcam.models.tracing import offset as offset_module
from effcam.models.tracing.cache import WeightsCache
from effcam.models.tracing.known_offsets import (
    cache_folder,
    find_offset,
    keep_offset,
    known_offset,
    offset_key,
)
from effcam.models.tracing.offset import Offset, measure_offset
from tests.nets import ConvNet

OFFSET = Offset((-4.5, 3.0), (0.5, 0.25))


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "effcam" / "offsets"


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return load_model("mobilenetv2_035", pretrained=False, device="cpu")


def key_of(model: Model) -> str:
    key = offset_key(model.module, model.layer, model.preprocess)
    assert key is not None
    return key


def test_the_key_stands_for_all_that_an_offset_depends_on(model: Model) -> None:
    keys = {key_of(model)}
    keys.add(key_of(replace(model, preprocess=Preprocess(size=224, mean=0.5, std=0.5))))  # type: ignore[arg-type]
    keys.add(key_of(load_model(model, target_layer="blocks.5")))
    for options in ({}, {"pad_type": "same"}):
        torch.manual_seed(0)
        other = load_model("mobilenetv2_035", pretrained=False, options=options, device="cpu")
        keys.add(key_of(other))  # the same weights, the first time in the same network
        other.module.conv_stem.weight.data[0, 0, 0, 0] += 0.01
        keys.add(key_of(other))
    assert len(keys) == 6


def test_networks_of_others_have_none() -> None:
    model = load_model(ConvNet(), preprocess=Preprocess(size=64))
    assert offset_key(model.module, model.layer, model.preprocess) is None


def test_networks_without_values_have_none(model: Model) -> None:
    module = load_model("mobilenetv2_035", pretrained=False, device="meta").module
    assert offset_key(module, model.layer, model.preprocess) is None


@pytest.mark.parametrize("offset", [OFFSET, None])
def test_what_is_kept_is_found_again(offset: Offset | None, folder: Path) -> None:
    with pytest.raises(KeyError):
        find_offset("abc")
    keep_offset("abc", offset)
    assert find_offset("abc") == offset
    assert cache_folder() == folder
    assert [each.name for each in folder.iterdir()] == ["abc.json"]


@pytest.mark.parametrize("text", ["", "{", "3", "[1, 2]", "[[1], [2]]", '[["a", 1], [1, 1]]'])
def test_a_broken_file_counts_as_absent(text: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "abc.json").write_text(text)
    with pytest.raises(KeyError):
        find_offset("abc")
    keep_offset("abc", OFFSET)
    assert find_offset("abc") == OFFSET


def test_a_folder_that_cannot_be_written_does_no_harm(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    keep_offset("abc", OFFSET)
    with pytest.raises(KeyError):
        find_offset("abc")


def test_an_offset_is_measured_once_for_all_processes(
    model: Model, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    measured: list[nn.Module] = []

    def measure(module: nn.Module, *_: object) -> Offset:
        measured.append(module)
        return OFFSET

    monkeypatch.setattr(offset_module, "measure_offset", measure)
    monkeypatch.setattr(known_offsets, "OFFSETS", WeightsCache())
    assert model.placement.offset == OFFSET.shift
    assert model.placement.error == OFFSET.error
    monkeypatch.setattr(known_offsets, "OFFSETS", WeightsCache())  # as in a new process
    assert model.placement.offset == OFFSET.shift
    assert len(measured) == len(list(folder.iterdir())) == 1


def test_what_was_measured_is_known_without_measuring_again(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = model.module, model.layer, model.preprocess
    monkeypatch.setattr(known_offsets, "OFFSETS", WeightsCache())
    with monkeypatch.context() as patch:
        patch.setattr(known_offsets, "_weights_key", None)  # nothing of the kind is known
        assert known_offset(*asked) is None
    keep_offset(key_of(model), OFFSET)
    assert known_offset(*asked) == OFFSET
    other = load_model("mobilenetv2_035", pretrained=False, device="cpu")
    other.module.conv_stem.weight.data[0, 0, 0, 0] += 0.01
    assert known_offset(other.module, other.layer, other.preprocess) is None


def test_an_offset_of_other_code_is_known_in_the_same_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(offset_module, "measure_offset", lambda *_: OFFSET)
    model = load_model(ConvNet(), preprocess=Preprocess(size=64))
    asked = model.module, model.layer, model.preprocess
    assert known_offset(*asked) is None
    assert model.placement.offset == OFFSET.shift
    assert known_offset(*asked) == OFFSET


def test_those_of_the_demo_models_are_part_of_the_package(folder: Path) -> None:
    shipped = json.loads(known_offsets.SHIPPED.read_text("utf-8"))
    names = ("alexnet", "densenet", "resnet", "efficientnet_b0", "efficientnet_b3")
    models = [load_model(f"demo_{name}", device="cpu") for name in names]
    assert list(shipped) == [key_of(each) for each in models]
    assert not folder.exists()


@pytest.mark.parametrize("name", ["demo_alexnet", "demo_densenet"])
def test_shipped_offsets_are_those_measured(name: str) -> None:
    model = load_model(name, device="cpu")
    pitch = model.placed("pitch").pitch
    found = measure_offset(model.module, model.layer, model.preprocess, pitch, model.scores)
    assert found is not None
    assert model.placement.offset == pytest.approx(found.shift, abs=0.05)
    assert model.placement.error == pytest.approx(found.error, abs=0.05)
