"""Time from photos and weight files to a GIF: effcam, the minimum, and the way of 2019.

    python benchmarks/end_to_end.py [PHOTOS] [--count 35] [--rounds 5] [--notebook-rounds 1]
                                    [--batch-size 16] [--device cpu] [--json FILE]

Without PHOTOS, a folder or a file, scenes of 500 x 375 px are drawn. The five models' weights are
random, are written to files once, and are read again by each way.

*effcam* begins with the files of photos and weights, and ends with the GIF. *The least* reads each
photo once, transforms it once for all models with the same transform, and runs only the forward
pass of the models, which are already loaded: no maps and no pictures. *As in 2019* goes photo by
photo with grad-cam's ``GradCAM`` and ``show_cam_on_image``, and matplotlib draws the animation on
six axes, each picture over the previous one.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import numpy as np
import timm
import torch
from material import given_or_drawn, save_weights
from matplotlib import pyplot
from matplotlib.animation import FuncAnimation, PillowWriter
from measure import Result, add_json_option, goal, paired, ratio, report, tell
from notebook import last_conv
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from torch import Tensor, nn
from torchvision import models, transforms

from effcam import DEFAULT_MODELS, ModelSpec, Preprocess, compare, load_model

SIZE = 224
WHOLE, OWN = f"whole, {SIZE} px", "each model's own"
VIEWS: dict[str, dict[str, Any]] = {WHOLE: {"view": "whole", "size": SIZE}, OWN: {"view": "model"}}
EFFCAM, LEAST, THEN = "effcam", "the least", "as in 2019"
LOADING, RUNNING, WRITING = "loading models", "running them", "drawing and writing"
MOST_OVER_LEAST, LEAST_UNDER_THEN = 1.15, 10
# Like effcam's frames without their headings: six pictures of 224 px side by side.
FIGURE, DPI = (6 * 2.24, 2.24), 100


@dataclass(frozen=True)
class Task:
    """The input that is the same for every way."""

    photos: list[Path]
    specs: Mapping[str, ModelSpec]
    folder: Path
    batch: int
    device: str


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    mpl.use("Agg")
    with (
        given_or_drawn(options.photos, options.count) as photos,
        TemporaryDirectory() as folder,
    ):
        tell(f"{len(photos)} photos; writing weights")
        specs = save_weights(Path(folder))
        task = Task(photos, specs, Path(folder), options.batch_size, options.device)
        rows, notes = measure(task, options.rounds, options.notebook_rounds)
    report(
        Result(
            script="end_to_end",
            title="From photos to a GIF",
            question=(
                f"{len(photos)} photos and five models: the time of effcam from the files to the "
                "GIF, divided by that of only reading the photos and running the models forward "
                "(the least), beside a loop over photos with grad-cam and matplotlib. Ratios are "
                "medians over the rounds; effcam's parts are measured one by one, and need not "
                "add up to the whole."
            ),
            columns=["input", "way", "seconds", f"over {LEAST}"],
            rows=rows,
            notes=notes,
            settings={
                "photos": "drawn" if options.photos is None else "given",
                "count": len(photos),
                "rounds": options.rounds,
                "rounds as in 2019": options.notebook_rounds,
                "batch size": options.batch_size,
                "device": options.device,
                "threads": torch.get_num_threads(),
            },
        ),
        options.json,
    )
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", nargs="?", type=Path, metavar="PHOTOS")
    parser.add_argument("--count", type=int, default=35, help="how many photos; default 35")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--notebook-rounds", type=int, default=1, help="0 leaves it out")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    add_json_option(parser)
    return parser.parse_args(argv)


def measure(task: Task, rounds: int, then_rounds: int) -> tuple[list[list[object]], list[str]]:
    """Return the rows of the table, and notes on the goals."""
    rows: list[list[object]] = []
    over_least, under_then = {}, {}
    for view, arguments in VIEWS.items():
        ways = {EFFCAM: partial(effcam_way, task, arguments), LEAST: least_way(task, arguments)}
        tell(f"{view}: {EFFCAM} and {LEAST}")
        seconds = paired(ways, rounds)
        over_least[view] = ratio(seconds, EFFCAM, LEAST)
        rows.append([view, LEAST, median(seconds[LEAST]), 1.0])
        rows.append([view, EFFCAM, median(seconds[EFFCAM]), over_least[view]])
        del ways
        gc.collect()
        tell(f"{view}: {EFFCAM}'s parts")
        parts = paired(effcam_parts(task, arguments), rounds)
        rows += [[view, f"  {part}", median(took), None] for part, took in parts.items()]
        if view == WHOLE and then_rounds:
            tell(f"{view}: {THEN}")
            then = paired({THEN: then_way(task)}, then_rounds, warmup=0)[THEN]
            rows.append([view, THEN, median(then), median(then) / median(seconds[LEAST])])
            under_then[THEN] = median(then) / median(seconds[EFFCAM])
    return rows, [
        goal(
            f"{EFFCAM} takes at most {MOST_OVER_LEAST} times {LEAST}",
            over_least,
            lambda over: over <= MOST_OVER_LEAST,
            ".2f",
        ),
        goal(
            f"the loop {THEN} takes at least {LEAST_UNDER_THEN} times as long as {EFFCAM}",
            under_then,
            lambda under: under >= LEAST_UNDER_THEN,
            ".1f",
        ),
    ]


# effcam


def effcam_way(task: Task, arguments: Mapping[str, Any]) -> None:
    """Build and load the models, compare, and write the GIF."""
    comparison = compare(
        task.photos,
        task.specs,
        batch_size=task.batch,
        device=task.device,
        progress=False,
        **arguments,
    )
    comparison.save(task.folder / "effcam.gif")


def effcam_parts(task: Task, arguments: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """Return each part of effcam's work as a separate way."""
    loaded = {label: load_model(spec, device=task.device) for label, spec in task.specs.items()}

    def load() -> None:
        for spec in task.specs.values():
            load_model(spec, device=task.device)

    def run() -> Any:
        return compare(task.photos, loaded, batch_size=task.batch, progress=False, **arguments)

    comparison = run()
    return {
        LOADING: load,
        RUNNING: run,
        WRITING: lambda: comparison.save(task.folder / "effcam.gif"),
    }


# the least


def least_way(task: Task, arguments: Mapping[str, Any]) -> Callable[[], None]:
    """Return a function that reads photos and runs models forward; build the models here."""
    modules = [build(spec).to(task.device) for spec in task.specs.values()]
    seen = [_seen(spec, arguments) for spec in task.specs.values()]

    def run() -> None:
        pictures = [_read(photo) for photo in task.photos]
        inputs: dict[Preprocess, list[Tensor]] = {}
        for preprocess, module in zip(seen, modules, strict=True):
            if preprocess not in inputs:
                transform = published(preprocess)
                inputs[preprocess] = [transform(picture) for picture in pictures]
            for start in range(0, len(pictures), task.batch):
                batch = torch.stack(inputs[preprocess][start : start + task.batch])
                with torch.inference_mode():
                    module(batch.to(task.device)).cpu()

    return run


def _seen(spec: ModelSpec, arguments: Mapping[str, Any]) -> Preprocess:
    own = load_model(spec, device="cpu").preprocess
    return own if arguments["view"] == "model" else own.with_size(arguments["size"]).whole()


def published(preprocess: Preprocess) -> Callable[[Image.Image], Tensor]:
    """Return a transform made of torchvision's classes, as published with weights."""
    squash = preprocess.mode == "squash"
    resize = preprocess.resize or preprocess.size
    steps = [
        transforms.Resize(
            resize if squash else min(resize),
            transforms.InterpolationMode(preprocess.interpolation),
        ),
        transforms.CenterCrop(preprocess.size),
        transforms.ToTensor(),
        transforms.Normalize(preprocess.mean, preprocess.std),
    ]
    return transforms.Compose(steps)


def _read(photo: Path) -> Image.Image:
    with Image.open(photo) as file:
        return file.convert("RGB")


def build(spec: ModelSpec) -> nn.Module:
    """Build a model with its library's own functions, with the weights of the file."""
    library, _, name = DEFAULT_MODELS[_label(spec)].partition(":")
    architecture = name.partition(".")[0]
    module: nn.Module
    if library == "timm":
        module = timm.create_model(architecture, pretrained=False)
    else:
        module = models.get_model(architecture, weights=None)
    module.load_state_dict(torch.load(str(spec.checkpoint), map_location="cpu", weights_only=True))
    return module.eval()


def _label(spec: ModelSpec) -> str:
    return Path(str(spec.checkpoint)).stem


# as in 2019


def then_way(task: Task) -> Callable[[], None]:
    """Return the loop of 2019; find its target layers here, so that this is not timed."""
    images = torch.zeros(1, 3, SIZE, SIZE)
    layers = {label: last_conv(build(spec), images)[0] for label, spec in task.specs.items()}
    transform = published(Preprocess(size=SIZE).whole())

    def run() -> None:
        columns = [[_small(photo) for photo in task.photos]]
        for label, spec in task.specs.items():
            columns.append(_explain(build(spec).to(task.device), layers[label], task, transform))
        _animate(columns, ["Orig. Im", *task.specs], task.folder / "notebook.gif")

    return run


def _small(photo: Path) -> np.ndarray[Any, Any]:
    return np.asarray(_read(photo).resize((SIZE, SIZE)))


def _explain(
    module: nn.Module, layer: str, task: Task, transform: Callable[[Image.Image], Tensor]
) -> list[np.ndarray[Any, Any]]:
    cam = GradCAM(module, [module.get_submodule(layer)])
    pictures = []
    for photo in task.photos:
        heat = cam(transform(_read(photo))[None].to(task.device), targets=None)[0]
        pictures.append(show_cam_on_image(_small(photo) / np.float32(255), heat, use_rgb=True))
    cam.activations_and_grads.release()
    return pictures


def _animate(columns: list[Any], titles: list[str], file: Path) -> None:
    figure, axes = pyplot.subplots(1, len(columns), figsize=FIGURE, dpi=DPI)

    def draw(frame: int) -> None:
        for axis, title, pictures in zip(axes, titles, columns, strict=True):
            axis.imshow(pictures[frame])
            axis.set_title(title)
            axis.axis("off")

    animation = FuncAnimation(figure, draw, frames=len(columns[0]), init_func=lambda: None)
    animation.save(str(file), writer=PillowWriter(fps=1))
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
