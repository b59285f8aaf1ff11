"""Time of a pass with maps over a plain forward pass: effcam and its alternatives.

    python benchmarks/engine.py [--rounds 9] [--models alexnet EB0] [--batches 1 8] [--json FILE]

The plain pass is what users write: ``inference_mode``, with weights and images in torch's default
memory format. effcam may choose another format, so the plain forward pass in that format is timed
too. Every way has its own copy of the model, the same target layer and the same class.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec

import measure
import pytorch_grad_cam
import torch
from measure import goal, median_ms, paired, ratio, tell
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from effcam import Model, Preprocess, load_model
from effcam.cam.explain import explaining
from effcam.cam.lighten import lighten
from effcam.cam.precision import Precision

Way = Callable[[], object]
Seconds = Mapping[str, Sequence[float]]

MODELS = {
    "alexnet": "torchvision:alexnet",
    "densenet121": "torchvision:densenet121",
    "resnet152": "torchvision:resnet152",
    "EB0": "timm:tf_efficientnet_b0",
    "EB3": "timm:tf_efficientnet_b3",
    "MobileNetV3-L": "torchvision:mobilenet_v3_large",
    "RegNetY-1.6": "timm:regnety_016",
    "vit_small": "timm:vit_small_patch16_224",
    "swin_tiny": "timm:swin_tiny_patch4_window7_224",
    "convnext_tiny": "timm:convnext_tiny",
}
SIZE = 224
TARGET = 207
SEED = 2019

PLAIN, SAME, OURS, HALF = "plain", "plain, same format", "effcam", "effcam, bf16"
# The import name of each package, by its name here.
PEERS = {"torch-cam": "torchcam", "captum": "captum", "grad-cam": "pytorch_grad_cam"}
LIMITS = {
    "alexnet": 1.25,
    "densenet121": 0.68,
    "resnet152": 0.74,
    "EB0": 0.68,
    "EB3": 0.66,
    "MobileNetV3-L": 0.62,
    "RegNetY-1.6": 0.76,
    **dict.fromkeys(("vit_small", "swin_tiny", "convnext_tiny"), 1.00),
}
SINGLE_LIMITS = {**dict.fromkeys(MODELS, 1.00), "alexnet": 1.40, "vit_small": 1.05}
"""The goals for one image at a time."""
HALF_LIMITS = {**dict.fromkeys(MODELS, 0.42), "alexnet": 0.50}
"""The goals in bf16, on processors that have instructions for it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    torch.manual_seed(SEED)
    found: dict[tuple[str, int], Seconds] = {}
    for label in options.models:
        model = load(label, options.device)
        for batch in options.batches:
            tell(f"{label}, batch {batch}")
            found[label, batch] = _measure(model, batch, options.rounds)
    measure.report(
        measure.Result(
            script="engine",
            title="Maps over a plain forward pass",
            question=(
                "The time of a batch with Grad-CAM maps, divided by that of a plain contiguous "
                "`inference_mode` forward pass of the same model on the same images, for effcam "
                "and its alternatives. Same format is the plain forward pass in the memory format "
                "in which effcam runs the model. effcam folds the batch normalisations of its own "
                "copy; bf16 is its pass in half precision. All explain the same given class; for "
                "the most probable class, captum needs another forward pass."
            ),
            columns=["model", "batch", "plain, ms", OURS, HALF, SAME, *PEERS],
            rows=[_row(label, batch, seconds) for (label, batch), seconds in found.items()],
            notes=_notes(found),
            settings={
                "rounds": options.rounds,
                "image": f"{SIZE} x {SIZE} px",
                "threads": torch.get_num_threads(),
                "device": options.device,
            },
        ),
        options.json,
    )
    return 0


def load(label: str, device: str = "cpu") -> Model:
    """Return one of the models with random weights, which do not change any time."""
    preprocess = Preprocess(size=SIZE)
    return load_model(MODELS[label], pretrained=False, preprocess=preprocess, device=device)


def plain(model: Model, images: Tensor, memory_format: torch.memory_format) -> Way:
    """Return the forward pass of a copy of a model, in a memory format."""
    module = copy.deepcopy(model.module).to(memory_format=memory_format)
    laid = images.contiguous(memory_format=memory_format)

    def forward() -> object:
        with torch.inference_mode():
            return module(laid)

    return forward


def format_of(model: Model) -> torch.memory_format:
    """Return the memory format in which effcam runs a model."""
    return torch.channels_last if model.channels_last else torch.contiguous_format


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[8])
    parser.add_argument("--device", default="cpu")
    measure.add_json_option(parser)
    return parser.parse_args(argv)


def _measure(model: Model, batch: int, rounds: int) -> Seconds:
    """Return the seconds of every working way in every round."""
    images = torch.randn(batch, 3, SIZE, SIZE, device=model.device)
    peers = {"torch-cam": _torch_cam, "captum": _captum, "grad-cam": _grad_cam}
    with ExitStack() as stack:
        explain = stack.enter_context(explaining(_lightened(model, "fp32")))
        half = stack.enter_context(explaining(_lightened(model, "bf16"), precision="bf16"))
        ways: dict[str, Way] = {
            PLAIN: plain(model, images, torch.contiguous_format),
            SAME: plain(model, images, format_of(model)),
            OURS: lambda: explain(images, ["gradcam"], [TARGET] * batch),
            HALF: lambda: half(images, ["gradcam"], [TARGET] * batch),
        }
        for name in _installed():
            way = peers[name](model, images)
            if _runs(name, way):
                ways[name] = way
        return paired(ways, rounds)


def _lightened(model: Model, precision: Precision) -> Model:
    """Return a copy as a comparison runs those that it builds by name."""
    own = replace(model, module=copy.deepcopy(model.module))
    lighten(own, precision)
    return own


def _installed() -> list[str]:
    return [name for name, package in PEERS.items() if find_spec(package) is not None]


def _runs(name: str, way: Way) -> bool:
    try:
        way()
    except Exception as error:  # noqa: BLE001  # a peer may fail in any way
        tell(f"  {name} fails and is left out: {error!r}")
        return False
    return True


def _own(model: Model) -> tuple[nn.Module, nn.Module]:
    """Return a copy with trainable parameters, as users have it, and its target layer."""
    module = copy.deepcopy(model.module).to(memory_format=torch.contiguous_format)
    return module.requires_grad_(True), module.get_submodule(model.target_layer)


def _grad_cam(model: Model, images: Tensor) -> Way:
    module, layer = _own(model)
    cam = pytorch_grad_cam.GradCAM(module, [layer], reshape_transform=model.layer.to_map)
    targets = [ClassifierOutputTarget(TARGET) for _ in images]
    return lambda: cam(images, targets)


def _captum(model: Model, images: Tensor) -> Way:
    from captum.attr import LayerGradCam

    cam = LayerGradCam(*_own(model))
    targets = [TARGET] * len(images)
    # It averages over all dimensions after the second: for tokens, over the channels. That map is
    # wrong, but takes as long as a right one.
    return lambda: cam.attribute(images, target=targets, relu_attributions=True)


def _torch_cam(model: Model, images: Tensor) -> Way:
    from torchcam.methods import GradCAM

    module, layer = _own(model)
    cam = GradCAM(module, layer, reshape_transform=model.layer.to_map)
    targets = [TARGET] * len(images)
    return lambda: cam(targets, module(images))


def _row(label: str, batch: int, seconds: Seconds) -> list[object]:
    ways = (OURS, HALF, SAME, *PEERS)
    over = [ratio(seconds, way, PLAIN) if way in seconds else None for way in ways]
    return [label, batch, median_ms(seconds, PLAIN), *over]


def _notes(found: Mapping[tuple[str, int], Seconds]) -> list[str]:
    notes = [f"{name} is not installed." for name in PEERS if name not in _installed()]
    for batch in dict.fromkeys(batch for _, batch in found):
        here = {label: seconds for (label, size), seconds in found.items() if size == batch}
        goals = {OURS: SINGLE_LIMITS if batch == 1 else LIMITS, HALF: HALF_LIMITS}
        notes += [f"Batch {batch}. {note}" for note in _goals(here, goals)]
    return notes


def _goals(found: Mapping[str, Seconds], goals: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return notes on the goals reached and missed at one batch size.

    Args:
        found: The seconds by model.
        goals: For each way, the largest ratio to the plain pass by model.
    """
    notes = []
    for way, limits in goals.items():
        over = {label: ratio(seconds, way, PLAIN) for label, seconds in found.items()}
        for limit in dict.fromkeys(limits.values()):
            these = {label: value for label, value in over.items() if limits[label] == limit}
            if these:
                what = f"{way}: at most {limit:.2f} of the plain forward pass"
                notes.append(goal(what, these, lambda value, most=limit: value <= most))
    for peer in ("torch-cam", "captum"):
        beside = {
            label: ratio(seconds, OURS, peer) for label, seconds in found.items() if peer in seconds
        }
        if beside:
            what = f"faster than {peer} (effcam's time over {peer}'s)"
            notes.append(goal(what, beside, lambda value: value < 1))
    return notes


if __name__ == "__main__":
    sys.exit(main())
