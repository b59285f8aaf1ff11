"""Models that effcam builds: an architecture or a constructor, and a spec's changes to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from effcam.errors import ArgumentError, ModelError, WeightsError
from effcam.images.preprocess import Preprocess
from effcam.models.architectures import ArchitectureFacts
from effcam.models.built_module import (
    AS_GIVEN,
    BuiltModule,
    ChangePreprocess,
    Synonyms,
    check_preprocess,
    stated_preprocess,
)
from effcam.models.checkpoint import Checkpoint, check_checkpoint, read_checkpoint
from effcam.models.downloads import PublishedWeights
from effcam.models.facts import RANDOM
from effcam.models.lookup import Architecture
from effcam.models.registry import ModelSpec
from effcam.models.skip_init import skip_init
from effcam.models.state_dict import count_classes, fit, rename_old, select
from effcam.models.timm_architecture import module_preprocess
from effcam.models.torchvision_architecture import TorchvisionArchitecture
from effcam.models.tracing.isolation import exclusive
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.wrappers import Layers, check_module, own_labels, unwrap

# Options that change neither the layers' names nor the maps that the head reads.
USUAL = {"num_classes", "in_chans", "img_size", "image_size", "drop_rate", "transform_input"}


@dataclass(frozen=True, slots=True)
class Constructor:
    """A callable of the caller's own that returns the module.

    Attributes:
        name: The model's name.
        call: The callable.
    """

    name: str
    call: Callable[..., object]

    def build(self, options: Mapping[str, object]) -> nn.Module:
        """Return the module, without its wrappers.

        Raises:
            ModelError: If the callable fails, or returns no network.
        """
        try:
            module = self.call(**options)
        except Exception as error:  # the caller's code may raise anything
            chosen = f" with {dict(options)}" if options else ""
            message = f"the constructor of {self.name!r} failed{chosen}: {error!r}"
            raise ModelError(message) from error
        if not isinstance(module, nn.Module):
            raise ModelError(
                f"the constructor of {self.name!r} returned a {type(module).__name__}, not an "
                "nn.Module"
            )
        inner = unwrap(module)
        check_module(inner, self.name)
        return inner


@dataclass(frozen=True, slots=True)
class SpecSource:
    """A model that effcam builds: an architecture or a constructor, and a spec's changes to it.

    Attributes:
        spec: The spec.
        origin: The architecture, or the caller's constructor.
    """

    spec: ModelSpec
    origin: Architecture | Constructor

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name

    @property
    def target_layer(self) -> Layers:
        """The target layers that the spec names."""
        return self.spec.target_layer

    @property
    def labels(self) -> Sequence[str] | None:
        """The classes' names in the spec."""
        return self.spec.labels

    @property
    def architecture(self) -> Architecture | None:
        """The library's architecture; ``None`` for a constructor."""
        return None if isinstance(self.origin, Constructor) else self.origin

    @property
    def pretrained(self) -> bool:
        """Whether published weights are loaded, where there are any."""
        own = isinstance(self.origin, Constructor) or self.spec.checkpoint is not None
        return self.spec.pretrained and not own

    def published(self) -> PublishedWeights | None:
        """Return the weights that may have to be downloaded; check those that are local.

        Raises:
            WeightsError: If the checkpoint, or the folder of a stored model, is missing.
        """
        if self.spec.checkpoint is not None:
            check_checkpoint(self.spec.checkpoint)
        if self.architecture is None or not self.pretrained:
            return None
        return self.architecture.published()

    def weights_file(self) -> Path | None:
        """Return the file that the weights will be read from, if it is on disk already."""
        if self.spec.checkpoint is not None:
            return check_checkpoint(self.spec.checkpoint)
        published = self.published()
        return None if published is None else published.find()

    def preprocess(self) -> Preprocess | None:
        """Return the spec's transform, else the one that the weights were published with."""
        given = self.spec.preprocess
        if given is not None:
            return check_preprocess(given)
        return None if self.architecture is None else self.architecture.preprocess()

    def classes(self) -> Synonyms | None:
        """Return all names of each class; ``None`` for a checkpoint's or a constructor's own."""
        if self.spec.labels is not None:
            return [[str(label)] for label in self.spec.labels]
        if self.architecture is None or not self.pretrained or "num_classes" in self.spec.options:
            return None
        return self.architecture.class_names()

    def build(
        self, *, device: str | torch.device | None, change_preprocess: ChangePreprocess
    ) -> BuiltModule:
        """Return the module, built on the CPU, frozen, in evaluation mode, then moved.

        Raises:
            WeightsError: If weights cannot be found, fetched, read or fitted.
            ModelError: If the module cannot be built.
        """
        placed = _pick_device(device)
        given = None if self.spec.preprocess is None else self.preprocess()
        checkpoint: Checkpoint | None = None
        with (
            # While timm and torchvision build, they change warning filters and environment
            # variables, which belong to the whole process.
            exclusive([SpecSource]),
            torch.inference_mode(False),
            skip_init() if self._is_filled() else nullcontext(),
        ):
            module = self._build_for_size(self._options(change_preprocess))
            if self.spec.checkpoint is not None:
                checkpoint = read_checkpoint(self.spec.checkpoint)
                module = self._load(checkpoint, module)
            module = module.eval().requires_grad_(False).to(placed)
        own = given or module_preprocess(module) or self.preprocess() or stated_preprocess(module)
        return BuiltModule(
            self._full_name(),
            module,
            self._weights_name(),
            change_preprocess(own),
            (checkpoint.labels if checkpoint else None) or own_labels(module),
            self._facts(),
            is_own=True,
        )

    def _facts(self) -> ArchitectureFacts | None:
        is_usual = self.spec.options.keys() <= USUAL
        return self.architecture.facts() if self.architecture is not None and is_usual else None

    def _is_filled(self) -> bool:
        """Return whether weights are loaded; some architectures have none."""
        if self.architecture is None or not self.pretrained:
            return self.spec.checkpoint is not None
        return self.architecture.has_weights

    def _full_name(self) -> str:
        if self.architecture is None or self.spec.constructor is not None:
            return self.spec.name
        return str(self.architecture) if self.pretrained else self.architecture.bare

    def _weights_name(self) -> str:
        if self.spec.checkpoint is not None:
            return Path(self.spec.checkpoint).name
        if self.architecture is None:
            return AS_GIVEN
        return (self.architecture.weights_name() if self.pretrained else "") or RANDOM

    def _options(self, change_preprocess: ChangePreprocess) -> Mapping[str, object]:
        """Return the spec's options, with the input size if it is built for one size only."""
        options = self.spec.options
        option = self.architecture.size_option() if self.architecture is not None else ""
        if self.architecture is None or not option or option in options:
            return options
        own = self.architecture.preprocess()
        height, width = change_preprocess(self.preprocess() or own).size
        if (height, width) == own.size and (self.pretrained or option == "img_size"):
            return options
        # torchvision's own default is not always the size of its weights.
        return {**options, option: (height, width) if option == "img_size" else height}

    def _build_for_size(self, options: Mapping[str, object]) -> nn.Module:
        try:
            return self._build(options, pretrained=self.pretrained)
        except (ModelError, WeightsError):
            if options == self.spec.options:
                raise
            # Some architectures of a fixed size, or their weights, exist for that size only.
            return self._build(self.spec.options, pretrained=self.pretrained)

    def _build(self, options: Mapping[str, object], *, pretrained: bool) -> nn.Module:
        with IsolatedRandomness():
            if isinstance(self.origin, Constructor):
                return self.origin.build(options)
            return self.origin.build(pretrained=pretrained, options=options)

    def _load(self, checkpoint: Checkpoint, module: nn.Module) -> nn.Module:
        """Return the module with a checkpoint's weights, rebuilt if it has other classes."""
        state = rename_old(select(checkpoint.state, module), module)
        options = self.spec.options
        if self.architecture is not None and "num_classes" not in options:
            default = getattr(module, "num_classes", 1000)
            classes = count_classes(state, module, default)
            if classes != default:
                module = self._build({**options, "num_classes": classes}, pretrained=False)
        file, owner = Path(self.spec.checkpoint or ""), str(self.architecture or self.spec.name)
        fit(state, module, file=str(file), model=owner)
        if isinstance(self.origin, TorchvisionArchitecture):
            self.origin.transform_input(module, options)
        return module


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
