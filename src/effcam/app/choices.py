"""What the live page offers: models, methods and targets, by the names that visitors see."""

from __future__ import annotations

from collections.abc import Sequence

from effcam.app.limits import Limits
from effcam.cam.methods.listing import known_costs
from effcam.cam.methods.table import methods
from effcam.demo import MODELS as DEMO_MODELS
from effcam.errors import UnknownModelError, did_you_mean
from effcam.models.listing import describe, list_models
from effcam.models.sources import resolve

BASE = "resnet18"
"""A model of a library; importing what it needs is enough for all."""
TOP, SECOND, NAMED = "top", "second", "named"
QUESTIONS = (
    ("Top class", TOP),
    ("Second", SECOND),
    ("By name", NAMED),
)
"""The targets that the page offers, as (shown, value)."""
SLOW = 5.0
"""From which multiple of a forward pass the page says what a method costs."""


def model_names(limits: Limits) -> list[str]:
    """Return the names of the models that a visitor may choose, the shortest first.

    Gradio's field shows all names that contain what is typed, in the order in which they are given,
    and Enter takes the first. A name that is typed in full is shorter than all others with it in
    them, so that ``resnet50`` comes before ``cspresnet50``, and ``efficientnet_b0`` before
    ``demo_efficientnet_b0``.
    """
    names = list_models() if limits.allowed is None else limits.allowed
    return sorted(names, key=len)


def demo_names(limits: Limits) -> list[str]:
    """Return the demo models that a visitor may choose, as many as a comparison takes."""
    known = set(model_names(limits))
    return [name for name in DEMO_MODELS.values() if name in known][: limits.models]


def check_model(name: object, limits: Limits) -> str:
    """Return the name of a model that a visitor may choose.

    Places to load a model from, as ``hf-hub:...``, are none of these names.

    Raises:
        UnknownModelError: If it is none.
    """
    known = model_names(limits)
    if isinstance(name, str) and name in known:
        return name
    text = str(name)[:100]
    way_out = (
        f"{did_you_mean(text, known)} Choose one from the list"
        if limits.allowed is None
        else " It has a short list; run effcam on your own machine for all models"
    )
    raise UnknownModelError(f"no model of this page is called {text!r}.{way_out}")


def method_choices(limits: Limits) -> list[tuple[str, str]]:
    """Return the methods that a visitor may choose, as (shown, name)."""
    costs = known_costs()
    found = []
    for facts in methods():
        times = max(costs.get(facts.name, {}).values(), default=1.0)
        if times > limits.slowest:
            continue
        shown = f"{facts.name} (about {times:.0f} x a forward pass)" if times > SLOW else facts.name
        found.append((shown, facts.name))
    return found


def is_slow(method: str) -> bool:
    """Return whether a method takes many passes, so that progress should be shown by image."""
    return max(known_costs().get(method, {}).values(), default=1.0) > SLOW


def missing_weights(names: list[str]) -> dict[str, int | None]:
    """Return the models whose weights are not on disk, and about how large they are, in bytes."""
    found = {}
    for name in names:
        published = resolve(name).published()
        if published is not None and published.find() is None:
            parameters = describe(name).parameters
            found[name] = None if parameters is None else 4 * parameters
    return found


def demo_note(names: Sequence[str]) -> str:
    """Return what demo models among the models for photos are worth; empty without any."""
    demos = [name for name in names if name in DEMO_MODELS.values()]
    if not demos:
        return ""
    text = "only know drawn objects: what they find in photos means nothing."
    if len(demos) == len(names):
        return f"Demo models {text} Search for models such as resnet50."
    return f"Demo models ({', '.join(demos)}) {text}"


def import_libraries() -> None:
    """Import what the first model needs, which takes seconds."""
    resolve(BASE).published()
