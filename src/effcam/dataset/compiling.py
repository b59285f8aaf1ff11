"""Compile the models of a long run, where it pays off."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from effcam.cam.head_cam import HeadCAM
from effcam.cam.job import Job, Prepared, naming
from effcam.cam.kept_memory import keeping_memory
from effcam.cam.methods.table import Method, facts_of_method, name_of
from effcam.cam.precision import computing
from effcam.cam.predict import placing
from effcam.errors import ArgumentError, EffcamError, ModelError
from effcam.models.compiled_body import compile_body
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.logits import tensors
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.probe import probe_standardised
from effcam.models.tracing.rounding import are_close
from effcam.text import count

Compiling: TypeAlias = bool | Literal["auto"]
"""Whether models are compiled; ``"auto"`` where it pays off."""
EXPECTED_GAIN, EXPECTED_SECONDS = 0.1, 20.0
"""The share of the time that compiling saves, and what it takes, by which it may pay off."""
GAIN = 0.97
"""The most time that a compiled pass may take over a plain one to be kept by ``"auto"``."""
EQUAL = {"fp32": 1e-4, "bf16": 0.05, "fp16": 0.01}
"""The largest difference of outputs, as a share of their largest value: rounding."""
ROUNDS = 3


def check_compiling(compiling: Compiling, methods: Sequence[Method]) -> Compiling:
    """Return what is asked for, after checking that it may be possible.

    Raises:
        ArgumentError: If it is no such choice, or True for a method that looks into the parts that
            are compiled.
    """
    if not (isinstance(compiling, bool) or (isinstance(compiling, str) and compiling == "auto")):
        raise ArgumentError(f"compile must be True, False or 'auto', not {compiling!r}")
    other = _reads_more(methods)
    if compiling is True and other:
        raise ArgumentError(
            f"compile=True (--compile always) is for methods that need one pass and read the "
            f"target layer only, which {other} does not: 'auto' compiles only where it can"
        )
    return compiling


def _reads_more(methods: Sequence[Method]) -> str:
    """Return the first method that needs more than a pass to the target layer, empty if none."""
    return next((name_of(each) for each in methods if not _reads_target_layer(each)), "")


def _reads_target_layer(method: Method) -> bool:
    facts = facts_of_method(method) if isinstance(method, str) else None
    return (
        facts is not None
        and facts.source == "layer"
        and set(facts.needs) <= {"activations", "gradients"}
        and not (facts.grad_cam or facts.reads_biases)
    )


def compile_model(
    job: Job, label: str, prepared: Prepared, sizes: Sequence[int], asked: Compiling
) -> str:
    """Compile a model's passes in place if it pays off; return what was done, in words.

    Args:
        job: The job, whose batches have the size that will run.
        label: The model's label.
        prepared: The model, prepared by the job.
        sizes: The number of images of each shard that it will run on; no batch has images of two.
        asked: Whether to compile; ``"auto"`` does where it is expected to save time, and undoes it
            where it saves none.

    Raises:
        ModelError: If it is asked for, and torch cannot compile here.
    """
    if not job.models[label].is_new:
        return f"{label} is not compiled: only networks that are built by name are"
    if other := _reads_more(job.methods):
        return f"{label} is not compiled: {other} needs more than a pass to the target layer"
    model, batch = prepared.model, min(job.batch_size, max(sizes))
    pictures = probe_standardised(model.preprocess.size, model.preprocess.channels, batch)
    whole = sum(size // batch for size in sizes)  # other batches run as they are
    with naming(model):
        try:
            return f"{label} is {_compile_if_long(prepared, pictures, whole, asked)}"
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
    return f"{label} is not compiled: memory is too small for {count(batch, 'image')} at once"


def _compile_if_long(prepared: Prepared, pictures: Tensor, batches: int, asked: Compiling) -> str:
    """Compile a model, for ``"auto"`` if its batches take long; return what was done."""
    if asked == "auto":
        _, seconds = _run(prepared, pictures, 1)
        if seconds * batches * EXPECTED_GAIN < EXPECTED_SECONDS:
            return "not compiled: that pays off in longer runs only"
    return _compile(prepared, pictures, asked)


def _compile(prepared: Prepared, pictures: Tensor, asked: Compiling) -> str:
    """Compile a model, and undo it if that changes or saves nothing; return what was done."""
    before, plain = _run(prepared, pictures, ROUNDS)
    model, begin = prepared.model, time.perf_counter()
    try:
        with computing(model.device, prepared.precision):
            targets = [each.name for each in model.target_layers]
            body = compile_body(model.module, placing(model)(pictures), targets)
    except ModelError as error:
        if asked is True:
            raise
        return f"not compiled: {error}"
    took = time.perf_counter() - begin
    if not body.parts:
        problem = next(iter(body.failed.values()), "no part of it can be compiled by itself")
        return f"not compiled: {problem}"
    try:
        after, compiled = _run(prepared, pictures, ROUNDS)
    except Exception as error:
        body.undo()
        if not isinstance(error, EffcamError):
            raise
        return f"not compiled: compiled, {error}"
    if not are_close(after, before, EQUAL[prepared.precision]):
        problem = "compiled, it returns something else"
    elif asked == "auto" and compiled > GAIN * plain:
        problem = "it is no faster compiled"
    else:
        return f"compiled: {_gain(took, plain / len(pictures), compiled / len(pictures))}"
    body.undo()
    return f"not compiled: {problem}"


def _gain(took: float, plain: float, compiled: float) -> str:
    """Return in words what compiling took, and what it saves on each image."""
    speed = f"it took {took:.0f} s, and each image takes {_ms(compiled)} in place of {_ms(plain)}"
    if compiled >= plain:
        return f"{speed}, so it is no faster"
    return f"{speed}, which pays off from {count(round(took / (plain - compiled)), 'image')}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def _run(prepared: Prepared, images: Tensor, rounds: int) -> tuple[list[Tensor], float]:
    """Return what a network and its target layers return, and the shortest time for it, in s."""
    model, times = prepared.model, []
    with (
        untouched(model.module),
        torch.inference_mode(False),
        torch.no_grad(),
        keeping_memory(),
    ):
        cam, place = HeadCAM(model, prepared.precision), placing(model)
        try:
            for _ in range(rounds + 1):  # the first one allocates memory
                begin = time.perf_counter()
                scores = cam.scores(place(images))
                found = [*tensors((scores.values, scores.output, cam.leaves))]
                found[0].sum().item()  # a GPU has then finished
                times.append(time.perf_counter() - begin)
        finally:
            cam.release()
    return found, min(times[1:])
