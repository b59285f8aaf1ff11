"""What one model looked at in one image: one cell of a comparison."""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam import map_checks
from effcam.cam.heat_boxes import hottest_part, hottest_pixels, scale
from effcam.cam.map_checks import PADDING, SHORT, State
from effcam.cam.methods.table import depends_on_target
from effcam.drawing import overlay
from effcam.drawing.defaults import ALPHA, COLORMAP
from effcam.errors import ArgumentError
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.models.facts import RANDOM
from effcam.targets.classes import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

COSINES = ("similarity", "text")
"""What is asked whose value is a cosine."""
PREVIEW_WIDTH = 320
BOX_THRESHOLD = 0.2
"""The share of a map's range above which a box encloses the heat, as in Zhou et al. 2016."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What one model looked at in one image: one cell of a comparison.

    Attributes:
        image: The image, by reference.
        column: The label of its column.
        model: The model's name.
        weights: The source of the model's weights; ``"random"`` if it is untrained.
        method: The method's name.
        target_layer: The dotted name of the target layer.
        target: The index of the class explained; ``None`` if no class was asked for.
        label: Its name, or that of what was asked.
        probability: Its probability, in [0, 1]; NaN if no class was asked for.
        predicted: The index of the most probable class; ``None`` if the model has no classes, or
            its output was asked for as a value.
        predicted_label: Its name; empty without one.
        predicted_probability: Its probability, in [0, 1]; NaN without one.
        heatmap: (h, w) float32, >= 0, at the target layer's own resolution, not scaled. Compare
            heat within a map, not between maps.
        size: Width and height of the image in px.
        region: The part of the image that the model saw, px of the original.
        canvas: What the cells of the heatmap cover, px of the original, from the first cell's edge
            to the last one's. It may be smaller or larger than `frame`; in the rest of the region
            the heat falls to 0 over one cell.
        frame: What the model's input covers, px of the original: the region, and the padding of
            the model's transform beyond the image's edges.
        state: ``"ok"``; ``"flat"`` if no cell stands out as positive evidence; ``"nan"`` if a
            value was not finite. Only ``"ok"`` is drawn as heat.
        model_label: The label of its model, without the method: columns of one model share it.
            `column` by default.
        kind: What was asked (`effcam.targets`): ``"class"``; ``"contrast"`` or ``"sum"`` of several
            classes, where `label` names them all, and `target` and `probability` are those of the
            first; ``"value"``, ``"similarity"``, ``"text"`` or ``"function"``.
        value: The score explained: as the network returns it, without any softmax; a cosine for a
            similarity or a text; NaN if it is not known, as in runs of release 0.1.
        unit: The unit of a value; empty for none.
        asked: The name of the target among several; empty for one alone.
        multi_label: Whether the classes of the model are labels that do not exclude each other:
            each has a probability of its own, and what is predicted is the most probable one.
    """

    image: ImageRef
    column: str
    model: str
    weights: str
    method: str
    target_layer: str
    target: int | None
    label: str
    probability: float
    predicted: int | None
    predicted_label: str
    predicted_probability: float
    heatmap: NDArray[np.float32] = field(repr=False)
    size: tuple[int, int]
    region: Box
    canvas: Box
    frame: Box
    state: State
    model_label: str = ""
    kind: Kind = "class"
    value: float = math.nan
    unit: str = ""
    asked: str = ""
    multi_label: bool = False

    def __post_init__(self) -> None:
        """Use the column's label as the model's where none is given."""
        object.__setattr__(self, "model_label", self.model_label or self.column)

    def __repr__(self) -> str:
        rows, columns = self.heatmap.shape
        return (
            f"Explanation: {self.column} ({self.model}) in {self.image.name!r}\n"
            f"{self.prediction}\n"
            f"map of {self.label!r} by {self.method} at {self.target_layer}, {rows} x {columns}, "
            f"{self.state}\n"
            "next: .overlay(), .upsampled(), .box(), .record()"
        )

    @property
    def untrained(self) -> bool:
        """Whether the model has random weights, so that its heat is meaningless."""
        return self.weights == RANDOM

    @property
    def flags(self) -> tuple[str, ...]:
        """What is unusual about the map.

        ``"flat"`` and ``"nan"`` as in `state`; ``"padding"`` if more than a tenth of the heat lies
        on the transform's padding; ``"border"`` if the hottest cell is at the border of the grid.
        """
        return map_checks.flags(self.heatmap, self.state, self.canvas, self.frame, self.size)

    def evidence(self, width: int, height: int) -> NDArray[np.float32]:
        """Return the map over the image at another size, not scaled to its own range.

        Args:
            width: The width in px.
            height: The height in px.

        Returns:
            (height, width) float32, >= 0, 0 outside `region`; sampled as `upsampled` is.
        """
        return self._spread(width, height)[0]

    def heat(self, width: int, height: int) -> NDArray[np.float32]:
        """Return `upsampled` at another size, as for a smaller copy of the image.

        Args:
            width: The width in px.
            height: The height in px.

        Returns:
            (height, width) float32 in [0, 1], 0 outside `region`.
        """
        heat = np.zeros((height, width), np.float32)
        if self.state != "ok":
            return heat
        spread, inside = self._spread(width, height)
        seen = spread[inside]
        if seen.size and (extent := float(np.ptp(seen))) > 0:
            heat[inside] = (seen - seen.min()) / extent
        return heat

    def upsampled(self) -> NDArray[np.float32]:
        """Return the map over the original image: (H, W) float32 in [0, 1], 0 outside `region`.

        With ``placement="even"`` it equals, within the region, what ``pytorch_grad_cam.GradCAM``
        returns if the image is the model's input: scaled to its own range, bilinear. It is 0 if
        `state` is not "ok".
        """
        return self.heat(*self.size)

    def box(self, *, threshold: float = BOX_THRESHOLD) -> Box | None:
        """Return a box around the heat, px of the original: where the model localises its object.

        Heat above a share of the map's range forms connected parts. This is the smallest box around
        the part with the hottest cell, exact to a fraction of a cell, as the map is interpolated
        like in `overlay`. Boxes around heat above 20 %: Zhou et al. 2016, arXiv:1512.04150, who
        take the largest part. The threshold that fits objects best differs between models: Choe et
        al. 2020, arXiv:2007.04178.

        Args:
            threshold: The share of the map's range, in (0, 1).

        Returns:
            The box, within `region`; ``None`` if `state` is not "ok", or the whole part lies
            outside of what the model saw.

        Raises:
            ArgumentError: If the threshold is impossible.
        """
        if not 0 < threshold < 1:
            raise ArgumentError(f"threshold must lie between 0 and 1, not {threshold!r}")
        if self.state != "ok":
            return None
        return hottest_part(scale(self.heatmap), threshold, self.canvas).intersect(self.region)

    def mask(self, *, threshold: float = BOX_THRESHOLD) -> NDArray[np.bool_]:
        """Return the pixels of the hot part that `box` encloses: (H, W) bool of the original.

        Args:
            threshold: As in `box`.

        Returns:
            All false where there is no box, or it covers no pixel's centre.

        Raises:
            ArgumentError: If the threshold is impossible.
        """
        width, height = self.size
        found = np.zeros((height, width), bool)
        box = self.box(threshold=threshold)
        if box is None:
            return found
        left, top, right, bottom = (round(edge) for edge in box.as_tuple())
        within = np.s_[top:bottom, left:right]
        values = self.evidence(width, height)[within]
        low, high = float(self.heatmap.min()), float(self.heatmap.max())
        level = low + threshold * (high - low)
        if values.size and values.max() >= level:
            found[within] = hottest_pixels(values, level)
        return found

    def overlay(
        self, *, alpha: float = ALPHA, colormap: str = COLORMAP, boxes: bool = False
    ) -> Image.Image:
        """Draw the heat over the original photo, and shade what the model did not see.

        Args:
            alpha: The opacity of the strongest heat, in [0, 1]; weaker heat is more transparent.
            colormap: The name of a matplotlib colour map.
            boxes: Whether to draw the `box` around the heat.

        Raises:
            ImageError: If the image's file is gone.
            ArgumentError: If ``alpha`` or ``colormap`` is impossible.
        """
        return self.over(self.image.photo().picture, alpha=alpha, colormap=colormap, boxes=boxes)

    def over(
        self,
        photo: Image.Image,
        *,
        alpha: float,
        colormap: str,
        boxes: bool = False,
        font: str = "",
    ) -> Image.Image:
        """Draw the `overlay` on a smaller copy of the photo.

        Args:
            photo: The copy, RGB, in the image's proportions.
            alpha: As in `overlay`.
            colormap: As in `overlay`.
            boxes: As in `overlay`.
            font: The font file for a badge; empty for DejaVu Sans.

        Raises:
            ArgumentError: If an argument is impossible.
        """
        across, down = photo.width / self.size[0], photo.height / self.size[1]
        heat = self.heat(*photo.size)
        picture = overlay.overlay(photo, heat, alpha=alpha, colormap=colormap)
        if self.state != "ok":
            picture = overlay.badge(picture, SHORT[self.state], font=font)
        picture = overlay.shade_outside(picture, self.region.scale(across, down).as_tuple())
        box = self.box() if boxes else None
        return (
            picture if box is None else overlay.frame(picture, box.scale(across, down).as_tuple())
        )

    def _repr_html_(self) -> str:
        """Return the photo, the photo with the heat, and a caption as HTML."""
        from effcam.drawing.html_image import embedded

        photo = overlay.fit(self.image.photo().picture, PREVIEW_WIDTH, PREVIEW_WIDTH)
        over = self.over(photo, alpha=ALPHA, colormap=COLORMAP)
        label, share = self.caption()
        rows, columns = self.heatmap.shape
        origin = f"{self.method} at {self.target_layer}, {rows} x {columns}"
        weights = ", random weights: the heat means nothing" if self.untrained else ""
        what = f"{self.column} in {self.image.name}: {label}, {share}"
        return (
            f"<figure>{embedded(photo, self.image.name)} {embedded(over, f'Heat of {what}')}"
            f"<figcaption>{html.escape(what)}<br><small>{html.escape(origin + weights)}</small>"
            "</figcaption></figure>"
        )

    @property
    def prediction(self) -> str:
        """The class predicted and its probability, in words; without one, the value explained."""
        if self.predicted is None:
            return f"{self.label}: {self.value_text}"
        verb = "most probable label" if self.multi_label else "predicts"
        return f"{verb} {self.predicted_label} {percent(self.predicted_probability)}"

    @property
    def value_text(self) -> str:
        """The value explained in words and with its unit, as "cosine 0.83" and "+31.2 years"."""
        if self.kind in COSINES:
            return f"cosine {self.value:z.2f}"  # never -0.00
        return f"{self.value:+z.3g}{f' {self.unit}' if self.unit else ''}"

    @property
    def explained(self) -> str:
        """What the heat is for, in words; empty if the prediction or the value itself says it."""
        if not depends_on_target(self.method) or self.predicted is None:
            return ""
        if self.kind == "sum" and self.target is None:
            return self.label  # no label above a threshold
        if self.kind != "class":
            return f"heat: {self.label} = {self.value_text}"
        if self.target == self.predicted:
            return ""
        return f"heat: {self.label} {percent(self.probability)}"

    def caption(self) -> tuple[str, str]:
        """Return the two lines of the caption: the prediction; its probability and notes.

        Without a prediction: what was asked; its value and notes. Of labels that do not exclude
        each other, the first line is the one asked for.
        """
        if self.asks_other_label:
            most = f"most probable: {self.predicted_label} {percent(self.predicted_probability)}"
            return self.label, self._with_flags(f"{percent(self.probability)} · {most}")
        found = self.predicted is not None
        share = percent(self.predicted_probability) if found else self.value_text
        if self.explained:
            share += f" · {self.explained}"
        return self.predicted_label if found else self.label, self._with_flags(share)

    def _with_flags(self, text: str) -> str:
        return f"{text} · {SHORT[PADDING]}" if PADDING in self.flags else text

    @property
    def asks_other_label(self) -> bool:
        """Whether the heat is for a label that is not the most probable one, and may be there too.

        It is so only for labels that do not exclude each other.
        """
        is_class = self.kind == "class" and depends_on_target(self.method)
        return self.multi_label and is_class and self.target != self.predicted

    def record(self) -> dict[str, object]:
        """Return everything but the heatmap as one flat dict: a row of a table."""
        rows, columns = self.heatmap.shape
        return {
            "image": self.image.name,
            "column": self.column,
            "model": self.model,
            "weights": self.weights,
            "method": self.method,
            "target_layer": self.target_layer,
            "grid": f"{rows}x{columns}",
            "target": self.target,
            "label": self.label,
            "probability": self.probability,
            "kind": self.kind,
            "value": self.value,
            "unit": self.unit,
            "asked": self.asked,
            "multi_label": self.multi_label,
            "predicted": self.predicted,
            "predicted_label": self.predicted_label,
            "predicted_probability": self.predicted_probability,
            "state": self.state,
            "flags": " ".join(self.flags),
            "width": self.size[0],
            "height": self.size[1],
            **{f"region_{edge}": value for edge, value in asdict(self.region).items()},
        }

    def _spread(self, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the map over the image at another size, and which pixels the model saw."""
        across, down = width / self.size[0], height / self.size[1]
        region = self.region.scale(across, down)
        return self.canvas.scale(across, down).spread(self.heatmap, width, height, region)


def percent(probability: float) -> str:
    """Return a probability in percent, small ones with one decimal."""
    return f"{100 * probability:.1f} %" if probability < 0.0995 else f"{100 * probability:.0f} %"
