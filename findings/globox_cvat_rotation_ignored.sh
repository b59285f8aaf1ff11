#!/usr/bin/env bash
# globox reads a box that was rotated in CVAT as if it had not been.
#
# Version: globox 2.9.0, Python 3.11, Linux x86-64.
# Behaviour: CVAT stores a rotated box as the upright box before the rotation, with the angle in an
#   attribute. globox reads the corners and not the angle. Whatever is written or evaluated then has
#   a box of the right size in the wrong direction. There is no warning.
# Seen: a box of 100 x 20 px about (60, 50), rotated by 90 degrees, so that it covers x 50 to 70 and
#   y 0 to 100. Read as x 10 to 110, y 40 to 60. The overlap (IoU) of the two is 0.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q globox==2.9.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

from globox import AnnotationSet, BoundingBox

path = Path(sys.argv[1]) / "annotations.xml"
path.write_text("""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <image id="0" name="image.png" width="120" height="100">
    <box label="cat" source="manual" occluded="0" xtl="10.00" ytl="40.00" xbr="110.00" ybr="60.00"
      rotation="90.00" z_order="0"></box>
  </image>
</annotations>
""")
(image,) = AnnotationSet.from_cvat(path)
(box,) = image.boxes
drawn = BoundingBox(label="cat", xmin=50, ymin=0, xmax=70, ymax=100)
print(f"drawn {drawn.ltrb}, read {box.ltrb}, overlap (IoU) {drawn.iou(box):.2f}")
assert box.ltrb == (10, 40, 110, 60), "the rotation is read now"
PYTHON
