"""Time of every method over one forward pass, beside the peer that also has it.

    python benchmarks/method_speed.py [--methods gradcam legrad] [--models resnet18 vit_small]
        [--rounds 5] [--batch 8] [--costs src/effcam/cam/method_costs.csv] [--json FILE]

The peer is grad-cam where it has the method, else torch-cam or captum. Both explain the same class
of the same images, at the same layer, with as many samples. ``--costs`` writes the file from which
``effcam.methods()`` reads what methods cost. It takes an hour: grad-cam's Ablation-CAM alone takes
minutes for one batch.
"""

from __future__ import annotations

import argparse
import copy
import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import measure
import pytorch_grad_cam
import torch
from engine import Seconds, Way, plain
from measure import goal, median_ms, paired, ratio, tell, timed
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor

import effcam
from effcam import Model, Preprocess, load_model
from effcam.cam.explain import explaining
from effcam.cam.grad_cam_names import grad_cam_classes
from effcam.cam.method_options import MethodOptions
from effcam.cam.methods import default_samples, facts_of_method
from effcam.errors import EffcamError

MODELS = {"resnet18": "timm:resnet18", "vit_small": "timm:vit_small_patch16_224"}
COLUMNS = {"resnet18": "resnet18", "vit_small": "vit_small_patch16_224"}
"""The columns of the file of costs."""
SIZE, TARGET, SEED = 224, 207, 2019
SLOW = ("ablationcam", "scorecam", "sscam", "iscam", "sess")
"""Methods whose peer takes minutes."""
SECONDS = 20.0
"""What takes longer than this runs once, without a round that does not count."""
PLAIN, OURS, PEER = "plain", "effcam", "peer"
GRADIENTS = (
    *("gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "gradcamelementwise"),
    "eigengradcam",
)
"""The methods of grad-cam that need one backward pass."""
GOALS = {
    ("resnet18", "ablationcam"): 50.0,
    ("resnet18", "scorecam"): 2.5,
    **{("resnet18", name): 4.0 for name in GRADIENTS},
    **{("vit_small", name): 3.0 for name in GRADIENTS},
    **{(model, "occlusion"): 1.5 for model in MODELS},
}
"""How many times as fast as the peer a method is to be."""
LEGRAD = 1.3
"""How long LeGrad may take, over a plain forward pass."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    torch.manual_seed(SEED)
    found: dict[tuple[str, str], Seconds] = {}
    for label in options.models:
        model = load_model(MODELS[label], pretrained=False, preprocess=Preprocess(size=SIZE))
        for method in options.methods:
            tell(f"{label}, {method}")
            seconds = _measure(model, method, options)
            if seconds is not None:
                found[label, method] = seconds
    if options.costs is not None:
        _write_costs(options.costs, found)
    measure.report(_result(found, options), options.json)
    return 0


def _measure(model: Model, method: str, options: argparse.Namespace) -> Seconds | None:
    """Return the seconds of each way in each round; ``None`` if the model has no such map."""
    images = torch.randn(options.batch, 3, SIZE, SIZE)
    targets = [TARGET] * options.batch
    facts = facts_of_method(method)
    samples = options.samples if facts is not None and facts.samples else None
    # Copies are made before hooks are registered, which cannot be copied.
    ways: dict[str, Way] = {PLAIN: plain(model, images, torch.contiguous_format)}
    peer = _peer(model, method, images, samples)
    if peer is not None:
        ways[PEER] = peer
    with explaining(model, options=MethodOptions(samples=samples)) as explain:
        ways[OURS] = partial(explain, images, [method], targets)
        try:
            slow = timed(ways[OURS]) > SECONDS or (peer is not None and method in SLOW)
        except EffcamError as error:
            tell(f"  {error}")
            return None
        return paired(ways, 1 if slow else options.rounds, warmup=0 if slow else 1)


def _peer(model: Model, method: str, images: Tensor, samples: int | None) -> Way | None:
    """Return a call of the peer's method on a copy of the model; ``None`` without a peer."""
    # As users have it: in torch's default memory format, with weights that can be trained.
    module = copy.deepcopy(model.module).eval().to(memory_format=torch.contiguous_format)
    module.requires_grad_(True)
    if method in grad_cam_classes():
        return _grad_cam(module, model, method, images)
    if method in _CAPTUM:
        return _CAPTUM[method](module, images, samples)
    return None


def _grad_cam(module: torch.nn.Module, model: Model, method: str, images: Tensor) -> Way | None:
    layers = [module.get_submodule(layer.name) for layer in model.target_layers]
    kind = getattr(pytorch_grad_cam, grad_cam_classes()[method].name)
    arguments: dict[str, Any] = {}
    if model.layer.layout != "NCHW":
        arguments["reshape_transform"] = model.layer.to_map
        if method == "ablationcam":
            arguments["ablation_layer"] = pytorch_grad_cam.AblationLayerVit()
    targets = [ClassifierOutputTarget(TARGET)] * len(images)
    try:
        cam = kind(module, layers, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        tell(f"  grad-cam: {error}")
        return None
    return lambda: cam(images, targets)


def _integrated_gradients(module: torch.nn.Module, images: Tensor, samples: int | None) -> Way:
    from captum.attr import IntegratedGradients

    attribute = IntegratedGradients(module).attribute
    steps = samples or default_samples("integratedgradients")
    size = len(images) * 4
    return lambda: attribute(images, target=TARGET, n_steps=steps, internal_batch_size=size)


def _smoothgrad(module: torch.nn.Module, images: Tensor, samples: int | None) -> Way:
    from captum.attr import NoiseTunnel, Saliency

    attribute = NoiseTunnel(Saliency(module)).attribute
    count = samples or default_samples("smoothgrad")
    return lambda: attribute(
        images, nt_type="smoothgrad", nt_samples=count, nt_samples_batch_size=4, target=TARGET
    )


def _input_times_gradient(module: torch.nn.Module, images: Tensor, _samples: int | None) -> Way:
    from captum.attr import InputXGradient

    attribute = InputXGradient(module).attribute
    return lambda: attribute(images, target=TARGET)


_CAPTUM: dict[str, Callable[[torch.nn.Module, Tensor, int | None], Way]] = {
    "integratedgradients": _integrated_gradients,
    "smoothgrad": _smoothgrad,
    "inputxgradient": _input_times_gradient,
}


def _result(
    found: Mapping[tuple[str, str], Seconds], options: argparse.Namespace
) -> measure.Result:
    faster = {key: ratio(seconds, PEER, OURS) for key, seconds in found.items() if PEER in seconds}
    notes = [
        goal(
            f"at least {least:g} times as fast as the peer, {model}",
            {
                method: faster[model, method]
                for (label, method), each in GOALS.items()
                if label == model and each == least and (label, method) in faster
            },
            partial(float.__le__, least),
            ".2f",
        )
        for model, least in dict.fromkeys((label, each) for (label, _), each in GOALS.items())
    ]
    legrad = {
        label: ratio(seconds, OURS, PLAIN)
        for (label, method), seconds in found.items()
        if method == "legrad"
    }
    notes.append(goal(f"LeGrad at most {LEGRAD} of a forward pass", legrad, LEGRAD.__ge__))
    return measure.Result(
        script="method_speed",
        title="Every method over a forward pass, and beside its peer",
        question=(
            "The time of a batch with the maps of one method, divided by that of a plain "
            "contiguous `inference_mode` forward pass; and the time of the peer, divided by that "
            "of effcam."
        ),
        columns=["model", "method", "plain, ms", "effcam / plain", "peer / plain", "peer / effcam"],
        rows=[
            [
                label,
                method,
                median_ms(seconds, PLAIN),
                ratio(seconds, OURS, PLAIN),
                ratio(seconds, PEER, PLAIN) if PEER in seconds else None,
                faster.get((label, method)),
            ]
            for (label, method), seconds in found.items()
        ],
        notes=notes,
        settings={
            "rounds": options.rounds,
            "batch": options.batch,
            "image": f"{SIZE} x {SIZE} px",
            "threads": torch.get_num_threads(),
        },
    )


def _write_costs(path: Path, found: Mapping[tuple[str, str], Seconds]) -> None:
    """Write what methods cost; figures of methods that were not measured stay."""
    known: dict[str, dict[str, str]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            known = {row["method"]: row for row in csv.DictReader(file)}
    for (label, method), seconds in found.items():
        row = known.setdefault(method, {"method": method})
        row[COLUMNS[label]] = f"{ratio(seconds, OURS, PLAIN):.3g}"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, ["method", *COLUMNS.values()], restval="", lineterminator="\n"
        )
        writer.writeheader()
        order = [each.name for each in effcam.methods()]
        writer.writerows(known[name] for name in order if name in known)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [each.name for each in effcam.methods()]
    parser.add_argument("--methods", nargs="+", default=names, choices=names, metavar="METHOD")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--samples", type=int, help="of methods that sample; default: their own")
    parser.add_argument("--costs", type=Path, help="the file of costs to update")
    measure.add_json_option(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
