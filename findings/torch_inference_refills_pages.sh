#!/usr/bin/env bash
# Each forward pass of torch on a CPU gets its memory from the system anew, filled with zeros.
#
# Version: torch 2.14.1, Python 3.11, Linux x86-64 with glibc 2.36.
# Behaviour: glibc maps blocks from 32 MiB on by themselves and unmaps them when they are freed, and
#   gives the free end of its heap back from 64 MiB on. The outputs of the layers of a network are
#   that large for a usual batch, so every pass touches pages that the system has to fill with
#   zeros first. In a virtual machine this took half of the time of a ResNet-50 and more than half
#   of that of an EfficientNet-B0 at batch 16. A network that was trained in the same process
#   before, or a benchmark that ran something larger, leaves the heap in a state in which it does
#   not happen, so that the same pass is up to twice as fast there. MALLOC_TRIM_THRESHOLD_ and
#   MALLOC_MMAP_THRESHOLD_ in the environment avoid it.
# Seen: six convolutions with outputs of 49 MiB: 213,265 new pages of 4 KiB in each pass, 833 MiB,
#   since they also copy to and from a layout of their own; none with the two variables set.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
cat > "$folder/pages.py" <<'PYTHON'
import resource

import torch
from torch import nn

layers = [nn.Conv2d(3, 64, 1), *(nn.Conv2d(64, 64, 1) for _ in range(5))]
network = nn.Sequential(*layers).eval()
images = torch.randn(16, 3, 112, 112)
PASSES = 4
with torch.inference_mode():
    for _ in range(3):
        network(images)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(PASSES):
        network(images)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // PASSES)
PYTHON
usual=$("$folder/venv/bin/python" "$folder/pages.py" 2>/dev/null)
kept=$(MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_MMAP_THRESHOLD_=8589934592 \
    "$folder/venv/bin/python" "$folder/pages.py" 2>/dev/null)
echo "new pages in a pass: $usual; with memory kept: $kept"
test "$usual" -gt 40000 && test "$kept" -lt 5000
