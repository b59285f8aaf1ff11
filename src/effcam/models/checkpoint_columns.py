"""Checkpoints of one training as columns: found, put in order, and labelled."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from effcam.errors import (
    ArgumentError,
    EffcamWarning,
    WeightsError,
    check_choice,
    check_number,
)
from effcam.models.checkpoint import read_outline
from effcam.models.checkpoint_search import Files, find_checkpoints
from effcam.models.checkpoint_stage import read_stage
from effcam.models.registry import ModelSpec, find_spec
from effcam.models.stage_names import shown_name, stage_in_path
from effcam.models.training_stage import TrainingStage, plain_number
from effcam.text import count, one_line

Shapes: TypeAlias = frozenset[tuple[str, tuple[int, ...]]]
SHOWN = 3
"""How many broken files a message names."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint, at which point of training it was saved, and its key of averaged weights."""

    file: Path
    stage: TrainingStage
    averaged: str = ""


def checkpoints(
    files: Files,
    model: str | ModelSpec,
    *,
    every: int = 1,
    on_error: Literal["raise", "skip"] = "raise",
) -> dict[str, ModelSpec]:
    """Return the checkpoints of a training as models for `compare`: a column for each file.

    The columns are in the order of their epochs and steps where all files state them, else in
    natural order of the paths, ``epoch=9`` before ``epoch=10``. Epochs, steps and metrics are read
    from the files as Lightning, timm, torchvision, mmengine, transformers' Trainer and usual
    training scripts write them, without reading the weights; a comparison keeps them in
    `effcam.types.ModelFacts.training`. They are shown as they are stored: Lightning and timm count
    epochs from 0, so that "epoch 3" of theirs is what four epochs of training have made.

    Averaged weights are preferred where a file holds both, with a warning if other files hold none.

    A label is "epoch 3"; "epoch 3, step 1200" where several steps of an epoch are kept; the file's
    name where it states neither. Further files of the same step have their name in it: "epoch 3
    (last)".

    Args:
        files: A glob (``"runs/exp1/*.ckpt"``), a folder, which is searched with those below it, or
            paths. A folder ``checkpoint-500`` of transformers' Trainer is one checkpoint.
        model: The architecture of all of them, by name or as a `ModelSpec`. The number of classes
            follows from each file's head. Prefixes of training modules, as ``model.``, are removed.
        every: Use every n-th checkpoint, beginning with the first, and the last one.
        on_error: What to do with a file that cannot be read or does not fit the architecture:
            ``"raise"``, or ``"skip"`` it with a warning.

    Raises:
        WeightsError: If no file matches, a folder has no weights, or files cannot be read or do
            not fit.
        UnknownModelError: If no model has that name.
        ArgumentError: If an argument is impossible, or the spec has a checkpoint of its own.

    >>> import effcam
    >>> columns = effcam.checkpoints("runs/exp1/*.ckpt", "resnet50")  # doctest: +SKIP
    >>> comparison = effcam.compare("photos/", columns)  # doctest: +SKIP
    >>> comparison.save("epochs.gif", rows="models")  # doctest: +SKIP
    """
    step = check_number("every", every)
    check_choice("on_error", on_error, ("raise", "skip"))
    spec = _architecture(model)
    saved = _in_order(_read(find_checkpoints(files), spec, skips=on_error == "skip"))
    kept = [each for at, each in enumerate(saved) if at % step == 0 or at == len(saved) - 1]
    _warn_of_averages(kept)
    return {
        label: replace(spec, checkpoint=each.file, training=each.stage)
        for label, each in zip(labels(kept), kept, strict=True)
    }


def _architecture(model: str | ModelSpec) -> ModelSpec:
    """Return the spec of the architecture.

    Raises:
        UnknownModelError: If no model has that name.
        ArgumentError: If it is no name and no spec, or has a checkpoint of its own.
    """
    # Few modules need it, and it imports torch.
    from effcam.models.sources import resolve_spec

    if not isinstance(model, str | ModelSpec):
        raise ArgumentError(
            f"model must be a name or a ModelSpec, not {type(model).__name__}: checkpoints are "
            "loaded one after the other into new networks. For a class of yours, give "
            "effcam.ModelSpec('mine', constructor=MyNet)"
        )
    if isinstance(model, ModelSpec) and model.checkpoint is not None:
        raise ArgumentError(
            f"{model.name} has the checkpoint {str(model.checkpoint)!r} already: leave it out"
        )
    # The published weights of a registered model are replaced, as `load_model` does.
    spec = model if isinstance(model, ModelSpec) else find_spec(model) or ModelSpec(model)
    resolve_spec(spec)
    return spec


def _read(files: Sequence[Path], spec: ModelSpec, *, skips: bool) -> list[Saved]:
    """Return the checkpoints that can be read, and loaded as far as they differ in shapes.

    Raises:
        WeightsError: If one cannot be and is not to be skipped, or none can be.
    """
    found: dict[Shapes, list[Saved]] = {}
    broken: dict[Path, WeightsError] = {}
    for file in files:
        try:
            settings, shapes, averaged = read_outline(file)
            saved = Saved(file, read_stage(file, settings), averaged)
            found.setdefault(shapes, []).append(saved)
        except WeightsError as error:
            broken[file] = error
    if len(found) > 1:
        broken |= _unfit(found.values(), spec)
    kept = [each for alike in found.values() for each in alike if each.file not in broken]
    errors = [broken[file] for file in files if file in broken]
    if errors and not (skips and kept):
        raise WeightsError(_broken(errors, len(files))) from errors[0]
    if errors:
        warnings.warn(f"left out: {_broken(errors, len(files))}", EffcamWarning, stacklevel=3)
    order = {file: at for at, file in enumerate(files)}
    return sorted(kept, key=lambda each: order[each.file])


def _unfit(groups: Iterable[Sequence[Saved]], spec: ModelSpec) -> dict[Path, WeightsError]:
    """Return the files that do not fit the architecture, and why.

    Those of one training have the same tensors. Where they do not, one of each kind is loaded:
    else a comparison would end at the odd one, after hours perhaps. A head of more classes fits.

    Args:
        groups: The checkpoints with the same names and shapes.
        spec: The architecture.
    """
    # Few modules need it, and it imports torch.
    from effcam.models.loading import load_model

    found: dict[Path, WeightsError] = {}
    for alike in groups:
        try:
            load_model(replace(spec, checkpoint=alike[0].file))
        except WeightsError as error:
            first, own = str(alike[0].file), [each.file for each in alike]
            found |= {file: WeightsError(str(error).replace(first, str(file))) for file in own}
    return found


def _warn_of_averages(saved: Sequence[Saved]) -> None:
    """Warn if some columns are of averaged weights and others of the trained ones."""
    averaged = [each for each in saved if each.averaged]
    if averaged and len(averaged) < len(saved):
        warnings.warn(
            f"{len(averaged)} of {count(len(saved), 'checkpoint')} hold averaged weights "
            f"({averaged[0].averaged!r} in {str(averaged[0].file)!r}), which are used; the others "
            "hold none: the columns show weights of two kinds",
            EffcamWarning,
            stacklevel=3,
        )


def _broken(errors: Sequence[WeightsError], files: int) -> str:
    if len(errors) == files == 1:
        return str(errors[0])
    shown = "; ".join(map(str, errors[:SHOWN]))
    more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    way_out = (
        ". effcam.checkpoints(..., on_error='skip') leaves them out" if len(errors) < files else ""
    )
    return f"{len(errors)} of {count(files, 'checkpoint')} cannot be used: {shown}{more}{way_out}"


def _in_order(saved: Sequence[Saved]) -> list[Saved]:
    """Return checkpoints by epoch and step where all state them; else as they are."""
    if all(each.stage.epoch is not None for each in saved):
        stepped = all(each.stage.step is not None for each in saved)
        return sorted(saved, key=lambda each: (each.stage.epoch, each.stage.step if stepped else 0))
    if all(each.stage.step is not None for each in saved):
        return sorted(saved, key=lambda each: each.stage.step or 0)
    return list(saved)


def labels(saved: Sequence[Saved]) -> list[str]:
    """Return a short label for each checkpoint, all different."""
    steps: dict[str | None, set[int | None]] = {}
    for each in saved:
        epoch = None if each.stage.epoch is None else plain_number(each.stage.epoch)
        steps.setdefault(epoch, set()).add(each.stage.step)
    by_step = any(len(found) > 1 for epoch, found in steps.items() if epoch is not None)
    names = _names([each.file for each in saved])
    plain = [_label(each.stage, by_step=by_step) for each in saved]
    kept = {label: _plainest(saved, plain, label) for label in plain if label}
    found = [
        (label if at == kept.get(label) else f"{label} ({name})") if label else name
        for at, (label, name) in enumerate(zip(plain, names, strict=True))
    ]
    return _numbered(found)


def _label(stage: TrainingStage, *, by_step: bool) -> str:
    """Return a label from epoch and step, empty if both are unknown."""
    step = "" if stage.step is None else f"step {stage.step}"
    if stage.epoch is None:
        return step
    return f"epoch {plain_number(stage.epoch)}" + (f", {step}" if by_step and step else "")


def _plainest(saved: Sequence[Saved], plain: Sequence[str], label: str) -> int | None:
    """Return which of the checkpoints of a label keeps it: the one whose name states it plainly.

    It is ``None`` if another one has the same name in another folder.
    """
    alike = [at for at, each in enumerate(plain) if each == label]
    names = {at: shown_name(saved[at].file) for at in alike}
    paths = {at: stage_in_path(saved[at].file) for at in alike}
    stated = [at for at in alike if (paths[at].epoch, paths[at].step) != (None, None)]
    chosen = min(stated, key=lambda at: len(names[at])) if stated else alike[0]
    return chosen if list(names.values()).count(names[chosen]) == 1 else None


def _names(files: Sequence[Path]) -> list[str]:
    """Return the files' names, with the folders above them as far as they differ only there."""
    names = [one_line(shown_name(file)) for file in files]
    most = max((len(file.parts) for file in files), default=0)
    for depth in range(most):
        counts = Counter(names)
        if counts.most_common(1)[0][1] == 1:
            break
        for at, file in enumerate(files):
            above = _above(file, depth)
            if counts[names[at]] > 1 and above:
                names[at] = f"{one_line(above)}/{names[at]}"
    return names


def _above(file: Path, depth: int) -> str:
    """Return the name of the folder that many levels above a checkpoint, empty if there is none."""
    start = file.parent if shown_name(file) == file.parent.name else file
    folders = [each.name for each in start.parents]
    return folders[depth] if depth < len(folders) else ""


def _numbered(found: Sequence[str]) -> list[str]:
    """Return labels of which equal ones have a number: "last (2)"."""
    seen: Counter[str] = Counter()
    result: list[str] = []
    for label in found:
        seen[label] += 1
        free = label if seen[label] == 1 else f"{label} ({seen[label]})"
        while free in result:
            seen[label] += 1
            free = f"{label} ({seen[label]})"
        result.append(free)
    return result
