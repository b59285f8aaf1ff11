"""What one model looked at in one image: one cell of a comparison."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from effcam import draw, health
from effcam.geometry import Box
from effcam.health import PADDING, SHORT, State
from effcam.images import ImageRef

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

CLASSLESS = ("eigencam",)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What one model looked at in one image: one cell of a comparison.

    Attributes:
        image: The image, by reference.
        column: The label of the column it stands in.
        model: The model's name.
        weights: Where the model's weights are from; ``"random"`` if it is untrained.
        method: The method's name.
        target_layer: The dotted name of the layer looked at.
        target: The index of the class explained.
        label: Its name.
        probability: Its probability, in [0, 1].
        predicted: The index of the most probable class.
        predicted_label: Its name.
        predicted_probability: Its probability, in [0, 1].
        heatmap: (h, w) float32, >= 0, at the target layer's own resolution, not scaled. Heat
            compares within a map, not between maps.
        size: Width and height of the image in px.
        region: The part of the image that the model saw, px of the original.
        canvas: What the heatmap covers, px of the original: the region, and beyond the image's
            edges what the model's transform padded.
        state: ``"ok"``; ``"flat"`` if no cell stands out as positive evidence; ``"nan"`` if the
            method gave values that are not finite. Only ``"ok"`` is drawn as heat.
    """

    image: ImageRef
    column: str
    model: str
    weights: str
    method: str
    target_layer: str
    target: int
    label: str
    probability: float
    predicted: int
    predicted_label: str
    predicted_probability: float
    heatmap: NDArray[np.float32] = field(repr=False)
    size: tuple[int, int]
    region: Box
    canvas: Box
    state: State

    @property
    def flags(self) -> tuple[str, ...]:
        """What is odd about the map.

        ``"flat"`` and ``"nan"`` as in `state`; ``"padding"`` if more than a tenth of the heat lies
        where the transform padded; ``"border"`` if the hottest cell is at the border of the grid.
        """
        return health.flags(self.heatmap, self.state, self.canvas, self.size)

    def evidence(self, width: int, height: int) -> NDArray[np.float32]:
        """Returns the map over the image at another size, not scaled to its own range.

        Args:
            width: The width in px at which to lay it out.
            height: The height in px.

        Returns:
            (height, width) float32, >= 0, 0 outside `region`; sampled as `upsampled` is.
        """
        across, down = width / self.size[0], height / self.size[1]
        spread, _ = self.canvas.scale(across, down).spread(self.heatmap, width, height)
        return spread

    def upsampled(self) -> NDArray[np.float32]:
        """Returns the map over the original image: (H, W) float32 in [0, 1], 0 outside `region`.

        Within the region it is what ``pytorch_grad_cam.GradCAM`` returns for an image that is
        the model's input: scaled to its own range, bilinear. It is 0 where `state` is not "ok".
        """
        return self._heat(self.canvas, *self.size)

    def overlay(self, *, alpha: float = 0.5, colormap: str = "turbo") -> Image.Image:
        """Returns the original photo with the heat over it, what the model did not see shaded.

        Args:
            alpha: The opacity of the strongest heat, in [0, 1]; weaker heat is more transparent.
            colormap: The name of a matplotlib colour map.

        Raises:
            ImageError: If the image's file is gone.
            ArgumentError: If ``alpha`` or ``colormap`` is impossible.
        """
        return self.over(self.image.open(), alpha=alpha, colormap=colormap)

    def over(
        self, photo: Image.Image, *, alpha: float, colormap: str, font: str = ""
    ) -> Image.Image:
        """Returns what `overlay` does, on a smaller copy of the photo.

        Args:
            photo: The copy.
            alpha: As in `overlay`.
            colormap: As in `overlay`.
            font: The file of the font in which it is said that there is no map; DejaVu Sans if
                it is empty.
        """
        across, down = photo.width / self.size[0], photo.height / self.size[1]
        heat = self._heat(self.canvas.scale(across, down), *photo.size)
        picture = draw.overlay(photo, heat, alpha=alpha, colormap=colormap)
        if self.state != "ok":
            picture = draw.badge(picture, SHORT[self.state], font=font)
        return draw.shade_outside(picture, self.region.scale(across, down).as_tuple())

    def caption(self) -> tuple[str, str]:
        """Returns two lines to write under it: the prediction; its share, and what is explained."""
        share = _percent(self.predicted_probability)
        if self.target != self.predicted and self.method not in CLASSLESS:
            share += f" · heat: {self.label} {_percent(self.probability)}"
        if PADDING in self.flags:
            share += f" · {SHORT[PADDING]}"
        return self.predicted_label, share

    def record(self) -> dict[str, object]:
        """Returns everything but the heatmap as one flat dict, a row of a table."""
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
            "predicted": self.predicted,
            "predicted_label": self.predicted_label,
            "predicted_probability": self.predicted_probability,
            "state": self.state,
            "flags": " ".join(self.flags),
            "width": self.size[0],
            "height": self.size[1],
            **{f"region_{edge}": value for edge, value in asdict(self.region).items()},
        }

    def _heat(self, canvas: Box, width: int, height: int) -> NDArray[np.float32]:
        """Returns the heat on an image of a size in which ``canvas`` is where the map lies."""
        heat = np.zeros((height, width), np.float32)
        if self.state != "ok":
            return heat
        spread, inside = canvas.spread(self.heatmap, width, height)
        seen = spread[inside]
        if seen.size and (extent := float(np.ptp(seen))) > 0:
            heat[inside] = (seen - seen.min()) / extent
        return heat


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %" if probability < 0.0995 else f"{100 * probability:.0f} %"
