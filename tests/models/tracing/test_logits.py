"""One row of class scores per image, in the forms in which classifiers return it."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from effcam.errors import ModelError
from effcam.models.tracing.logits import describe, read_logits, tensors

Pair = namedtuple("Pair", ["features", "logits"])

ROWS = torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.0, -2.0]])
LOSS = torch.tensor(0.7)
OTHER = torch.zeros(2, 9)


@pytest.mark.parametrize(
    "output",
    [
        ROWS,
        ROWS[:, :, None, None],
        (ROWS, OTHER[:, :3]),
        [ROWS],
        {"scores": ROWS, "auxiliary": OTHER[:, :3]},
        {"features": torch.zeros(2, 9, 4, 4), "scores": ROWS},
        {"features": OTHER, "scores": ROWS},
        {"scores": ROWS, "image_embeds": OTHER},
        (torch.zeros(2, 5, 9), ROWS, torch.tensor([1, 2])),
        {"loss": LOSS, "logits": ROWS},
        {"loss": torch.zeros(2), "scores": ROWS},
        {"loss": None, "scores": (ROWS, OTHER[:, :3])},
        (LOSS, ROWS),
        (None, ROWS),
        Pair(OTHER, ROWS),
        SimpleNamespace(features=OTHER, logits=ROWS),
        SimpleNamespace(logits=(ROWS, OTHER[:, :3])),
    ],
)
def test_scores_are_found_in_every_usual_form(output: object) -> None:
    scores = read_logits(output, 2)
    assert torch.equal(scores.values, ROWS)
    assert not scores.binary


def test_the_name_logits_goes_before_the_order() -> None:
    assert torch.equal(read_logits({"features": OTHER, "logits": ROWS}, 2).values, ROWS)
    assert torch.equal(read_logits({"logits": None, "scores": ROWS}, 2).values, ROWS)


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ((ROWS, OTHER), r"\[0\] of shape \(2, 3\) and \[1\] of shape \(2, 9\)"),
        ({"b": OTHER, "a": ROWS}, r"\['b'\] of shape \(2, 9\) and \['a'\] of shape \(2, 3\)"),
        (SimpleNamespace(logits=[OTHER, ROWS]), r"\[0\] of shape \(2, 9\) and \[1\]"),
        ((ROWS, (None, ROWS[:, :1])), r"\[0\] .* and \[1\]\[1\] of shape \(2, 1\)"),
    ],
)
def test_outputs_of_two_widths_are_refused_unless_the_number_of_classes_decides(
    output: object, shown: str
) -> None:
    with pytest.raises(ModelError, match=f"2 tensors that may be its class scores: {shown}"):
        read_logits(output, 2)
    with pytest.raises(ModelError, match="Give labels= with a name for each class"):
        read_logits(output, 2, classes=7)
    assert torch.equal(read_logits(output, 2, classes=3).values, ROWS)


def test_two_classes_may_be_a_single_logit() -> None:
    assert read_logits((OTHER, ROWS[:, :1]), 2, classes=2).binary
    both = ROWS[:, :2]
    assert torch.equal(read_logits((ROWS[:, :1], both), 2, classes=2).values, both)


@pytest.mark.parametrize("key", ["pooler_output", "image_embeds", "last_hidden_state", "Features"])
def test_outputs_that_are_called_features_are_an_embedding(key: str) -> None:
    output = {key: OTHER, "cells": torch.zeros(2, 9, 4, 4)}
    found = read_logits(output, 2)
    assert (found.outputs, found.embedding) == ("embedding", OTHER)
    assert found.probabilities.shape == (2, 0)
    assert torch.equal(read_logits(output, 2, classes=9).values, OTHER)


def test_of_a_batch_of_one_the_known_number_of_classes_decides() -> None:
    output = (torch.zeros(1), ROWS[:1])
    assert torch.equal(read_logits(output, 1, classes=3).values, ROWS[:1])


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1, 1)])
def test_a_single_logit_scores_its_absence_and_its_presence(shape: tuple[int, ...]) -> None:
    logit = torch.tensor([-2.0, 0.0, 1.0, 30.0])
    scores = read_logits(logit.reshape(shape), 4)
    assert scores.binary
    assert torch.equal(scores.values, torch.stack([-logit, logit], dim=1))
    presence = logit.sigmoid()
    torch.testing.assert_close(scores.probabilities, torch.stack([1 - presence, presence], dim=1))


def test_of_a_single_logit_both_classes_can_be_differentiated() -> None:
    logit = torch.tensor([0.3, -0.4], requires_grad=True)
    values = read_logits(logit, 2).values
    (absence,) = torch.autograd.grad(values[:, 0].sum(), logit, retain_graph=True)
    (presence,) = torch.autograd.grad(values[:, 1].sum(), logit)
    assert (absence.tolist(), presence.tolist()) == ([-1, -1], [1, 1])


def test_probabilities_are_the_softmax_in_single_precision() -> None:
    scores = read_logits(ROWS.half().requires_grad_(), 2)
    assert scores.probabilities.dtype == torch.float32
    assert not scores.probabilities.requires_grad
    torch.testing.assert_close(scores.probabilities, ROWS.softmax(1), atol=1e-3, rtol=0)


def test_probabilities_of_classes_that_do_not_exclude_each_other_are_the_sigmoid() -> None:
    scores = read_logits(ROWS, 2, link="sigmoid")
    torch.testing.assert_close(scores.probabilities, ROWS.sigmoid())
    single = read_logits(ROWS[:, :1], 2, link="sigmoid")
    torch.testing.assert_close(single.probabilities[:, 1], ROWS[:, 0].sigmoid())
    assert torch.equal(single.raw, ROWS[:, :1])


def test_logarithms_of_probabilities_give_them_back() -> None:
    logarithms = ROWS.log_softmax(1)
    torch.testing.assert_close(read_logits(logarithms, 2).probabilities, ROWS.softmax(1))


def test_scores_that_are_not_numbers_have_no_probabilities() -> None:
    assert read_logits(torch.full((1, 3), torch.nan), 1).probabilities.isnan().all()


@pytest.mark.parametrize(
    ("whole", "squeezed"), [(ROWS[:1], ROWS[0]), (ROWS[:1, :1], ROWS[0, 0])], ids=["row", "logit"]
)
def test_a_batch_of_one_may_be_squeezed_away(whole: Tensor, squeezed: Tensor) -> None:
    assert torch.equal(read_logits(squeezed, 1).values, read_logits(whole, 1).values)


@pytest.mark.parametrize(
    ("output", "batch", "got"),
    [
        (ROWS, 3, r"3 images this model returns a tensor of shape \(2, 3\)"),
        (ROWS[:, :, None], 3, r"a tensor of shape \(2, 3, 1\)"),
        (torch.zeros(2, 4, 7, 7), 2, r"a tensor of shape \(2, 4, 7, 7\)"),
        (torch.zeros(2, 0), 2, r"a tensor of shape \(2, 0\)"),
        (torch.zeros(0, 3), 0, r"a tensor of shape \(0, 3\)"),
        (ROWS.argmax(1), 2, r"a tensor of shape \(2,\) of int64"),
        (ROWS > 0, 2, r"a tensor of shape \(2, 3\) of bool"),
        (LOSS, 2, r"a tensor of shape \(\)"),
        ((LOSS, None), 2, "a tuple of 2"),
        ([{"boxes": torch.zeros(5, 4)}] * 2, 2, "a list of 2"),
        ({"out": torch.zeros(2, 4, 7, 7)}, 2, "a dict"),
        (SimpleNamespace(scores=ROWS), 2, "a SimpleNamespace"),
        (None, 2, "a NoneType"),
        ("cat", 2, "a str"),
    ],
)
def test_a_file_without_one_row_per_image_is_refused(output: object, batch: int, got: str) -> None:
    with pytest.raises(
        ModelError, match=rf"^expected a classifier, .* as its logits; for .*{got}$"
    ):
        read_logits(output, batch)


def test_tensors_are_found_in_order_however_deep() -> None:
    several = [torch.tensor(number) for number in range(4)]
    nested = {"a": [several[0], (several[1], None)], "b": "text", "c": {"d": several[2]}}
    found = list(tensors((nested, several[3])))
    assert len(found) == 4
    assert all(each is one for each, one in zip(found, several, strict=True))
    assert list(tensors(SimpleNamespace(a=several[0]))) == []


def test_values_are_described_by_their_kind() -> None:
    assert describe(ROWS.half()) == "a tensor of shape (2, 3)"
    assert describe(Pair(1, 2)) == "a Pair of 2"
    assert describe(3.0) == "a float"
