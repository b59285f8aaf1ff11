#!/usr/bin/env bash
# datumaro exports each mask drawn in CVAT as a crowd, which COCO tools leave out.
#
# Version: datumaro 1.13.12, pycocotools 2.0.11, Python 3.11, Linux x86-64.
# Behaviour: in COCO, "iscrowd" marks a region of too many objects to draw one by one. Evaluation
#   does not count such regions as objects, and training code commonly drops them. datumaro takes
#   an annotation with a mask for a crowd unless its attribute "is_crowd" says otherwise. CVAT has
#   no such attribute of its own, so masks from its brush are exported as crowds. A polygon of the
#   same object is exported as an object. There is no warning.
# Seen: one mask and one polygon of 12 px each. COCO has the same area for both, iscrowd 1 for the
#   mask and 0 for the polygon; pycocotools finds one object that is no crowd.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datumaro==1.13.12 pycocotools==2.0.11 pillow==12.3.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import contextlib
import io
import logging
import sys
from pathlib import Path

import datumaro
from PIL import Image
from pycocotools.coco import COCO

logging.basicConfig(level=logging.WARNING)
folder = Path(sys.argv[1])
(folder / "cvat/images").mkdir(parents=True)
Image.new("RGB", (12, 8)).save(folder / "cvat/images/image.png")
(folder / "cvat/annotations.xml").write_text("""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>cat</name></label></labels></task></meta>
  <image id="0" name="image.png" width="12" height="8">
    <mask label="cat" source="manual" occluded="0" rle="0, 12" left="1" top="2" width="4"
      height="3" z_order="0"></mask>
    <polygon label="cat" source="manual" occluded="0" points="7,2;11,2;11,5;7,5" z_order="0">
    </polygon>
  </image>
</annotations>
""")
dataset = datumaro.Dataset.import_from(str(folder / "cvat"), "cvat")
dataset.export(str(folder / "coco"), "coco_instances")
(written,) = (folder / "coco").rglob("instances_*.json")
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(str(written))
mask, polygon = coco.loadAnns(coco.getAnnIds())
for name, each in (("mask", mask), ("polygon", polygon)):
    print(f"{name}: area {each['area']:.0f}, box {each['bbox']}, iscrowd {each['iscrowd']}")
objects = coco.getAnnIds(iscrowd=False)
print(f"objects that are no crowd: {len(objects)} of 2")
assert mask["area"] == polygon["area"] == 12
assert (mask["iscrowd"], polygon["iscrowd"]) == (1, 0), "a mask is exported in another way now"
assert len(objects) == 1
PYTHON
