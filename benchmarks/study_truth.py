"""What a network uses, and the truth of a map.

What a network really uses is known by intervention: each part of a picture is taken away, and the
fall of the score of the class explained is the part's effect. The truth of a map is measured in two
ways, both from 0 to 1. Its overlap with the effects is the sum over the parts of the smaller of a
part's share of the heat and its share of the effects; heat that is spread has a low one. Its order
is the mean over the parts, weighted by their effects, of the probability that a pixel of the part
is hotter than one of the rest of the picture (the area under the ROC curve); it does not depend on
how heat is scaled or spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import rankdata
from study_subject import Subject, inputs_of
from torch import Tensor

from effcam.cam.predict import running
from effcam.demo import Scene, ScenePart

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from study_figures import Values

LEAST_EFFECT = 1.0
"""The least effect of a picture's strongest part, in nats, for its truth to count as known."""


def measure_effects(subject: Subject) -> dict[str, Values]:
    """Return by how many nats the score falls without each part: (N,), by the part's name.

    The score is the log-odds of the class explained.
    """
    full = _log_odds(subject, subject.images)
    names = [part.name for part in subject.scenes[0].parts]
    return {
        name: full
        - _log_odds(
            subject, inputs_of(subject.model, [each.without(name) for each in subject.scenes])
        )
        for name in names
    }


def _log_odds(subject: Subject, images: Tensor) -> Values:
    with running(subject.model) as run:
        scores = run(images).values.double()
    own = scores.gather(1, torch.tensor(subject.targets)[:, None])[:, 0]
    if subject.several:
        return np.asarray(own.numpy())
    others = scores.scatter(1, torch.tensor(subject.targets)[:, None], -torch.inf)
    return np.asarray((own - others.logsumexp(1)).numpy())


def measure_truths(
    heats: Mapping[str, NDArray[np.float32]], scenes: Sequence[Scene], effects: dict[str, Values]
) -> dict[str, dict[str, list[float | None]]]:
    """Return both truths of each method's maps, as plain numbers."""
    return {
        truth: {name: plain(truth_of(own, scenes, effects, of)) for name, own in heats.items()}
        for truth, of in TRUTHS.items()
    }


def truth_of(
    heats: NDArray[np.float32],
    scenes: Sequence[Scene],
    effects: dict[str, Values],
    of: Callable[[NDArray[np.float32], Sequence[ScenePart], Values], float],
) -> Values:
    """Return a truth of the map of each picture: (N,) in [0, 1].

    It is NaN where no part has an effect, or a map has no evidence.

    Args:
        heats: (N, SIDE, SIDE) >= 0, NaN for a map without evidence.
        scenes: The pictures.
        effects: By the name of each part, the fall of the score without it.
        of: One of `TRUTHS`.
    """
    found = np.full(len(scenes), np.nan)
    for at, (heat, scene) in enumerate(zip(heats, scenes, strict=True)):
        own = np.array([max(effects[part.name][at], 0.0) for part in scene.parts])
        if own.max() >= LEAST_EFFECT and heat.sum() > 0:
            found[at] = of(heat, scene.parts, own / own.sum())
    return found


def overlap_of(heat: NDArray[np.float32], parts: Sequence[ScenePart], effects: Values) -> float:
    """Return the overlap of the parts' shares of the heat with their shares of the effects."""
    shares = np.array([heat[part.mask].sum() for part in parts]) / heat.sum()
    return float(np.minimum(shares, effects).sum())


def order_of(heat: NDArray[np.float32], parts: Sequence[ScenePart], effects: Values) -> float:
    """Return the probability that a pixel of a part is hotter than one of the rest.

    It is the mean over the parts, weighted by their effects; equal pixels count half.
    """
    ranks = rankdata(heat).reshape(heat.shape)
    found = 0.0
    for part, weight in zip(parts, effects, strict=True):
        inside = int(part.mask.sum())
        if weight > 0:
            above = ranks[part.mask].sum() - inside * (inside + 1) / 2
            found += weight * above / (inside * (heat.size - inside))
    return float(found)


def plain(values: Values) -> list[float | None]:
    """Return numbers as JSON has them: NaN as null, the others to six digits."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


TRUTHS = {"overlap": overlap_of, "order": order_of}
"""The two truths of a map, given its heat, the parts and their shares of the effects."""
