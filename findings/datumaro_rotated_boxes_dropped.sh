#!/usr/bin/env bash
# datumaro leaves rotated boxes out of COCO, VOC and YOLO exports, so objects become background.
#
# Version: datumaro 1.13.12, Python 3.11, Linux x86-64.
# Behaviour: a box that was rotated in CVAT is read as a rotated box. These three formats have none.
#   The export neither writes the upright box around it nor warns. The image is exported all the
#   same, without the object: for training, an example of pure background.
# Seen: one image with one box. Upright: one object in each format. Rotated by 30 degrees: one
#   RotatedBbox in the dataset, no object in any of the three. Nothing is logged at level warning or
#   above.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datumaro==1.13.12 pillow==12.3.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import logging
import sys
from pathlib import Path

import datumaro
from PIL import Image

logged = []
handler = logging.Handler(logging.WARNING)
handler.emit = logged.append
logging.getLogger().addHandler(handler)


def exported(folder, rotation):
    """Return the kinds of annotations read from CVAT, and how many objects each format has."""
    (folder / "cvat/images").mkdir(parents=True)
    Image.new("RGB", (60, 40)).save(folder / "cvat/images/image.png")
    (folder / "cvat/train.xml").write_text(f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
  <meta><task><labels><label><name>cat</name></label></labels></task></meta>
  <image id="0" name="image.png" width="60" height="40"><box label="cat" source="manual"
    occluded="0" xtl="20" ytl="10" xbr="40" ybr="30" {rotation} z_order="0"></box></image>
</annotations>
""")
    dataset = datumaro.Dataset.import_from(str(folder / "cvat"), "cvat")
    for name in ("coco_instances", "voc_detection", "yolo"):
        dataset.export(str(folder / name), name)

    def texts(name, pattern):
        return [each.read_text() for each in (folder / name).rglob(pattern)]

    (item,) = dataset
    return [type(each).__name__ for each in item.annotations], {
        "COCO": len(json.loads(*texts("coco_instances", "instances_*.json"))["annotations"]),
        "VOC": "".join(texts("voc_detection", "*.xml")).count("<object>"),
        "YOLO": len("".join(texts("yolo", "image.txt")).splitlines()),
    }


folder = Path(sys.argv[1])
upright = exported(folder / "upright", "")
rotated = exported(folder / "rotated", 'rotation="30.00"')
print(f"upright box: {upright}; rotated box: {rotated}; warnings: {len(logged)}")
assert upright == (["Bbox"], {"COCO": 1, "VOC": 1, "YOLO": 1})
assert rotated == (["RotatedBbox"], {"COCO": 0, "VOC": 0, "YOLO": 0}), "it is exported now"
assert not logged, "the export warns now"
PYTHON
