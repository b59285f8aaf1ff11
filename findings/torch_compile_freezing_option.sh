#!/usr/bin/env bash
# Freezing weights has no effect as an option of torch.compile, and in the configuration it leaves
# the ninth and later blocks of a network uncompiled.
#
# Version: torch 2.14.1, Python 3.11, Linux x86-64, with a C++ compiler.
# Behaviour: module.compile(options={"freezing": True}) is accepted, but freezes nothing: the
#   weights of modules are inputs of the compiled code by then, so that it still follows when they
#   change, and none of the gains of freezing (packed weights) are there. With
#   torch._inductor.config.freezing = True the weights are constants. Then each of several blocks
#   of one class, as a transformer has, is compiled anew, until recompile_limit (8) is reached: the
#   remaining blocks run uncompiled, and a log line is the only sign.
# Seen: of twelve equal blocks, one graph serves all with the option; with the configuration eight
#   are compiled and four are not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6 setuptools
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import sys

import torch
import torch._inductor.config
from torch import nn
from torch._dynamo.utils import counters

BLOCKS = 12


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 16)

    def forward(self, tokens):
        return tokens + torch.relu(self.linear(tokens))


@torch.no_grad()
def run(configured):
    """Return the number of compiled graphs, and whether the first block follows its weights."""
    torch.compiler.reset()
    counters.clear()
    torch._inductor.config.freezing = configured
    blocks = [Block().eval().requires_grad_(False) for _ in range(BLOCKS)]
    for each in blocks:
        each.compile(options=None if configured else {"freezing": True})
    tokens = torch.randn(2, 16)
    before = [each(tokens) for each in blocks][0]
    blocks[0].linear.weight.add_(1)
    return counters["stats"]["unique_graphs"], not torch.equal(blocks[0](tokens), before)


found = {}
for configured in (False, True):
    graphs, follows = found[configured] = run(configured)
    how = "in the configuration" if configured else "as an option"
    print(f"freezing {how}: {graphs} graphs for {BLOCKS} blocks, weights still read: {follows}")
sys.exit(found != {False: (1, True), True: (8, False)})
PYTHON
