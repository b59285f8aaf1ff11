"""The demo's model of two towers: its words, its sizes, and that texts find their images."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch.nn import functional

import effcam
from effcam.demo import LABELS, CaptionedScene, captioned_scenes
from effcam.demo.models import TWO_TOWER, WEIGHTS, specs
from effcam.demo.two_tower import CONTEXT, EMBEDDING, WORDS, Tokenizer, TwoTower
from effcam.errors import TargetError
from effcam.targets import Text

LOG = Path(__file__).parents[2] / "tools" / "train_demo_clip.csv"
FILE = WEIGHTS / f"{TWO_TOWER}.safetensors"


@pytest.fixture(scope="module")
def model() -> TwoTower:
    (spec,) = (each for each in specs() if each.name == TWO_TOWER)
    assert spec.checkpoint == FILE
    network = TwoTower()
    state = {name: each.float() for name, each in safetensors.torch.load_file(FILE).items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return network.eval()


def test_its_file_is_small() -> None:
    assert FILE.stat().st_size <= 600_000


def test_the_log_is_of_the_two_tower_weights_that_are_shipped(model: TwoTower) -> None:
    with LOG.open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert int(row["bytes"]) == FILE.stat().st_size
    assert int(row["parameters"]) == sum(each.numel() for each in model.parameters())
    assert float(row["naming"]) >= 90


def test_its_towers_end_in_one_space(model: TwoTower) -> None:
    images, tokens = torch.zeros(2, 3, 112, 112), model.tokenizer(["a star", "a red fish", "a key"])
    with torch.no_grad():
        assert model.encode_image(images).shape == (2, EMBEDDING)
        assert model.encode_text(tokens).shape == (3, EMBEDDING)
        assert model(images, tokens).shape == (2, 3)


# texts


def test_tokens_are_the_words_padded() -> None:
    tokens = Tokenizer()(["A red arrow, on sand.", "an arrow"])
    assert tokens.dtype == torch.int64
    assert tokens.shape == (2, CONTEXT)
    words = [WORDS[token - 1] for token in tokens[0] if token]
    assert words == ["a", "red", "arrow", "on", "sand"]
    assert Tokenizer()("an arrow").equal(tokens[1:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red dog", r"'a red dog' has the word 'dog'.*It knows a, an, .*arrow, bone"),
        ("an arow", "the word 'arow', which this model does not know. Did you mean 'arrow'?"),
        ("  ", "has 0 words, but must have 1 to 16"),
        ("a " * 17, "has 17 words, but must have 1 to 16"),
    ],
)
def test_texts_that_it_cannot_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        Tokenizer()(["a star", text])


def test_padding_does_not_change_an_embedding(model: TwoTower) -> None:
    tokens = model.tokenizer(["a red arrow and a star"])
    with torch.no_grad():
        torch.testing.assert_close(model.encode_text(tokens[:, :7]), model.encode_text(tokens))


def test_the_order_of_words_counts(model: TwoTower) -> None:
    said = ["a red star and a blue arrow", "a blue star and a red arrow"]
    with torch.no_grad():
        one, other = functional.normalize(model.encode_text(model.tokenizer(said)), dim=1)
    assert float(one @ other) < 0.98


# meaning


@pytest.fixture(scope="module")
def scenes() -> list[CaptionedScene]:
    return captioned_scenes(32, seed=9, size=128)


def test_a_scene_finds_its_caption_among_32(model: TwoTower, scenes: list[CaptionedScene]) -> None:
    """By chance one in 32 does."""
    preprocess = effcam.Preprocess(size=112)
    images = torch.stack([preprocess(each.image)[0] for each in scenes])
    with torch.no_grad():
        found = model(images, model.tokenizer([str(each.caption) for each in scenes])).argmax(1)
    assert float((found == torch.arange(32)).float().mean()) >= 0.6


def test_the_heat_of_a_text_is_on_the_object_that_it_names(scenes: list[CaptionedScene]) -> None:
    """By chance the strongest is in the object's box in one of 14 scenes."""
    few, hits = scenes[:5], []
    for at in (0, 1):
        named = [each.objects[at] for each in few]
        targets = [Text(f"a {each.colour} {each.label}") for each in named]
        cells = effcam.compare(few, TWO_TOWER, target=targets, progress=False)
        hits += [each.is_hit(cell.upsampled()) for cell, each in zip(cells, named, strict=True)]
    assert sum(hits) >= 8


def test_texts_make_it_a_classifier() -> None:
    model = effcam.load_model(TWO_TOWER, labels=LABELS)
    (scene,) = captioned_scenes(1, seed=4, size=128, objects=1)
    (cell,) = effcam.compare(scene, model, progress=False)
    assert cell.label == scene.objects[0].label


def test_specs_of_the_demo_have_it_without_classes() -> None:
    assert TWO_TOWER in effcam.list_models("demo_*")
    (spec,) = (each for each in specs() if each.name == TWO_TOWER)
    assert spec.labels is None
