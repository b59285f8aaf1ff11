"""Scores of changed copies of several images at once are those of each image's copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from effcam.cam.methods.copies import without_rounding
from effcam.cam.scores import (
    AboveQuestions,
    ClassQuestions,
    ClassScore,
    CosineQuestions,
    FunctionQuestions,
)
from effcam.models.tracing.logits import Logits
from effcam.targets.outputs import Function

if TYPE_CHECKING:
    from effcam.cam.scores import Questions

ROWS = torch.tensor([2, 0, 0, 1, 2])


def outputs(count: int) -> Logits:
    values = torch.randn(count, 4, generator=torch.Generator().manual_seed(count))
    return Logits(values, embedding=values, output=values)


def first(output: Tensor) -> Tensor:
    return output[:, 0]


def largest(output: Tensor) -> Tensor:
    return output.amax(1)


def contrast() -> ClassQuestions:
    """Return one class, a difference, and a class less the softmax of two others."""
    return ClassQuestions(
        np.array([[1, 0, 0], [2, 3, 0], [0, 1, 2]]),
        np.array([[1, 0, 0], [1, -1, 0], [1, -0.5, -0.5]], np.float32),
        np.array([False, False, True]),
    )


QUESTIONS: dict[str, Questions] = {
    "classes": ClassQuestions.of_classes([3, -1, 0]),
    "contrasts": contrast(),
    "values": ClassQuestions(
        np.array([[1], [0], [2]]), -np.ones((3, 1), np.float32), np.zeros(3, bool), raw=True
    ),
    "labels": AboveQuestions(np.array([0.3, 0.1, 0.2], np.float32)),
    "directions": CosineQuestions(np.eye(4, dtype=np.float32)[:3]),
    "functions": FunctionQuestions(tuple(map(Function.of, (first, largest, first)))),
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_copies_of_several_images_are_scored_as_those_of_each(kind: str) -> None:
    score: Any = QUESTIONS[kind].on(outputs(3))
    copies = outputs(5)
    together = score.of_copies(ROWS, copies)
    assert together.shape == (5,)
    assert together.dtype == torch.float32
    for at, row in enumerate(ROWS.tolist()):
        row_of = copies.values[at : at + 1]
        alone = Logits(row_of, embedding=row_of, output=row_of)
        torch.testing.assert_close(together[at], score.of_image(row, alone)[0])


def test_only_a_single_class_has_a_probability() -> None:
    score = contrast().on(outputs(3))
    assert isinstance(score, ClassScore)
    copies = outputs(5)
    found, values = score.probabilities_of_copies(ROWS, copies), score.of_copies(ROWS, copies)
    single = ROWS == 0
    torch.testing.assert_close(found[single], copies.probabilities[single, 1])
    torch.testing.assert_close(found[~single], values[~single])
    raw: Any = QUESTIONS["values"].on(outputs(3))
    assert torch.equal(raw.probabilities_of_copies(ROWS, copies), raw.of_copies(ROWS, copies))


def test_rounding_is_no_difference() -> None:
    differences = torch.tensor([[1e-6, 2e-3, torch.nan], [1e-6, -1e-9, 0.0]])
    found = without_rounding(differences, torch.tensor([[-5.0], [1e-2]]))
    assert found[0].nan_to_num(9).tolist() == [0, differences[0, 1], 9]
    assert torch.equal(found[1, :1], differences[1, :1])
    assert found[1, 1:].tolist() == [0, 0]
