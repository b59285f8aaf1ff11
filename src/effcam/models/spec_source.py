"""Models that effcam builds: an architecture or a constructor, and a spec's changes to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from effcam.errors import ArgumentError, ModelError, WeightsError
from effcam.images.preprocess import Preprocess
from effcam.models.built_module import (
    BuiltModule,
    ChangePreprocess,
    Synonyms,
    check_preprocess,
    stated_preprocess,
)
from effcam.models.checkpoint import Checkpoint, check_checkpoint, read_checkpoint
from effcam.models.constructor import Constructor
from effcam.models.downloads import PublishedWeights
from effcam.models.facts import RANDOM
from effcam.models.image_tower import (
    MakeTokenizer,
    has_two_towers,
    image_tower,
    own_tokenizer,
    text_encoder,
)
from effcam.models.imagenet import synonyms_of
from effcam.models.link import own_link
from effcam.models.lookup import Architecture
from effcam.models.registry import ModelSpec
from effcam.models.skip_init import skip_init
from effcam.models.state_dict import count_classes, fit, rename_old, select
from effcam.models.stored_architecture import StoredArchitecture
from effcam.models.text_image_architecture import TextImageArchitecture
from effcam.models.timm_architecture import module_preprocess
from effcam.models.torchvision_architecture import TorchvisionArchitecture
from effcam.models.tracing.isolation import exclusive
from effcam.models.tracing.logits import Outputs
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.wrappers import own_labels

OTHER_CLASSES = 1009
"""A number of classes that hardly any head has."""
# Options that change neither the layers' names nor the maps that the head reads.
USUAL = {"num_classes", "in_chans", "img_size", "image_size", "drop_rate", "transform_input"}


@dataclass(frozen=True, slots=True)
class SpecSource:
    """A model that effcam builds: an architecture or a constructor, and a spec's changes to it.

    Attributes:
        name: The model's name.
        spec: The spec.
        origin: The library's architecture, or the caller's constructor.
        pretrained: Whether published weights are loaded; some architectures have none.
    """

    name: str
    spec: ModelSpec
    origin: Architecture | Constructor
    pretrained: bool

    @property
    def is_new(self) -> bool:
        """Whether each build is a new network; a caller's constructor may return one it keeps."""
        return not isinstance(self.origin, Constructor) or self.origin.is_own

    def published(self) -> PublishedWeights | None:
        """Return the weights that may have to be downloaded; check those that are local.

        Raises:
            WeightsError: If the checkpoint, or the folder of a stored model, is missing.
        """
        if self.spec.checkpoint is not None:
            check_checkpoint(self.spec.checkpoint)
        return self.origin.published() if self.pretrained else None

    def weights_file(self) -> Path | None:
        """Return the file that the weights will be read from, if it is on disk already."""
        if self.spec.checkpoint is not None:
            return check_checkpoint(self.spec.checkpoint)
        published = self.published()
        return None if published is None else published.find()

    def preprocess(self) -> Preprocess | None:
        """Return the spec's transform, else the one that the weights were published with."""
        given = self.spec.preprocess
        return self.origin.preprocess() if given is None else check_preprocess(given)

    def classes(self) -> Synonyms | None:
        """Return all names of each class; ``None`` for a checkpoint's or a constructor's own."""
        if self.spec.labels is not None:
            return synonyms_of([str(label) for label in self.spec.labels])
        if not self.pretrained or "num_classes" in self.spec.options:
            return None
        return self.origin.class_names()

    def build(
        self, *, device: str | torch.device | None, change_preprocess: ChangePreprocess
    ) -> BuiltModule:
        """Return the module, built on the CPU, frozen, in evaluation mode, then moved.

        Raises:
            WeightsError: If weights cannot be found, fetched, read or fitted.
            ModelError: If the module cannot be built.
        """
        spec, origin = self.spec, self.origin
        given = None if spec.preprocess is None else self.preprocess()
        placed = _pick_device(device)
        checkpoint: Checkpoint | None = None
        is_filled = spec.checkpoint is not None or (self.pretrained and origin.has_weights)
        with (
            # While timm and torchvision build, they change warning filters and environment
            # variables, which belong to the whole process.
            exclusive([SpecSource]),
            torch.inference_mode(False),
            skip_init() if is_filled else nullcontext(),
        ):
            module = self._build_for_size(change_preprocess)
            if spec.checkpoint is not None:
                checkpoint = read_checkpoint(spec.checkpoint)
                module = self._load(checkpoint, Path(spec.checkpoint), module)
            module = module.eval().requires_grad_(False).to(placed)
        own = given or self._own_preprocess(module)
        has_text = has_two_towers(module)
        return BuiltModule(
            name=self.name,
            module=image_tower(module) if has_text else module,
            weights=self._weights_name(),
            preprocess=change_preprocess(own),
            target_layer=spec.target_layer,
            labels=spec.labels,
            own_labels=(checkpoint.labels if checkpoint else None) or own_labels(module),
            facts=origin.facts() if spec.options.keys() <= USUAL else None,
            is_own=True,
            text=text_encoder(module, self._tokenizer_of(module)) if has_text else None,
            scores=spec.scores,
            own_scores=(checkpoint.scores if checkpoint else None) or own_link(module),
            training=spec.training,
        )

    def _own_preprocess(self, module: nn.Module) -> Preprocess:
        carried = module_preprocess(module)
        if isinstance(self.origin, TextImageArchitecture):
            carried = self.origin.module_preprocess(module)
        return carried or self.origin.preprocess() or stated_preprocess(module)

    def _tokenizer_of(self, module: nn.Module) -> MakeTokenizer:
        if isinstance(self.origin, TextImageArchitecture):
            return self.origin.tokenizer
        return own_tokenizer(module)

    def _build_for_size(self, change_preprocess: ChangePreprocess) -> nn.Module:
        """Return the module, for the input size in use if it is built for one size only."""
        options = self.spec.options
        option = self.origin.size_option()
        own = self.origin.preprocess() if option and option not in options else None
        if own is None:
            return self._build(options)
        height, width = change_preprocess(self.preprocess() or own).size
        if (height, width) == own.size and (self.pretrained or option == "img_size"):
            return self._build(options)
        # torchvision's own default is not always the size of its weights.
        size = (height, width) if option == "img_size" else height
        try:
            return self._build({**options, option: size})
        except (ModelError, WeightsError):
            # Some architectures of a fixed size, or their weights, exist for that size only.
            return self._build(options)

    def outputs(self) -> Outputs | None:
        """Return what it will return; ``None`` if that is known only after building.

        Weights without a classifier give features, unless a checkpoint or options add one.
        """
        spec = self.spec
        if spec.options.get("num_classes") == 0:
            return "embedding"
        # A stored model's configuration may be far away.
        if spec.checkpoint is not None or isinstance(self.origin, StoredArchitecture | Constructor):
            return None
        added = spec.labels is not None or (not self.pretrained and spec.options.get("num_classes"))
        return "classes" if added or self.origin.has_classifier() else "embedding"

    def _build(self, options: Mapping[str, Any]) -> nn.Module:
        with IsolatedRandomness():
            return self.origin.build(pretrained=self.pretrained, options=options)

    def _load(self, checkpoint: Checkpoint, file: Path, module: nn.Module) -> nn.Module:
        """Return the module with a checkpoint's weights, rebuilt if it has other classes."""
        from effcam.models.transformers_names import rename_saved  # few files need it

        state = rename_saved(rename_old(select(checkpoint.state, module), module), module)
        options = self.spec.options
        if self.origin.has_num_classes and "num_classes" not in options:
            module = self._build_for_head(state, module)
        fit(state, module, file=str(file), model=str(self.origin))
        if isinstance(self.origin, TorchvisionArchitecture):
            self.origin.transform_input(module, options)
        return module

    def _build_for_head(self, state: Mapping[str, torch.Tensor], module: nn.Module) -> nn.Module:
        """Return the module, rebuilt if a checkpoint's head has another number of classes."""
        options, default = self.spec.options, getattr(module, "num_classes", 1000)
        compared = module
        if default == 0 and not state.keys() <= module.state_dict().keys():
            # A module without a head shows nothing of a head's shape.
            compared = self._build({**options, "num_classes": OTHER_CLASSES})
        classes = count_classes(state, compared, default or OTHER_CLASSES)
        if classes in (default, OTHER_CLASSES):
            return module
        return self._build({**options, "num_classes": classes})

    def _weights_name(self) -> str:
        if self.spec.checkpoint is not None:
            return Path(self.spec.checkpoint).name
        known = self.pretrained or isinstance(self.origin, Constructor)
        return (self.origin.weights_name() if known else "") or RANDOM


def _pick_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:
        reason = re.split(r"\.\s", str(error))[0]
        raise ArgumentError(f"device {str(device)!r} cannot be used: {reason}") from error
    return picked
