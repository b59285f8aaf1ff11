#!/usr/bin/env bash
# What gradio's Image shows has other pixels than the image that a function returned.
#
# Version: gradio 6.31.0, Pillow 12.3.0, Python 3.11, Linux x86-64.
# Behaviour: an array or a PIL image that is returned to gr.Image is stored as WebP, which is lossy,
#   with colours at half the resolution. The page and its download button give that file. Masks,
#   class colours and whatever else is read from pixels are wrong. format="png" avoids it.
# Seen: one red column in two on black, read from the server: all pixels differ, by up to 105 of 255
#   levels. With format="png", none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q gradio==6.31.0 pillow==12.3.0 numpy==2.4.6
export GRADIO_ANALYTICS_ENABLED=False HF_HUB_OFFLINE=1 GRADIO_TEMP_DIR="$folder/shown"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import io
import json
import urllib.request

import gradio
import numpy as np
from PIL import Image

pixels = np.zeros((64, 64, 3), np.uint8)
pixels[:, ::2, 0] = 255


def served(**options):
    """Return the pixels that the server gives for an output image."""
    with gradio.Blocks() as page:
        gradio.Button().click(lambda: pixels, None, gradio.Image(**options), api_name="show")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True)
    try:
        call = urllib.request.Request(
            f"{address}gradio_api/call/show",
            data=b'{"data": []}',
            headers={"Content-Type": "application/json"},
        )
        event = json.load(urllib.request.urlopen(call))["event_id"]
        answer = urllib.request.urlopen(f"{address}gradio_api/call/show/{event}").read().decode()
        ((file,)) = json.loads(answer.split("data: ", 1)[1])
        data = urllib.request.urlopen(file["url"]).read()
    finally:
        page.close()
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


found = {}
for name, options in (("by default", {}), ("with format='png'", {"format": "png"})):
    levels = np.abs(served(**options) - pixels)
    found[name] = levels.max()
    share = levels.any(-1).mean()
    print(f"{name}: {share:.0%} of the pixels differ, by up to {levels.max()} levels")
assert found["with format='png'"] == 0
assert found["by default"] > 50, "the image is shown as it is now"
PYTHON
