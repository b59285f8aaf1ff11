#!/usr/bin/env bash
# torch's autocast casts the weights of a frozen module in every pass, those of a trainable one once.
#
# Version: torch 2.14.1, Python 3.11, Linux x86-64.
# Behaviour: within one torch.autocast block, the half-precision copy of a weight is kept and used
#   again, but only if the weight requires a gradient. After requires_grad_(False), which is usual
#   for inference and for feature extractors, each pass casts every weight anew, also under
#   torch.no_grad() and with cache_enabled=True. Where weights are large beside the batch, as in
#   AlexNet or VGG, the casts take longer than half precision saves. Converting the weights once,
#   with module.to(torch.bfloat16), or leaving them trainable under torch.no_grad(), avoids it.
# Seen: three passes of a linear layer cast its weight once if it requires a gradient, and three
#   times if it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

WEIGHT = (64, 32)


class Casts(TorchDispatchMode):
    """Count how often a tensor of the weight's shape is cast."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten._to_copy.default and args[0].shape == WEIGHT:
            self.count += 1
        return operation(*args, **(kwargs or {}))


found = {}
for trainable in (True, False):
    layer = nn.Linear(WEIGHT[1], WEIGHT[0]).requires_grad_(trainable)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), Casts() as casts:
        for _ in range(3):
            layer(torch.randn(2, WEIGHT[1]))
    found[trainable] = casts.count
    print(f"requires_grad={trainable}: {casts.count} casts of the weight in three passes")
sys.exit(found != {True: 1, False: 3})
PYTHON
