"""Measure the offsets of the demo models again: ``python tools/demo_offsets.py``.

Writes ``src/effcam/models/tracing/demo_offsets.json``. Run it after ``tools/train_demo.py``, and
after a change of `effcam.models.tracing.offset` or of what an offset's key stands for.
"""

from __future__ import annotations

import json

from effcam import load_model
from effcam.demo.models import MODELS
from effcam.models.tracing.known_offsets import SHIPPED, offset_key
from effcam.models.tracing.offset import Offset, measure_offset


def measure() -> dict[str, Offset | None]:
    """Return the offset of each demo model, by its key."""
    found = {}
    for name in MODELS.values():
        model = load_model(name, device="cpu")
        key = offset_key(model.module, model.layer, model.preprocess)
        if key is None:
            raise SystemExit(f"{name} has parts of other packages: its offset has no key")
        found[key] = measure_offset(
            model.module, model.layer, model.preprocess, model.placed("pitch").pitch, model.scores
        )
    return found


def _lines(offsets: dict[str, Offset | None]) -> str:
    """Return JSON with a line for each offset."""
    lines = [f"{json.dumps(key)}: {json.dumps(offset)}" for key, offset in offsets.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    SHIPPED.write_text(_lines(measure()), "utf-8")
