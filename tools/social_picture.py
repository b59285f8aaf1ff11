"""Draw the preview picture of links to the documentation, ``docs/_static/social.png``.

``python tools/social_picture.py`` draws it from demo scenes and models, always the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import effcam

SIZE = (1200, 630)
COLUMNS = ("densenet", "resnet", "EB0", "EB3")
MARGIN, GAP, CELL = 60, 16, 258
GROUND, TEXT, FAINT = "#14181f", "#ffffff", "#b6c0cf"


def draw() -> Image.Image:
    """Return the picture: a scene under four models, below a line about effcam."""
    scene = effcam.demo.scenes(8, seed=3, size=512)[1]
    models = {label: effcam.demo.MODELS[label] for label in COLUMNS}
    comparison = effcam.compare(scene, models, progress=False)
    picture = Image.new("RGB", SIZE, GROUND)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, 48), "effcam", TEXT, font=ImageFont.load_default(92))
    words = "Shows, side by side, what image classifiers look at"
    pen.text((MARGIN, 168), words, FAINT, font=ImageFont.load_default(40))
    for at, label in enumerate(COLUMNS):
        left, top = MARGIN + at * (CELL + GAP), 262
        picture.paste(comparison[0, label].overlay().resize((CELL, CELL)), (left, top))
        pen.text((left, top + CELL + 12), label, FAINT, font=ImageFont.load_default(28))
    return picture


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(__file__).parents[1] / "docs" / "_static" / "social.png"
    parser.add_argument("-o", "--output", type=Path, default=default)
    output: Path = parser.parse_args().output
    # 128 colours make a third of the file size; the picture is shown at a third of its width.
    draw().quantize(128, dither=Image.Dither.FLOYDSTEINBERG).save(output, optimize=True)


if __name__ == "__main__":
    main()
