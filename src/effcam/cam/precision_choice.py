"""Choose half precision where the hardware has it and the maps of some images stay the same."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from effcam.cam.explanation import Explanation
from effcam.cam.job import Inputs, Job, Prepared
from effcam.cam.precision import Precision, cast_weights
from effcam.cam.questions import Asked
from effcam.cam.run import explain_images
from effcam.errors import EffcamError, EffcamWarning

CHECKED = 8
"""How many images are looked at in both precisions."""
LEAST = 0.995
"""The least correlation of a map in half precision with that in single precision."""


def decide_precision(job: Job, label: str, prepared: Prepared, asked: Asked) -> Prepared:
    """Return a model to run in bf16 if the hardware has it and it changes little, else in fp32.

    It changes little if, for each of the first images, the most probable class is the same, and the
    correlation of each map with that in fp32 is at least `LEAST`. A network that only the job has
    then gets weights of that type. A warning says why it is fp32.

    Args:
        job: The job.
        label: The model's label.
        prepared: The model, prepared by the job.
        asked: What is asked of each image.

    Raises:
        EffcamError: As `explain_images` does.
    """
    model = prepared.model
    reason = f"{model.device} has no instructions for bf16"
    if has_bf16(model.device):
        reason = _reason(job, label, prepared, asked)
    if not reason:
        if job.models[label].is_new:
            cast_weights(model.module, "bf16")
        return _running(prepared, "bf16")
    warnings.warn(
        f"{label}: precision='auto' computes in fp32: {reason}", EffcamWarning, stacklevel=2
    )
    return _running(prepared, "fp32")


def _reason(job: Job, label: str, prepared: Prepared, asked: Asked) -> str:
    """Return why a model is not to run in bf16, on the first images that can be read."""
    for at in range(0, len(job.images), CHECKED):
        part = slice(at, at + CHECKED)
        some = replace(job, images=job.images[part])
        few: Asked = {name: each and each[part] for name, each in asked.items()}
        single = _explain(some, label, _running(prepared, "fp32"), few)
        if not single:
            continue
        try:
            half = _explain(some, label, _running(prepared, "bf16"), few)
        except EffcamError as error:  # torch has not all operations in bf16
            return f"in bf16 it fails: {error}"
        return _difference(single, half)
    return "no image can be read"


def _explain(job: Job, label: str, prepared: Prepared, asked: Asked) -> list[Explanation]:
    inputs = Inputs(job, passes=0)
    return list(explain_images(inputs, label, prepared, asked, done=lambda _: None))


def _running(prepared: Prepared, precision: Precision) -> Prepared:
    return replace(
        prepared, precision=precision, facts=replace(prepared.facts, precision=precision)
    )


def has_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions that multiply numbers of bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # earlier versions of torch
        return bool(torch.cpu._is_avx512_bf16_supported())
    found = torch.cpu.get_capabilities()
    return any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def _difference(single: Sequence[Explanation], half: Sequence[Explanation]) -> str:
    """Return how cells in half precision differ, in words; empty if they differ little."""
    for exact, rounded in zip(single, half, strict=True):
        if (exact.predicted, exact.target) != (rounded.predicted, rounded.target):
            return f"bf16 changes the most probable classes of {exact.image.name}"
        if exact.state != rounded.state:
            return f"bf16 changes whether a map of {exact.image.name} has evidence"
        if exact.state == "ok":
            same = np.corrcoef(exact.heatmap.ravel(), rounded.heatmap.ravel())[0, 1]
            if same < LEAST:
                return (
                    f"the {exact.method} map of {exact.image.name} in bf16 correlates "
                    f"{same:.3f} with that in fp32"
                )
    return ""
