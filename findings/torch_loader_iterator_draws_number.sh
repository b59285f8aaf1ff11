#!/usr/bin/env bash
# iter(DataLoader) takes a number from torch's global generator, also without shuffling or workers.
#
# Version: torch 2.14.1, Python 3.11, Linux x86-64.
# Behaviour: the iterator draws a seed for worker processes when it is made, also if there are none.
#   Who only looks at the first batch of a validation set, or makes an iterator and takes nothing,
#   changes all that is random later: dropout, augmentation, the order of the training set. The
#   manual mentions the seed for loaders with workers only. A loader with a generator of its own
#   draws from that instead.
# Seen: the first number after manual_seed(0) is 0.496, after manual_seed(0) and iter(loader) 0.088.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from torch.utils.data import DataLoader


def next_number(loader=None):
    """Return the first random number after a seed, or after a seed and iter(loader)."""
    torch.manual_seed(0)
    if loader is not None:
        iter(loader)
    return torch.rand(()).item()


items = torch.arange(8)
plain = next_number()
after = next_number(DataLoader(items, shuffle=False, num_workers=0))
own = next_number(DataLoader(items, shuffle=False, generator=torch.Generator()))
print(f"after a seed {plain:.3f}, with iter(loader) {after:.3f}, with its own generator {own:.3f}")
assert own == plain
assert after != plain, "an iterator leaves the global generator alone now"
PYTHON
