"""A model that is ready to run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from effcam.images.preprocess import Preprocess
from effcam.images.truth import NamedClass
from effcam.models.architectures import JOINT
from effcam.models.class_names import find_class
from effcam.models.text_encoder import TextEncoder
from effcam.models.tracing.pitch import find_pitch
from effcam.models.tracing.placement import HowPlaced, Placement
from effcam.models.tracing.runners import device_of, dtype_of
from effcam.models.tracing.score_source import ScoreSource
from effcam.models.tracing.target_layer import TargetLayer, usable_layers
from effcam.models.tracing.trace import trace
from effcam.models.training_stage import TrainingStage


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network that is ready to run, with all that is needed to explain it.

    Attributes:
        name: Its name: ``"timm:resnet18.a1_in1k"``, a spec's name, a module's class.
        module: The module itself, without wrappers for parallel or compiled running.
        target_layers: The layer to look at, with its layout and the reason why it was chosen;
            several where the network works on several maps side by side.
        preprocess: The transform from a photo to its input.
        labels: The name to show for each class, by class index; empty if it has no classes.
        synonyms: All names of each class, by class index.
        weights: Where its weights are from: published ones by name, a file, ``"random"``, or
            ``"as given"`` for a module that the caller made.
        scores: What it returns, class scores or others, and where that is read: at its output; or
            before its last softmax or sigmoid, if it returns probabilities; and the function from
            scores to probabilities.
        bypass: The share of what the scores depend on that goes past the target layers' maps, in
            [0, 1]: how far the scores still move from one picture's to another's while the cells
            are held; 0 where all evidence passes through them; ``None`` if it is not known.
        notes: What the maps of these layers do not show, in sentences; empty if nothing is to be
            noted.
        text: Its text tower, with its tokenizer; ``None`` if it has none.
        training: At which point of training its weights were saved; ``None`` if that is not known.
    """

    name: str
    module: nn.Module
    target_layers: tuple[TargetLayer, ...]
    preprocess: Preprocess
    labels: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    weights: str
    scores: ScoreSource = field(default_factory=ScoreSource)
    bypass: float | None = None
    notes: tuple[str, ...] = ()
    text: TextEncoder | None = None
    training: TrainingStage | None = None

    def __repr__(self) -> str:
        height, width = self.preprocess.size
        asks = "" if self.scores.has_classes else ", target=..."
        return (
            f"Model: {self.name}, weights: {self.weights}\n"
            f"{self._returns}, input {self.preprocess.channels} x {height} x {width}\n"
            + "\n".join(f"target layer {layer}" for layer in self.target_layers)
            + f"\nnext: effcam.compare(images, [model]{asks}); model.layers() lists other layers"
        )

    @property
    def _returns(self) -> str:
        if self.multi_label:
            return f"{self.num_classes:,} labels, each with a probability of its own"
        if self.scores.has_classes:
            return f"{self.num_classes:,} classes"
        if self.scores.outputs == "embedding":
            return f"no classes, embeddings of {self.scores.classes} values"
        return "no classes"

    @property
    def multi_label(self) -> bool:
        """Whether its classes are labels that do not exclude each other.

        Each has a probability of its own, the sigmoid of its score; together they are not 1.
        """
        return self.scores.multi_label

    @property
    def target_layer(self) -> str:
        """The dotted name of the layer to look at; of several, their names joined by " + "."""
        return JOINT.join(layer.name for layer in self.target_layers)

    @property
    def layer(self) -> TargetLayer:
        """The layer to look at; of several, the one whose map has most cells."""
        return max(self.target_layers, key=lambda layer: math.prod(layer.grid))

    def layers(self) -> tuple[TargetLayer, ...]:
        """Return every layer that can be looked at, in order of execution.

        The layers of `target_layer` have a ``reason``; it is empty for all others.

        >>> import effcam
        >>> model = effcam.load_model("resnet18", pretrained=False)
        >>> for layer in model.layers()[-3:]:
        ...     print(layer)
        layer4.1.act2  NCHW  512 x 7 x 7
        layer4.1  NCHW  512 x 7 x 7
        layer4  NCHW  512 x 7 x 7  <- features entering the head
        """
        preprocess = self.preprocess
        record = trace(self.module, preprocess.size, preprocess.channels, graph=True)
        record.expected, record.outputs = self.scores.classes, self.scores.outputs
        chosen = {layer.name: layer for layer in self.target_layers}
        return tuple(chosen.get(layer.name, layer) for layer in usable_layers(record))

    @property
    def placement(self) -> Placement:
        """Where the cells of its maps lie in its input, measured on its weights.

        The first time it takes about as long as 40 passes of one image, and is kept on disk for
        networks of torchvision and timm. The offset is 0 where it cannot be measured.

        Raises:
            ModelError: If the network fails.

        >>> import effcam
        >>> print(effcam.load_model("demo_alexnet").placement)
        6 x 6 cells, 16 px apart, offset -5.4 +- 1.0 px down, -3.7 +- 1.1 px across
        """
        return self.placed("measured")

    def placed(self, how: HowPlaced) -> Placement:
        """Return where the cells of its maps lie in its input.

        Several target layers have one map, on the cells of `layer`.

        Args:
            how: ``"even"`` if the cells divide the input evenly; ``"pitch"`` if they lie one stride
                of the network apart, as far as that is known; ``"measured"`` as `placement`.

        Raises:
            ModelError: If the network fails.
        """
        size, layer = self.preprocess.size, self.layer
        placement = Placement.even(layer.grid, size)
        if how == "even":
            return placement
        pitch = find_pitch(self.module, layer, size, self.preprocess.channels)
        if pitch is not None:
            placement = replace(placement, pitch=pitch)
        if how == "pitch":
            return placement
        # Few need it.
        from effcam.models.tracing.known_offsets import offset_of
        from effcam.models.tracing.offset import measure_offset

        offset = offset_of(
            self.module,
            layer,
            self.preprocess,
            lambda: measure_offset(
                self.module, layer, self.preprocess, placement.pitch, self.scores
            ),
        )
        if offset is None:
            return placement
        return replace(placement, offset=offset.shift, error=offset.error)

    @property
    def channels_last(self) -> bool:
        """Whether its convolutions' weights lie in memory with the channels innermost.

        Its inputs are then laid out in the same way, which makes convolutions faster.
        """
        weights = (each.weight for each in self.module.modules() if isinstance(each, nn.Conv2d))
        return any(
            each.is_contiguous(memory_format=torch.channels_last) and not each.is_contiguous()
            for each in weights
        )

    @property
    def num_classes(self) -> int:
        """The number of classes; 0 if it has none."""
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return device_of(self.module)

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of its weights."""
        return dtype_of(self.module)

    def find_class(self, target: int | str | NamedClass) -> int:
        """Return the index of a class that is given by index or by any of its names.

        Args:
            target: An index from 0, or a name: of this exact spelling if there is one, else in any
                case. For classes of ImageNet, ids of WordNet ("n02123045") are names too. Text of
                digits is the class of that name or, where no class is called by digits, the index.

        Raises:
            TargetError: If there is no such class, or the name stands for several.
        """
        return find_class(target, self.labels, self.synonyms, owner=self.name)
