#!/usr/bin/env bash
# datumaro changes attribute values of a CVAT file, such as "007" or "1_000", into numbers.
#
# Version: datumaro 1.13.12, Python 3.11, Linux x86-64.
# Behaviour: CVAT's attributes of type "select" and "radio" are texts chosen from a list. datumaro
#   hands each to Python's float, and keeps the number where that succeeds: leading zeros are lost,
#   an underscore separates thousands, "1e3" is a thousand, and "nan" is no longer equal to itself.
#   Exported to CVAT again, the number is written, which the attribute's list does not contain.
# Seen: 007 comes back as 7.0, 1_000 as 1000.0, 1e3 as 1000.0 too, and nan as nan; A7 stays.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datumaro==1.13.12 pillow==12.3.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import re
import sys
from pathlib import Path

import datumaro
from PIL import Image

VALUES = ["007", "1_000", "1e3", "nan", "A7"]
folder = Path(sys.argv[1])
(folder / "cvat/images").mkdir(parents=True)
Image.new("RGB", (12, 8)).save(folder / "cvat/images/image.png")
boxes = "".join(
    f'<box label="cat" source="manual" occluded="0" xtl="{x}" ytl="1" xbr="{x + 1}" ybr="5" '
    f'z_order="0"><attribute name="code">{value}</attribute></box>'
    for x, value in enumerate(VALUES)
)
choices = "\n".join(VALUES)
(folder / "cvat/annotations.xml").write_text(f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>cat</name><attributes><attribute><name>code</name>
    <mutable>False</mutable><input_type>select</input_type><default_value>A7</default_value>
    <values>{choices}</values></attribute></attributes></label></labels></task></meta>
  <image id="0" name="image.png" width="12" height="8">{boxes}</image>
</annotations>
""")
dataset = datumaro.Dataset.import_from(str(folder / "cvat"), "cvat")
dataset.export(str(folder / "again"), "cvat")
(written,) = (folder / "again").glob("*.xml")
again = re.findall('<attribute name="code">(.*?)</attribute>', written.read_text())
(item,) = dataset
for value, annotation, text in zip(VALUES, item.annotations, again, strict=True):
    print(f"{value}: read as {annotation.attributes['code']!r}, written as {text}")
assert again == ["7.0", "1000.0", "1000.0", "nan", "A7"], "attributes are read in another way now"
assert item.annotations[3].attributes["code"] != "nan"
PYTHON
