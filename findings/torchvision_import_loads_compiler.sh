#!/usr/bin/env bash
# Importing torchvision imports torch's compiler and SymPy, which importing torch does not.
#
# Version: torchvision 0.29.1, torch 2.14.1, Python 3.11, Linux x86-64.
# Behaviour: torch loads its compiler (torch._dynamo, and SymPy with it) when it is first used. But
#   torchvision/ops/roi_align.py imports one function from torch._dynamo.utils at its top, and
#   torchvision's models import its operators. So any import of torchvision, or of timm, which
#   imports torchvision, loads the compiler, whether or not anything is compiled.
# Seen: after `import torch`, neither torch._dynamo nor sympy is in sys.modules; after `import
#   torchvision`, both are. The import of torchvision takes about as long as that of torch: 0.9 s
#   after 1.0 s on one machine, with bytecode on disk.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.1
"$folder/venv/bin/python" -c "import torch, torchvision" # bytecode is written once
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import time

HEAVY = ("torch._dynamo", "sympy")


def loaded():
    return {name: name in sys.modules for name in HEAVY}


start = time.perf_counter()
import torch  # noqa: E402, F401

torch_seconds, after_torch = time.perf_counter() - start, loaded()
start = time.perf_counter()
import torchvision  # noqa: E402, F401

seconds, after_torchvision = time.perf_counter() - start, loaded()
print(f"after torch: {after_torch}, {torch_seconds:.1f} s")
print(f"after torchvision: {after_torchvision}, {seconds:.1f} s more")
sys.exit(any(after_torch.values()) or not all(after_torchvision.values()))
PYTHON
