"""Labels that do not exclude each other: stated or detected, and refused where it cannot be."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import effcam
from effcam import Model, ModelSpec, Preprocess, compare, load_model
from effcam.errors import ArgumentError
from tests.nets import ColourNet, ConvNet

PREPROCESS = Preprocess(size=(32, 32), resize=(32, 32), mean=(0, 0, 0), std=(1, 1, 1))
STATED = {"problem_type": "multi_label_classification"}


def load(module: nn.Module, **given: Any) -> Model:
    return load_model(module, preprocess=PREPROCESS, **given)


def colours() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an image of much red, half green and no blue."""
    return np.broadcast_to(np.array([255, 128, 0], np.uint8), (32, 32, 3)).copy()


@pytest.mark.parametrize("scores", ["softmax", "sigmoid"])
def test_the_probability_is_that_which_the_scores_have(scores: str) -> None:
    model = load(ColourNet(2.0), scores=scores)
    (cell,) = compare(colours(), model, target=1, progress=False)
    logits = torch.tensor([2.0, 2 * 128 / 255, 0])
    expected = logits.softmax(0) if scores == "softmax" else logits.sigmoid()
    assert cell.probability == pytest.approx(float(expected[1]), abs=1e-6)
    assert cell.predicted_probability == pytest.approx(float(expected[0]), abs=1e-6)
    assert cell.value == pytest.approx(float(logits[1]), abs=1e-5)


def test_a_model_says_that_its_labels_have_probabilities_of_their_own() -> None:
    model = load(ConvNet(), scores="sigmoid")
    assert model.multi_label
    assert "5 labels, each with a probability of its own" in repr(model)
    plain = load(ConvNet())
    assert not plain.multi_label
    assert "5 classes" in repr(plain)


def test_a_model_that_is_loaded_again_keeps_it_unless_another_is_given() -> None:
    model = load(ConvNet(), scores="sigmoid")
    assert load_model(model, name="again").multi_label
    assert not load_model(model, scores="softmax").multi_label


class TestDetected:
    def test_by_the_config_of_transformers(self) -> None:
        module = ConvNet()
        module.config = SimpleNamespace(**STATED)  # type: ignore[assignment]
        assert load(module).multi_label
        assert not load(module, scores="softmax").multi_label  # the caller knows better
        part = nn.Sequential(module)
        assert load(part).multi_label

    @pytest.mark.parametrize("value", ["single_label_classification", "regression", None, 3])
    def test_not_by_other_values(self, value: object) -> None:
        module = ConvNet()
        module.config = SimpleNamespace(problem_type=value)  # type: ignore[assignment]
        assert not load(module).multi_label

    @pytest.mark.parametrize(
        "settings",
        [
            {"config": STATED},
            {"hyper_parameters": {"multi_label": True}},
            {"args": argparse.Namespace(multi_label=True)},
        ],
        ids=["config", "hyper_parameters", "args"],
    )
    def test_by_the_settings_in_a_checkpoint(
        self, tmp_path: Path, settings: dict[str, object]
    ) -> None:
        file = tmp_path / "mine.pt"
        torch.save({"state_dict": ConvNet().state_dict(), **settings}, file)
        spec = ModelSpec("mine", constructor=ConvNet, checkpoint=file, preprocess=PREPROCESS)
        assert load_model(spec).multi_label

    def test_not_by_a_setting_that_is_off(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.pt"
        state = ConvNet().state_dict()
        torch.save({"state_dict": state, "args": argparse.Namespace(multi_label=False)}, file)
        spec = ModelSpec("mine", constructor=ConvNet, checkpoint=file, preprocess=PREPROCESS)
        assert not load_model(spec).multi_label

    def test_by_the_config_beside_a_checkpoint(self, tmp_path: Path) -> None:
        file = tmp_path / "model.safetensors"
        save_file(ConvNet().state_dict(), file)
        (tmp_path / "config.json").write_text(json.dumps(STATED))
        spec = ModelSpec("mine", constructor=ConvNet, checkpoint=file, preprocess=PREPROCESS)
        assert load_model(spec).multi_label
        assert not load_model(spec, scores="softmax").multi_label

    def test_by_a_last_sigmoid(self) -> None:
        assert load(nn.Sequential(ConvNet(), nn.Sigmoid())).multi_label
        assert load(nn.Sequential(ConvNet(), nn.Sigmoid()), scores="sigmoid").multi_label


class TestSingleLogit:
    @pytest.mark.parametrize("module", [ConvNet(1), nn.Sequential(ConvNet(1), nn.Sigmoid())])
    def test_it_stays_one_of_two_classes(self, module: nn.Module) -> None:
        plain, given = load(module), load(module, scores="sigmoid")
        assert not given.multi_label
        one, other = (compare(colours(), each, progress=False)[0, 0] for each in (plain, given))
        assert one.probability == other.probability >= 0.5
        assert "2 classes" in repr(given)

    @pytest.mark.parametrize("module", [ConvNet(1), nn.Sequential(ConvNet(1), nn.Sigmoid())])
    def test_its_softmax_is_refused(self, module: nn.Module) -> None:
        with pytest.raises(ArgumentError, match=r"single logit, whose softmax is always 1"):
            load(module, scores="softmax")

    def test_also_of_a_network_of_the_libraries(self) -> None:
        given: Any = {"pretrained": False, "options": {"num_classes": 1}}
        assert not load_model("resnet18", scores="sigmoid", **given).multi_label
        with pytest.raises(ArgumentError, match="single logit"):
            load_model("resnet18", scores="softmax", **given)


@pytest.mark.parametrize(("end", "scores"), [(nn.Softmax(1), "sigmoid"), (nn.Sigmoid(), "softmax")])
def test_a_network_that_shows_the_contrary_is_refused(end: nn.Module, scores: str) -> None:
    with pytest.raises(ArgumentError, match=rf"Sequential: scores='{scores}' contradicts"):
        load(nn.Sequential(ConvNet(), end), scores=scores)


def test_no_other_word_is_accepted() -> None:
    for make in (lambda: ModelSpec("mine", scores="logits"), lambda: load(ConvNet(), scores="s")):  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="'softmax' or 'sigmoid' or 'embedding', not '"):
            make()


def test_a_spec_and_a_library_network_take_it() -> None:
    spec = ModelSpec("resnet18", pretrained=False, scores="sigmoid", options={"num_classes": 20})
    assert load_model(spec).multi_label
    assert effcam.load_model(spec, scores="softmax").scores.link == "softmax"
