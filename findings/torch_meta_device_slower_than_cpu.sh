#!/usr/bin/env bash
# A pass on the meta device, which computes nothing, takes longer than the pass on the CPU.
#
# Version: torch 2.14.1 and 2.15.0, Python 3.11, Linux x86-64, one thread.
# Behaviour: the meta device is used to learn shapes and to count operations without computing. The
#   meta versions of convolution and SiLU are compiled and fast. Those of batch and group
#   normalisation, GELU and Hardswish are Python functions, decomposed into dozens of smaller ones
#   with checks of their own: several milliseconds per layer, whatever its size. On small inputs,
#   the real pass is several times faster than the one that was to save its cost.
# Seen: 50 layers of Conv2d(32, 32, 3) on 16 x 16 px. Alone: 18 ms on the CPU, 8 ms on meta. Each
#   followed by BatchNorm2d in evaluation mode: 27 and 207 ms; by Hardswish: 13 and 326 ms. Whole
#   networks at 64 px (torchvision): DenseNet-121 31 and 253 ms, MobileNetV3-small 11 and 177 ms.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import statistics
import time

import torch
from torch import nn

torch.set_num_threads(1)


def milliseconds(call):
    call()
    times = []
    for _ in range(15):
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def network(make):
    layers = []
    for _ in range(50):
        layers += [nn.Conv2d(32, 32, 3, padding=1), *make()]
    return nn.Sequential(*layers).eval()


slower = {}
images = torch.rand(1, 32, 16, 16)
for name, make in {
    "convolutions alone": lambda: [],
    "with BatchNorm2d": lambda: [nn.BatchNorm2d(32)],
    "with Hardswish": lambda: [nn.Hardswish()],
    "with SiLU": lambda: [nn.SiLU()],
}.items():
    real = network(make)
    with torch.device("meta"):
        shapes = network(make)
    with torch.no_grad():
        on_cpu = milliseconds(lambda: real(images))
        on_meta = milliseconds(lambda: shapes(images.to("meta")))
    slower[name] = on_meta / on_cpu
    print(f"{name}: {on_cpu:.0f} ms on the CPU, {on_meta:.0f} ms on meta")
assert slower["convolutions alone"] < 1.5, "the convolution's meta version is no longer fast"
assert slower["with BatchNorm2d"] > 2, "batch normalisation is no longer slow on meta"
assert slower["with Hardswish"] > 5, "Hardswish is no longer slow on meta"
PYTHON
