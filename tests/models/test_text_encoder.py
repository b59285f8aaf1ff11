"""Text towers: unit embeddings, classes made of texts, and texts that a model would cut."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import effcam
from effcam import ModelSpec, Preprocess, load_model
from effcam.errors import ArgumentError, ModelError, TargetError
from effcam.models.image_tower import has_two_towers, image_tower, own_tokenizer, text_encoder
from effcam.models.module_source import ModuleSource
from effcam.models.sources import resolve
from effcam.models.text_encoder import TextEncoder, zero_shot
from effcam.models.tracing.zero_shot import ZeroShotHead
from tests.nets import ColourNet, ColourWords


@pytest.fixture
def words() -> ColourWords:
    return ColourWords().eval()


@pytest.fixture
def encoder(words: ColourWords) -> TextEncoder:
    return text_encoder(words, own_tokenizer(words))


# embeddings of texts


def test_embeddings_have_length_one(encoder: TextEncoder) -> None:
    found = encoder.encode(["red", "red blue", "blue blue"])
    half = math.sqrt(0.5)
    expected = torch.tensor([[1.0, 0, 0], [half, 0, half], [0, 0, 1]])
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_many_texts_are_encoded_in_parts_in_their_order(encoder: TextEncoder) -> None:
    texts = ["red", "green", "blue"] * 50
    torch.testing.assert_close(encoder.encode(texts), torch.eye(3).repeat(50, 1))


def test_the_model_stays_as_it_was(words: ColourWords) -> None:
    words.train()
    encoder = text_encoder(words, own_tokenizer(words))
    state = torch.get_rng_state()
    with torch.inference_mode():
        found = encoder.encode(["red green"])
    assert torch.equal(found, encoder.encode(["red green"])), "dropout was off"
    assert words.training
    assert words.dropout.training
    assert torch.equal(torch.get_rng_state(), state)
    assert not found.is_inference(), "gradients of images go through it"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], r"expected a list of texts, not \[\]"),
        ("red", "expected a list of texts, not 'red'"),
        (["red", "  "], "a text must have words, not '  '"),
        ([3], "a text must have words, not 3"),
    ],
)
def test_what_is_no_text_is_refused(encoder: TextEncoder, texts: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        encoder.encode(texts)


def test_a_text_without_a_direction_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(ModelError, match="of the text 'a dog' is zero or not a number"):
        encoder.encode(["red", "a dog"])


def test_a_text_that_the_model_would_cut_is_refused(encoder: TextEncoder) -> None:
    assert encoder.encode(["red " * (ColourWords.LENGTH - 1)]).shape == (1, 3)
    with pytest.raises(
        ArgumentError, match="the model reads 6 tokens, and it has more, so its end"
    ):
        encoder.encode(["red", "red " * (ColourWords.LENGTH + 1)])


@pytest.mark.parametrize("text", ["red", "a photo of a red", "blue red green blue"])
def test_tokens_that_are_no_sequence_are_not_taken_for_cut(words: Any, text: str) -> None:
    def present(texts: list[str]) -> Tensor:
        return torch.tensor([[float(name in text) for name in words.COLOURS] for text in texts])

    def last(texts: list[str]) -> Tensor:
        return torch.tensor([[words.COLOURS.index(text.split()[-1]) + 1] for text in texts])

    words.encode_text = lambda tokens: tokens
    assert text_encoder(words, lambda: present).encode([text]).shape == (1, 3)
    words.encode_text = lambda tokens: words.words(tokens).sum(1)
    assert text_encoder(words, lambda: last).encode([text]).shape == (1, 3)


def test_a_tokenizer_that_can_be_asked_for_more_room_is_judged_exactly(words: ColourWords) -> None:
    def tokenizer(texts: list[str], context_length: int = ColourWords.LENGTH) -> Tensor:
        words.LENGTH = context_length  # type: ignore[misc]  # of this instance
        return words.tokenizer(texts)

    encoder = text_encoder(words, lambda: tokenizer)
    assert encoder.encode(["red " * 6]).shape == (1, 3)
    with pytest.raises(ArgumentError, match="too long"):
        encoder.encode(["red " * 7])


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (lambda texts: texts, "must return a tensor .* for 1 texts it returned a list"),
        (lambda _: torch.zeros(5), r"returned a Tensor of shape \(5,\)"),
        (lambda _: 1 / 0, "the tokenizer failed on 'red': ZeroDivisionError"),
    ],
)
def test_what_is_no_tokenizer_is_refused(words: nn.Module, tokenizer: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        text_encoder(words, lambda: tokenizer).encode(["red"])


def test_a_failing_text_tower_is_named_with_the_text(words: Any) -> None:
    words.encode_text = lambda tokens: tokens[7]
    with pytest.raises(ModelError, match="the text tower failed on 'red': IndexError"):
        text_encoder(words, own_tokenizer(words)).encode(["red"])


def test_a_model_without_a_tokenizer_names_the_way_out(words: Any) -> None:
    words.tokenizer = None
    encoder = text_encoder(words, own_tokenizer(words))
    with pytest.raises(ArgumentError, match=r"no tokenizer .*load_model\(module, tokenizer=\.\.\."):
        encoder.encode(["red"])


# scale, bias and link


def test_the_link_and_the_scale_are_those_of_the_model(words: Any) -> None:
    encoder = text_encoder(words, own_tokenizer(words))
    assert (encoder.scale, encoder.bias, encoder.link) == (pytest.approx(4.0), 0.0, "softmax")
    words.logit_bias = nn.Parameter(torch.tensor([-2.0]))
    words.max_log_logit_scale = math.log(3)
    encoder = text_encoder(words, own_tokenizer(words))
    assert (encoder.scale, encoder.bias, encoder.link) == (pytest.approx(3.0), -2.0, "sigmoid")
    del words.logit_scale
    words.temperature = nn.Parameter(torch.tensor(0.5))
    assert text_encoder(words, own_tokenizer(words)).scale == 2.0


# classes made of texts


def test_a_class_is_the_mean_direction_of_its_texts(encoder: TextEncoder) -> None:
    head = zero_shot(encoder, {"warm": ["red", "red green"], "cold": "blue"})
    half = math.sqrt(0.5)
    warm = torch.tensor([1 + half, half, 0])
    torch.testing.assert_close(head.weights, torch.stack([warm / warm.norm(), torch.eye(3)[2]]))
    assert head.classes == 2


def test_names_become_texts_by_the_templates(words: ColourWords) -> None:
    encoder = text_encoder(words, own_tokenizer(words))
    two = TextEncoder(encoder.embed, templates=("{}", "{} and green"))
    by_name = zero_shot(two, ["red", "blue"])
    by_text = zero_shot(two, {"r": ["red", "red and green"], "b": ["blue", "blue and green"]})
    assert torch.equal(by_name.weights, by_text.weights)


def test_scores_are_scaled_cosines(encoder: TextEncoder) -> None:
    head = zero_shot(encoder, ["red", "green"])
    scores = head(torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 7.0]]))
    torch.testing.assert_close(scores, 4 * torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    biased = ZeroShotHead(torch.eye(3), scale=2.0, bias=-1.0)
    torch.testing.assert_close(
        biased(torch.tensor([[0.0, 5.0, 0.0]])), torch.tensor([[-1.0, 1, -1]])
    )


def test_the_gradient_of_a_score_is_that_of_a_cosine() -> None:
    head = ZeroShotHead(torch.tensor([[0.6, 0.8]]), scale=5.0, bias=1.0)
    embedding = torch.tensor([[1.0, 2.0]], requires_grad=True)
    head(embedding).sum().backward()
    unit, length = embedding.detach() / math.sqrt(5), math.sqrt(5)
    cosine = float(unit @ head.weights.T)
    torch.testing.assert_close(embedding.grad, 5 * (head.weights - cosine * unit) / length)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "labels is empty"),
        ({}, "labels is empty"),
        ("red", "labels must be names of classes, or a mapping .*, not 'red'"),
        (["red", "blue", "red"], "labels has 'red' twice"),
        ({"red": []}, r"class 'red' needs a text or a list of texts, not \[\]"),
        ({"red": ["red", ""]}, "a text must have words, not ''"),
    ],
)
def test_labels_that_make_no_classes_are_refused(
    encoder: TextEncoder, labels: Any, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        zero_shot(encoder, labels)


# the image tower


def test_the_image_tower_shares_the_models_parts_under_their_names(words: ColourWords) -> None:
    calls = []
    words.register_forward_hook(lambda *_: calls.append("hook"))
    tower = image_tower(words)
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(tower(images), words.encode_image(images))
    assert dict(tower.named_parameters()).keys() == dict(words.named_parameters()).keys()
    assert tower.get_parameter("visual.head.weight") is words.visual.head.weight
    assert type(words) is ColourWords
    assert not calls, "hooks on the whole model expect its own output"
    tower.train()
    assert not words.training


def test_only_models_that_embed_both_have_two_towers(words: ColourWords) -> None:
    assert has_two_towers(words)
    assert has_two_towers(image_tower(words))
    assert not has_two_towers(ColourNet())
    assert not has_two_towers(nn.Identity())


def test_a_module_and_a_constructor_of_two_towers_have_a_text_encoder(words: ColourWords) -> None:
    for source in (words, ModelSpec("colours", constructor=ColourWords)):
        built = resolve(source).build(device=None, change_preprocess=lambda own: own)
        assert built.text is not None
        torch.testing.assert_close(built.text.encode(["blue"]), torch.eye(3)[2:])
        assert built.module(torch.rand(1, 3, 16, 16)).shape == (1, 3)
    plain = resolve(ColourNet()).build(device=None, change_preprocess=lambda own: own)
    assert plain.text is None


def test_a_tokenizer_for_a_model_without_texts_is_refused() -> None:
    source = ModuleSource(ColourNet(), "colours", tokenizer=ColourWords().tokenizer)
    with pytest.raises(ArgumentError, match="tokenizer is for models of images and texts; colours"):
        source.build(device=None, change_preprocess=lambda own: own)


# models with labels


WHOLE = Preprocess(size=32, resize=32, mean=0.0, std=1.0)


def halves() -> Image.Image:
    """Return an image that is red above and green below."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :, 0] = pixels[16:, :, 1] = 255
    return Image.fromarray(pixels)


def test_labels_make_a_classifier_of_texts(words: ColourWords) -> None:
    labels = {"red": "red", "blue": "blue", "both": "red green"}
    model = load_model(words, labels=labels, preprocess=WHOLE)
    assert model.labels == ("red", "blue", "both")
    assert model.target_layer == "visual.features"
    cell = effcam.compare([halves()], [model], target="red")[0, 0]
    # The mean colour is (1/2, 1/2, 0), so the cosines are 1/sqrt 2, 0 and 1; the scale is 4.
    expected = (4 * torch.tensor([math.sqrt(0.5), 0, 1])).softmax(0)
    assert cell.probability == pytest.approx(float(expected[0]), abs=1e-5)
    assert cell.predicted_label == "both"
    assert (cell.heatmap[:2] > 0).all()
    assert (cell.heatmap[2:] == 0).all(), "green is less of red"


def test_names_become_a_photo_of_them(words: ColourWords) -> None:
    model = load_model(words, labels=["red", "blue"], preprocess=WHOLE)
    assert isinstance(model.scores.head, ZeroShotHead)
    torch.testing.assert_close(model.scores.head.weights, torch.eye(3)[[0, 2]])


def test_a_sigmoid_model_gives_a_probability_for_each_label(words: Any) -> None:
    words.logit_bias = nn.Parameter(torch.tensor(-2.0))
    model = load_model(words, labels=["red", "blue"], preprocess=WHOLE)
    cell = effcam.compare([halves()], [model], target="blue")[0, 0]
    assert cell.probability == pytest.approx(1 / (1 + math.exp(2)), abs=1e-5)


def test_without_labels_the_way_out_is_named(words: ColourWords) -> None:
    model = load_model(words, preprocess=WHOLE)
    assert "no classes, embeddings of 3 values" in repr(model)
    with pytest.raises(TargetError, match=r"images and texts, by labels=\[\.\.\.\]"):
        effcam.compare([halves()], [model], target="red")


def test_a_model_gets_other_labels_and_keeps_its_text_tower(words: ColourWords) -> None:
    first = load_model(words, labels=["red", "blue"], preprocess=WHOLE)
    assert load_model(first).labels == ("red", "blue")
    second = load_model(first, labels=["green", "red"])
    assert second.labels == ("green", "red")
    assert second.text is first.text
    spec = ModelSpec(
        "colours", constructor=ColourWords, preprocess=WHOLE, labels={"r": "red", "b": "blue"}
    )
    assert load_model(spec).labels == ("r", "b")


def test_the_values_of_a_model_with_labels_are_those_of_the_labels(words: ColourWords) -> None:
    model = load_model(words, labels=["red", "blue"], preprocess=WHOLE)
    with pytest.raises(TargetError, match="output 2 is out of range: ColourWords returns 2 values"):
        effcam.compare([halves()], [model], target=effcam.targets.Value(2))


def test_towers_of_different_lengths_are_refused(words: Any) -> None:
    words.words = nn.Embedding(4, 5)
    with pytest.raises(ModelError, match="of images have 3 values, and those of texts 5"):
        load_model(words, labels=["red", "blue"], preprocess=WHOLE)


def test_texts_for_a_model_without_a_text_tower_are_refused() -> None:
    with pytest.raises(ArgumentError, match="embeds no texts, so labels must be a list"):
        load_model(ColourNet(), labels={"a": "x", "b": "y", "c": "z"}, preprocess=WHOLE)


def test_a_tokenizer_is_for_modules(words: ColourWords) -> None:
    with pytest.raises(ArgumentError, match="a model that is built by name has its own"):
        load_model("resnet18", pretrained=False, tokenizer=words.tokenizer)


def test_a_given_tokenizer_takes_the_place_of_the_modules_own(words: ColourWords) -> None:
    def swapped(texts: list[str]) -> Tensor:
        return words.tokenizer([text.replace("red", "blue") for text in texts])

    model = load_model(words, labels=["red", "green"], tokenizer=swapped, preprocess=WHOLE)
    assert isinstance(model.scores.head, ZeroShotHead)
    torch.testing.assert_close(model.scores.head.weights, torch.eye(3)[[2, 1]])
