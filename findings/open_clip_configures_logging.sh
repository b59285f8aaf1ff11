#!/usr/bin/env bash
# open_clip.create_model sets up logging for the whole process.
#
# Version: open_clip_torch 3.0.0 and 3.3.0, Python 3.11, Linux x86-64.
# Behaviour: it calls logging.warning and logging.info of the module, not of a logger of its own.
#   Where the root logger has no handler, these call logging.basicConfig, which adds one that writes
#   to stderr. A program that sets up logging later with basicConfig then finds it done, and its
#   own settings have no effect.
# Seen: one handler after a model was created, and a later basicConfig(level=DEBUG) that changes
#   nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q open_clip_torch==3.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import logging

import open_clip

before = list(logging.getLogger().handlers)
open_clip.create_model("ViT-S-32-alt")
after = list(logging.getLogger().handlers)
print(f"handlers of the root logger: {before}, then {after}")
logging.basicConfig(level=logging.DEBUG)
level = logging.getLevelName(logging.getLogger().level)
print(f"level after basicConfig(level=DEBUG): {level}")
assert not before
assert after, "the root logger stays as it was now"
assert level == "WARNING"
PYTHON
