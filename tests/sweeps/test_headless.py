"""Every architecture whose weights have no classifier gives an embedding, by its name."""

from __future__ import annotations

import pytest

from effcam.models.architectures import JOINT, ArchitectureFacts, is_headless, known_architectures
from effcam.models.loading import load_untrained

HEADLESS = [
    facts
    for facts in known_architectures().values()
    if facts.layers and is_headless(facts.library, ".".join([facts.name, *facts.weights][:2]))
]


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("facts", HEADLESS, ids=lambda facts: facts.name)
def test_an_architecture_without_a_classifier_gives_an_embedding(facts: ArchitectureFacts) -> None:
    model = load_untrained(f"{facts.library}:{facts.name}")
    assert model.scores.outputs == "embedding"
    assert model.scores.classes
    assert model.target_layer == JOINT.join(facts.layers)
    assert model.num_classes == 0


def test_there_are_many() -> None:
    assert len(HEADLESS) > 100
