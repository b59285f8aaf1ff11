#!/usr/bin/env bash
# Label Studio exports one rotated rectangle as three different boxes, two of them wrong.
#
# Version: label-studio-sdk 2.1.2 (its converter), Python 3.11, Linux x86-64.
# Behaviour: Label Studio stores boxes in percent of the image's sides. The COCO export rotates
#   these percentages as if they were pixels, so on an image that is not square the box lands
#   elsewhere. The YOLO export leaves the rotation out. The oriented YOLO export is right. None of
#   them says a word.
# Seen: 400 x 100 px, a box of 80 x 20 px at (200, 20), rotated by 90 degrees about that corner, so
#   that it covers x 180 to 200 and y 20 to 100. COCO: x 120 to 200, y 20 to 40. YOLO: x 200 to 280,
#   y 20 to 40. The YOLO box does not overlap the drawn one at all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q label-studio-sdk==2.1.2
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter
from PIL import Image

WIDTH, HEIGHT = 400, 100
DRAWN = [180, 20, 200, 100]
folder = Path(sys.argv[1])
Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "image.png")
box = {"x": 50, "y": 20, "width": 20, "height": 20, "rotation": 90, "rectanglelabels": ["cat"]}
result = {
    "id": "box", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
    "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "value": box,
}
task = {
    "id": 1,
    "data": {"image": str(folder / "image.png")},
    "annotations": [{"id": 1, "completed_by": 1, "result": [result]}],
}
(folder / "tasks.json").write_text(json.dumps([task]))
converter = Converter(
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="label" toName="image"><Label value="cat"/></RectangleLabels></View>',
    str(folder),
    upload_dir=str(folder),
)
tasks = str(folder / "tasks.json")

converter.convert_to_coco(tasks, str(folder / "coco"), is_dir=False)
x, y, w, h = json.loads((folder / "coco/result.json").read_text())["annotations"][0]["bbox"]
coco = [round(each) for each in (x, y, x + w, y + h)]

converter.convert_to_yolo(tasks, str(folder / "yolo"), is_dir=False)
x, y, w, h = map(float, (folder / "yolo/labels/image.txt").read_text().split()[1:])
yolo = [(x - w / 2) * WIDTH, (y - h / 2) * HEIGHT, (x + w / 2) * WIDTH, (y + h / 2) * HEIGHT]
yolo = [round(each) for each in yolo]

converter.convert_to_yolo(tasks, str(folder / "oriented"), is_dir=False, is_obb=True)
corners = list(map(float, (folder / "oriented/labels/image.txt").read_text().split()[1:]))
xs, ys = corners[::2], corners[1::2]
oriented = [min(xs) * WIDTH, min(ys) * HEIGHT, max(xs) * WIDTH, max(ys) * HEIGHT]
oriented = [round(each) for each in oriented]

print(f"drawn {DRAWN}; COCO {coco}; YOLO {yolo}; box around the oriented YOLO corners {oriented}")
assert oriented == DRAWN, "the oriented export changed"
assert coco == [120, 20, 200, 40], "the COCO export changed"
assert yolo == [200, 20, 280, 40], "the YOLO export changed"
PYTHON
