#!/usr/bin/env bash
# copy.deepcopy of a torch.fx GraphModule loses its hooks, its attributes and its class name.
#
# Version: torch 2.14.1 and 2.15.0, Python 3.11, Linux x86-64.
# Behaviour: the copy of a plain module keeps its hooks and the attributes that were set on it. The
#   copy of a traced module computes the same, but hooks that were registered on the traced module
#   itself no longer run, and its attributes other than parameters, buffers and submodules are gone.
#   Hooks on submodules stay. The class bore the name of the traced class before and is GraphModule
#   after, so code that goes by type(model).__name__ no longer recognises the model.
# Seen: the original runs the hooks "before", "layer" and "after"; the copy runs "layer" alone and
#   has no class_names. Original: class Network; copy: class GraphModule.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import copy

import torch
from torch import fx, nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x).relu()


def of_copy(model):
    """Return the copy's class name, the hooks that run, and whether the attribute is there."""
    ran = []
    model.register_forward_pre_hook(lambda *_: ran.append("before"))
    model.layer.register_forward_hook(lambda *_: ran.append("layer"))
    model.register_forward_hook(lambda *_: ran.append("after"))
    model.class_names = ["cat", "dog"]
    inputs = torch.ones(1, 2)
    expected = model(inputs)
    assert ran == ["before", "layer", "after"]
    ran.clear()
    copied = copy.deepcopy(model)
    assert torch.equal(copied(inputs), expected)
    return type(copied).__name__, ran, hasattr(copied, "class_names")


traced = fx.symbolic_trace(Network())
print(f"class of the traced module: {type(traced).__name__}")
assert type(traced).__name__ == "Network"
plain, traced = of_copy(Network()), of_copy(traced)
for name, (kind, hooks, kept) in (("plain", plain), ("traced", traced)):
    print(f"copy of the {name} module: class {kind}, hooks run {hooks}, attribute kept: {kept}")
assert plain == ("Network", ["before", "layer", "after"], True)
assert traced == ("GraphModule", ["layer"], False), "the copy of a traced module keeps more now"
PYTHON
