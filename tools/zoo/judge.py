"""Judge what effcam does with one classifier."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

import effcam
from zoo.calls import Call, Key, run
from zoo.causal import READ, ZERO, Subject, computes, is_projection, same_values
from zoo.gradcam import grad_cam
from zoo.maps import Reading
from zoo.scores import kind_of_scores, probability

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.entries import Entry

RIGHT, NOTED, REFUSED, UNJUDGED = "right", "right with a note", "refused", "not judged"
WRONG = "SILENTLY WRONG"
CLOSE = 1e-3
"""The largest difference to Grad-CAM by hand, over the map's peak, and to a probability."""
SEEN = 0.55
"""The least share of a change in place: it is 0.5 for transposed maps."""
TRIED = 3
"""How many of the layers that a refusal names are tried."""

Held = list[tuple[Key, Reading]]


@dataclass(slots=True)
class Finding:
    """What was found for one classifier: a row of the table.

    Attributes:
        past: The share of the scores' change that goes past the layer.
        cells_past: The share that goes past its cells, by prefix tokens too.
        said: The share that effcam gives.
        place: The share of a change in the picture that is found in the cells over it.
        difference: The largest difference to Grad-CAM by hand, over the peak.
    """

    package: str
    name: str
    version: str = ""
    layer: str = ""
    grid: str = ""
    past: float | None = None
    cells_past: float | None = None
    said: float | None = None
    place: float | None = None
    difference: float | None = None
    verdict: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Case:
    """A classifier that effcam made a map of."""

    entry: Entry
    subject: Subject
    photo: Image.Image
    model: effcam.Model
    cell: effcam.Explanation
    finding: Finding
    held: Held = field(default_factory=list)

    @property
    def image(self) -> Tensor:
        """The network's input for the photo, (1, channels, size, size)."""
        return self.model.preprocess(self.photo.convert("RGB"))[0][None]

    @property
    def notes(self) -> list[str]:
        """What effcam says of the model beside the map."""
        return [str(each) for each in getattr(self.model, "notes", ())]


def judge(entry: Entry) -> dict[str, Any]:
    """Return the finding for one classifier."""
    finding = Finding(entry.package, entry.name)
    try:
        finding.version = version(entry.package)
    except PackageNotFoundError:
        finding.version = "none"
    torch.manual_seed(0)
    module = entry.build()
    try:
        subject = Subject.prepare(
            module, entry.size, entry.channels, entry.logits, frozen=entry.frozen
        )
    except Exception:
        if not entry.refusal:
            raise
        _judge_unusable(entry, module, finding)  # as a network for volumes
    else:
        _judge_usable(entry, subject, finding)
    return asdict(finding)


def _judge_unusable(entry: Entry, module: nn.Module, finding: Finding) -> None:
    """Judge what effcam says of a network that does not run on pictures at all."""
    finding.verdict = WRONG
    try:
        load(entry, module)
    except effcam.EffcamError as error:
        _judge_refusal(entry, str(error), finding)


def _judge_usable(entry: Entry, subject: Subject, finding: Finding) -> None:
    photo = _photo(subject)
    try:
        model = load(entry, subject.module)
        case = Case(entry, subject, photo, model, _explain(model, photo), finding)
    except effcam.EffcamError as error:
        _judge_refusal(entry, str(error), finding)
        if not entry.refusal:
            finding.remarks += _remedies(entry, subject, photo, str(error))
    else:
        _judge_case(case)


def load(entry: Entry, module: nn.Module, **options: Any) -> effcam.Model:
    """Load a classifier with inputs in [0, 1], neither resized nor cropped."""
    zero, one = (0.0,) * entry.channels, (1.0,) * entry.channels
    see = effcam.Preprocess(size=entry.size, resize=entry.size, mean=zero, std=one)
    # A name of its own, for the words in a message are judged.
    return effcam.load_model(module, name="network", preprocess=see, **options)


def _photo(subject: Subject) -> Image.Image:
    pixels = (subject.one[0] * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])


def _explain(model: effcam.Model, photo: Image.Image) -> effcam.Explanation:
    """Return the first cell of a class whose map is not flat, the predicted class first."""
    for target in (None, *range(min(model.num_classes, 5))):
        result = effcam.compare([photo], {"x": model}, target=target, progress=False)
        cell = result[0, "x"]
        if cell.state == "ok":
            break
    return cell


def _judge_refusal(entry: Entry, message: str, finding: Finding) -> None:
    """Judge whether a refusal names the true reason."""
    finding.verdict = REFUSED
    finding.remarks.append(" ".join(message.split()))
    if entry.refusal and not re.search(entry.refusal, message):
        finding.remarks.append(f"the true reason is another: {entry.refusal}")


def _judge_case(case: Case) -> None:
    finding, layers = case.finding, case.model.target_layers
    finding.layer = case.model.target_layer
    finding.grid = " + ".join(f"{each.grid[0]} x {each.grid[1]}" for each in layers)
    if not case.entry.refusal:
        _judge_map(case)
        return
    noted = re.search(case.entry.refusal, " ".join(case.notes))
    finding.verdict = NOTED if noted else WRONG
    finding.remarks += case.notes or [f"a map, where it should refuse: {case.entry.refusal}"]


def _judge_map(case: Case) -> None:
    _measure(case)
    finding, notes = case.finding, case.notes
    faults = [*_layer_faults(case), *_map_faults(case), *_score_faults(case)]
    excused = bool(notes) and all(each.startswith(_excuses(notes)) for each in faults)
    finding.verdict = WRONG if faults and not excused else NOTED if notes else RIGHT
    finding.remarks += faults + notes
    if case.cell.state != "ok":
        finding.remarks.append(f"the map is {case.cell.state} for every class tried")


def _excuses(notes: Sequence[str]) -> tuple[str, ...]:
    """Return the beginnings of the faults that notes speak of."""
    says_earlier = any("nearer to the head" in each for each in notes)
    return ("past: ", "too early: ") if says_earlier else ("past: ",)


def _measure(case: Case) -> None:
    """Fill in the figures of a map."""
    subject, finding = case.subject, case.finding
    subject.record()
    called = {call.key[0] for call in subject.calls}
    if not all(layer.name in called for layer in case.model.target_layers):
        subject.module = case.model.module  # an exported graph, taken apart
        subject.record()
    case.held = [_held(layer) for layer in case.model.target_layers]
    finding.past = subject.past(case.held)
    finding.cells_past = subject.past(case.held, cells=True)
    finding.said = getattr(case.model, "bypass", None)
    finding.place = min(subject.place(*each) for each in case.held)
    hand = grad_cam(
        subject.module, case.image, case.held, case.cell.target, case.entry.logits
    ).numpy()
    heat = np.asarray(case.cell.heatmap, dtype=np.float64)
    peak = max(float(hand.max()), float(heat.max()), 1e-30)
    finding.difference = float(np.abs(hand - heat).max()) / peak


def _held(layer: Any) -> tuple[Key, Reading]:
    return (layer.name, layer.turn), Reading(layer.layout, layer.grid[0], layer.prefix)


def _layer_faults(case: Case) -> list[str]:
    """Return what is wrong with the choice of the layer."""
    entry, names = case.entry, [each.name for each in case.model.target_layers]
    past = max(case.finding.past or 0.0, case.finding.cells_past or 0.0)
    if entry.layer:
        if not all(fnmatchcase(name, entry.layer) for name in names):
            return [f"the right layer is {entry.layer}"]
    elif entry.reads == "class token" or past <= ZERO:
        find = _last_read if entry.reads == "class token" else _last_cut
        found = find(case.subject, _later(case))
        if found:
            why = "the class token reads" if entry.reads == "class token" else "the scores read"
            return [f"too early: {why} {found} after it"]
    if past <= ZERO or (entry.reads == "class token" and case.notes):
        return []
    found = "" if entry.reads == "class token" else _last_cut(case.subject, case.subject.maps())
    where = f"; the last layer that nothing goes past is {found}" if found else ""
    what = "the layer" if (case.finding.past or 0.0) > ZERO else "its cells, by a prefix token"
    return [f"past: {past:.2f} goes past {what}, without a note{where}"]


def _later(case: Case) -> list[tuple[Call, Reading]]:
    """Return the maps after the layer, without those that only scale its values."""
    subject, keys = case.subject, {key for key, _ in case.held}
    order = [call.key for call in subject.calls]
    end = max(order.index(key) for key in keys)
    computed = (at for at, call in enumerate(subject.calls) if at > end and computes(call.module))
    begin = next(computed, len(order))
    values = [subject.value(key) for key in keys]
    return [
        (call, reading)
        for call, reading in subject.maps()
        if order.index(call.key) >= begin
        and not any(same_values(call.value, value) for value in values)
    ]


def _last_cut(subject: Subject, maps: list[tuple[Call, Reading]]) -> str:
    """Return the last map that nothing goes past."""
    for call, reading in reversed(maps):
        if subject.past([(call.key, reading)], cells=True) <= ZERO:
            return _name(call, reading)
    return ""


def _last_read(subject: Subject, maps: list[tuple[Call, Reading]]) -> str:
    """Return the last map of features whose cells the scores depend on."""
    for call, reading in reversed(maps):
        if not is_projection(call.module) and subject.read([(call.key, reading)]) > READ:
            return _name(call, reading)
    return ""


def _name(call: Call, reading: Reading) -> str:
    prefix = f" after {reading.prefix}" if reading.prefix else ""
    return f"{call.key[0]} ({reading.layout}, {reading.side} x {reading.side}{prefix})"


def _map_faults(case: Case) -> list[str]:
    place, difference, faults = case.finding.place or 0.0, case.finding.difference, []
    if place < SEEN and not case.entry.layer:
        faults.append(f"only {place:.2f} of a change lies in the cells where it is")
    if case.cell.state == "ok" and not (difference is not None and difference <= CLOSE):
        faults.append(f"the map differs from Grad-CAM by hand by {difference:.1e}")
    return faults


def _score_faults(case: Case) -> list[str]:
    """Return what is wrong if the network's output is no row of logits, or is read wrongly."""
    subject, entry = case.subject, case.entry
    with torch.no_grad():
        rows = torch.cat([run(subject.module, each) for each in (subject.one, subject.other)])
        row = run(subject.module, case.image, entry.logits)[0]
    kind = kind_of_scores(rows)
    if kind != "logits" and not entry.logits:
        return [f"its output is {kind}, explained and shown as logits"]
    expected, shown = probability(row), float(case.cell.predicted_probability)
    if kind != "logits":  # the network returns probabilities itself
        with torch.no_grad():
            own = run(subject.module, case.image)[0][case.cell.predicted]
        expected = float(own.exp() if kind == "log-probabilities" else own)
    if abs(expected - shown) > CLOSE:
        return [f"the probability {expected:.3f} is shown as {shown:.3f}"]
    return []


def _remedies(entry: Entry, subject: Subject, photo: Image.Image, message: str) -> list[str]:
    """Try the layers that a refusal names, and the one that is right."""
    subject.record()
    names = {name for name, _ in subject.module.named_modules() if name}
    named = [name for name in dict.fromkeys(re.findall(r"[\w.]+", message)) if name in names]
    find = _last_cut if entry.reads == "cells" else _last_read
    right = find(subject, subject.maps()).partition(" ")[0]
    tried = dict.fromkeys([*named[-TRIED:], *([right] if right else [])])
    return [
        f"the {'right' if name == right else 'named'} layer {name} is "
        f"{_try_layer(entry, subject, photo, name)}"
        for name in tried
    ]


def _try_layer(entry: Entry, subject: Subject, photo: Image.Image, name: str) -> str:
    try:
        model = load(entry, subject.module, target_layer=name)
        cell = _explain(model, photo)
    except effcam.EffcamError as error:
        return f"refused: {shorten(str(error), 160, placeholder=' ...')}"
    share = subject.past([_held(layer) for layer in model.target_layers])
    return f"accepted ({cell.state}, {share:.2f} goes past)"
