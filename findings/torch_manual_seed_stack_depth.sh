#!/usr/bin/env bash
# torch.manual_seed takes longer the deeper it is called, where no GPU was used yet.
#
# Version: torch 2.14.1 and 2.15.0, Python 3.11, Linux x86-64, no GPU in use.
# Behaviour: besides the CPU's generator, torch.manual_seed seeds those of CUDA, MPS and XPU. A
#   backend that is not initialised keeps the call for later, with the formatted call stack of the
#   caller, for an error message that may never be needed. Formatting reads the source line of
#   each frame, so a call costs milliseconds under a deep stack, such as a test runner's.
#   torch.default_generator.manual_seed seeds the CPU alone in microseconds at any depth.
# Seen: with 2.14.1, 166 us per call at the top and 2,439 us under 200 frames; 1.4 us with
#   default_generator at either depth. Under pytest, seeding 5,500 tests took about ten seconds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import statistics
import time

import torch


def median_us(depth, seed):
    if depth:
        return median_us(depth - 1, seed)
    times = []
    for _ in range(60):
        begin = time.perf_counter()
        seed(0)
        times.append(1e6 * (time.perf_counter() - begin))
    return statistics.median(times)


assert not torch.cuda.is_initialized()
found = {
    (name, depth): median_us(depth, seed)
    for name, seed in (
        ("torch.manual_seed", torch.manual_seed),
        ("torch.default_generator.manual_seed", torch.default_generator.manual_seed),
    )
    for depth in (0, 200)
}
for (name, depth), microseconds in found.items():
    print(f"{name} under {depth} frames: {microseconds:.1f} us")
slower = found["torch.manual_seed", 200] / found["torch.manual_seed", 0]
dearer = found["torch.manual_seed", 200] / found["torch.default_generator.manual_seed", 200]
print(f"200 frames make torch.manual_seed {slower:.0f} times slower; it takes {dearer:.0f} times "
      "as long as the CPU's generator")
assert slower > 5, "the depth of the call stack no longer matters"
assert dearer > 100, "torch.manual_seed is no longer much slower than the CPU's generator"
PYTHON
