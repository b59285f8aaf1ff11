"""Tell class scores from probabilities."""

from __future__ import annotations

from effcam.errors import ModelError
from effcam.models.tracing.trace import Trace

# The nodes of a graph that compute probabilities, and those that only reshape.
PROBABILITIES = {"SigmoidBackward0": "sigmoid", "SoftmaxBackward0": "softmax"}
RESHAPING = {
    f"{name}Backward{version}"
    for name in (
        "Cat",
        "Neg",
        "View",
        "UnsafeView",
        "ReshapeAlias",
        "Squeeze",
        "Unsqueeze",
        "Select",
    )
    for version in (0, 1)
}


def check_logits(record: Trace) -> None:
    """Refuse probabilities in place of scores: their gradient and their softmax mislead.

    Raises:
        ModelError: If the module ends in a sigmoid or a softmax.
    """
    node = record.linked().logits.values.grad_fn
    while node is not None and node.name() in RESHAPING:
        node = node.next_functions[-1][0]
    if node is not None and node.name() in PROBABILITIES:
        raise ModelError(
            f"the model ends in a {PROBABILITIES[node.name()]}, so that it returns probabilities; "
            "effcam explains the scores before that: give a module that returns these"
        )
