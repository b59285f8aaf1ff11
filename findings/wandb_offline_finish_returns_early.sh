#!/usr/bin/env bash
# In W&B's offline mode, finish() can return before anything of the run is in its file.
#
# Version: wandb 0.31.0, Python 3.11, Linux x86-64.
# Behaviour: another process writes the file run-ID.wandb. finish() does not always wait for it. Who
#   copies or syncs the file then, as at the end of a job, may get one of 7 bytes, without an error.
#   The file is complete a moment later, or after wandb.teardown(), which ends that process.
# Seen: after finish(), about a file in ten has 7 bytes; after teardown() all have over 1,000.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q wandb==0.31.0
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import wandb

RUNS = 100
settings = wandb.Settings(console="off", silent=True)


def size(run):
    (file,) = Path(sys.argv[1], "wandb").rglob(f"run-{run.id}.wandb")
    return file.stat().st_size


runs, early = [], []
for _ in range(RUNS):
    run = wandb.init(project="project", mode="offline", dir=sys.argv[1], settings=settings)
    run.log({"loss": 1.0})
    run.finish()
    early.append(size(run))
    runs.append(run)
wandb.teardown()
late = [size(run) for run in runs]
short = [before for before, after in zip(early, late, strict=True) if before < after]
print(f"{len(short)} of {RUNS} files grow after finish(): {set(short)} bytes, later {min(late)}")
assert min(late) > 1000
assert short, "finish() waits for the file now"
PYTHON
