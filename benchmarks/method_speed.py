"""Cost of every method over one forward pass, beside the peer that also has it.

    python benchmarks/method_speed.py [--methods gradcam legrad] [--models resnet18 vit_small]
        [--rounds 5] [--batch 8] [--slow-images 1] [--samples 100] [--no-peers] [--apart]
        [--clock cpu] [--costs src/effcam/cam/methods/costs.csv] [--json FILE]

The peer is grad-cam where it has the method, else torch-cam, captum or xaitk-saliency. Both explain
the same class of the same images, at the same layer, with as many samples, windows or masks.
``--costs`` updates the file from which ``effcam.methods()`` reads what methods cost, after each
method. All times are per image, and ratios are those of the shortest times of several rounds, since
other work on a machine only adds time.

It takes an hour: grad-cam's Ablation-CAM alone takes minutes for one batch. ``--slow-images 1``
gives the methods that take minutes one image in place of a batch; ``--no-peers`` times effcam only.
On a machine that others use, ``OMP_NUM_THREADS=1`` and ``--clock cpu`` count the processor's time.
``--apart`` gives each way a process of its own, as users run them: in one process, what runs first
leaves memory behind that makes all others quicker.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import measure
import torch
from engine import Seconds, Way, plain
from measure import CLOCKS, goal, lowest_ratio, paired, tell, timed
from method_speed_peers import peer_of

import effcam
from effcam import Model, Preprocess, load_model
from effcam.cam.explain import explaining
from effcam.cam.lighten import lighten
from effcam.cam.methods.options import MethodOptions
from effcam.cam.methods.table import facts_of_method
from effcam.errors import EffcamError

MODELS = {"resnet18": "timm:resnet18", "vit_small": "timm:vit_small_patch16_224"}
COLUMNS = {"resnet18": "resnet18", "vit_small": "vit_small_patch16_224"}
"""The columns of the file of costs."""
SIZE, TARGET, SEED = 224, 207, 2019
LAYERS = {
    "resnet18": ["layer2", "layer3", "layer4"],
    "vit_small": ["blocks.3.norm1", "blocks.7.norm1", "blocks.11.norm1"],
}
"""The layers that ``refinecam`` multiplies."""
SLOW = ("ablationcam", "scorecam", "sscam", "iscam", "sess", "occlusion", "rise")
"""Methods that take minutes for a batch, in effcam or in the peer."""
SECONDS = 20.0
"""What takes longer than this for one image is timed as a slow method is."""
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
    **{(model, method): 1.5 for model in MODELS for method in ("occlusion", "rise")},
}
"""How many times as fast as the peer a method is to be."""
LEGRAD = 1.3
"""How long LeGrad may take, over a plain forward pass."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    torch.manual_seed(SEED)
    if options.way:
        ((label,), (method,)) = options.models, options.methods
        print(json.dumps(_measure(_load(label, method), method, options)))  # for `_apart`
        return 0
    found: dict[tuple[str, str], Seconds] = {}
    for label in options.models:
        for method in options.methods:
            tell(f"{label}, {method}")
            if options.apart:
                seconds = _apart(label, method, options)
            else:
                seconds = _measure(_load(label, method), method, options)
            if seconds is None:
                continue
            found[label, method] = seconds
            if options.costs is not None:
                _write_costs(options.costs, label, method, seconds)
    measure.report(_result(found, options), options.json)
    return 0


def _load(label: str, method: str) -> Model:
    layers = LAYERS[label] if method == "refinecam" else None
    return load_model(
        MODELS[label], pretrained=False, preprocess=Preprocess(size=SIZE), target_layer=layers
    )


def _apart(label: str, method: str, options: argparse.Namespace) -> Seconds | None:
    """Return what `_measure` does, each way in a process of its own, one after the other."""
    found: dict[str, Sequence[float]] = {}
    for way in (PLAIN, OURS, PEER) if options.peers else (PLAIN, OURS):
        command = [sys.executable, __file__, "--way", way, "--models", label, "--methods", method]
        for name in ("rounds", "batch", "slow_images", "slow_rounds", "samples", "clock"):
            value = getattr(options, name)
            command += [] if value is None else [f"--{name.replace('_', '-')}={value}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found |= json.loads(done.stdout.splitlines()[-1]) or {}
    return found if OURS in found else None


def _measure(model: Model, method: str, options: argparse.Namespace) -> Seconds | None:
    """Return the seconds an image of each way; ``None`` if the model has no such map."""
    slow = method in SLOW
    count = min(options.batch, options.slow_images) if slow else options.batch
    batch = torch.randn(options.batch, 3, SIZE, SIZE)
    images, targets = batch[:count], [TARGET] * count
    facts = facts_of_method(method)
    samples = options.samples if facts is not None and facts.samples else None
    # Copies are made before hooks are registered, which cannot be copied.
    passes: dict[str, Way] = {}
    ways: dict[str, Way] = {}
    if options.way in ("", PLAIN):
        passes[PLAIN] = plain(model, batch, torch.contiguous_format)
    peer = peer_of(model, method, images, samples) if options.peers else None
    if peer is not None and options.way in ("", PEER):
        ways[PEER] = peer
    if options.way not in ("", OURS):
        found = (_times_of_slow if slow else _times)(passes, ways, options)
        return _per_image(found, options.batch, count)
    # As a comparison does with what it builds by name.
    lighten(model, keep_norms=facts is not None and facts.reads_biases)
    with explaining(model, options=MethodOptions(samples=samples)) as explain:
        ways[OURS] = partial(explain, images, [method], targets)
        try:
            slow = slow or timed(partial(explain, images[:1], [method], targets[:1])) > SECONDS
            found = (_times_of_slow if slow else _times)(passes, ways, options)
        except EffcamError as error:
            tell(f"  {error}")
            return None
    return _per_image(found, options.batch, count)


def _times(
    passes: Mapping[str, Way], ways: Mapping[str, Way], options: argparse.Namespace
) -> Seconds:
    return paired({**passes, **ways}, options.rounds, clock=CLOCKS[options.clock])


def _times_of_slow(
    passes: Mapping[str, Way], ways: Mapping[str, Way], options: argparse.Namespace
) -> Seconds:
    """Time passes around what takes minutes, on which one more pass has no effect."""
    clock = CLOCKS[options.clock]
    if not (passes and ways):
        rounds, warmup = (options.rounds, 1) if passes else (options.slow_rounds, 0)
        return paired(passes or ways, rounds, warmup=warmup, clock=clock)
    before = paired(passes, options.rounds, clock=clock)
    found = paired(ways, options.slow_rounds, warmup=0, clock=clock)
    after = paired(passes, options.rounds, clock=clock)
    return {**found, PLAIN: before[PLAIN] + after[PLAIN]}


def _per_image(seconds: Seconds, batch: int, count: int) -> Seconds:
    """Return seconds for one image, where plain passes had a batch and all others some images."""
    sizes = {name: batch if name == PLAIN else count for name in seconds}
    return {name: [each / sizes[name] for each in found] for name, found in seconds.items()}


def _result(
    found: Mapping[tuple[str, str], Seconds], options: argparse.Namespace
) -> measure.Result:
    faster = {
        key: lowest_ratio(seconds, PEER, OURS) for key, seconds in found.items() if PEER in seconds
    }
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
        label: lowest_ratio(seconds, OURS, PLAIN)
        for (label, method), seconds in found.items()
        if method == "legrad"
    }
    notes.append(goal(f"LeGrad at most {LEGRAD} of a forward pass", legrad, LEGRAD.__ge__))
    return measure.Result(
        script="method_speed",
        title="Every method over a forward pass, and beside its peer",
        question=(
            "The time of an image with the map of one method, divided by that of a plain "
            "contiguous `inference_mode` forward pass in a batch; and the time of the peer, "
            "divided by that of effcam. All are the shortest of several rounds."
        ),
        columns=[
            "model",
            "method",
            "plain, ms / image",
            "effcam / plain",
            "peer / plain",
            "peer / effcam",
        ],
        rows=[
            [
                label,
                method,
                1000 * min(seconds[PLAIN]),
                lowest_ratio(seconds, OURS, PLAIN),
                lowest_ratio(seconds, PEER, PLAIN) if PEER in seconds else None,
                faster.get((label, method)),
            ]
            for (label, method), seconds in found.items()
        ],
        notes=notes,
        settings={
            "rounds": options.rounds,
            "batch": options.batch,
            "images of slow methods": min(options.batch, options.slow_images),
            "samples": options.samples or "each method's own",
            "clock": options.clock,
            "processes": "one each" if options.apart else "one",
            "image": f"{SIZE} x {SIZE} px",
            "threads": torch.get_num_threads(),
        },
    )


def _write_costs(path: Path, label: str, method: str, seconds: Seconds) -> None:
    """Write what a method costs; all other figures stay."""
    known: dict[str, dict[str, str]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            known = {row["method"]: row for row in csv.DictReader(file)}
    row = known.setdefault(method, {"method": method})
    row[COLUMNS[label]] = f"{lowest_ratio(seconds, OURS, PLAIN):.3g}"
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
    parser.add_argument("--slow-images", type=int, default=8, help="of methods that take minutes")
    parser.add_argument("--slow-rounds", type=int, default=1, help="of methods that take minutes")
    parser.add_argument("--samples", type=int, help="of methods that sample; default: their own")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="time effcam only")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--apart", action="store_true", help="give each way its own process")
    parser.add_argument("--way", choices=(PLAIN, OURS, PEER), default="", help=argparse.SUPPRESS)
    parser.add_argument("--costs", type=Path, help="the file of costs to update")
    measure.add_json_option(parser)
    found = parser.parse_args(argv)
    if found.costs is not None and found.samples is not None:
        parser.error("--costs writes what methods cost with their own numbers of samples")
    return found


if __name__ == "__main__":
    sys.exit(main())
