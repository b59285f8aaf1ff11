"""Run a CAM class of grad-cam as a method, also one that this release of effcam does not know.

A class gets effcam's activations and gradients of the target layers, image by image, and returns
the map of each at the layer's own resolution. One that makes a map of the whole input, or works on
the network itself, gets a network that it may run: `effcam.cam.methods.grad_cam_network`.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from effcam.cam.forward import call_other_code
from effcam.cam.methods.fusion import fuse
from effcam.cam.methods.grad_cam_names import PACKAGE
from effcam.cam.methods.grad_cam_network import Network, Target
from effcam.cam.methods.input_cells import grid_of, pool_mean
from effcam.cam.methods.layer_maps import activations_of, gradients_of
from effcam.cam.methods.subject import ImageMethod, MethodMap, Subject
from effcam.cam.methods.table import MethodFacts
from effcam.errors import ModelError
from effcam.models.tracing.isolation import exclusive, untouched
from effcam.models.tracing.logits import describe
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.rng import IsolatedRandomness

SOFTMAX = "use_softmax_scores"
"""The argument of a class that weights copies by the softmax of what the network returns."""

COPIES_AT_ONCE = "batch_size"
"""The attribute of a class that runs changed copies of an image: how many at once."""


def method_of_class(facts: MethodFacts) -> ImageMethod:
    """Return the method that a class of grad-cam computes.

    Args:
        facts: What is known of it, with the name of the class.
    """
    return partial(_explain, facts)


def _explain(facts: MethodFacts, subject: Subject) -> MethodMap:
    """Return the maps of a batch.

    Raises:
        LayerError: If the class needs gradients, and none gets to a layer.
        ModelError: If the class fails, or returns no map of each image.
    """
    with _untraced(subject.model.module):
        kind = getattr(import_module(PACKAGE), facts.grad_cam)
        network = Network(subject)
        # Its hooks are on the taps, which end with the network, and those that it leaves on the
        # caller's module are removed with the context.
        make = partial(kind, network, list(network.taps), **_options(kind, network))
        run = _Run(facts, subject, network, call_other_code(make, _failed(facts)))
        try:
            if facts.source == "layer":
                return MethodMap(run.of_layers())
            return MethodMap(run.of_pixels(), f"{subject.model.target_layer} at pixels")
        finally:
            run.forget()


def _options(kind: Callable[..., Any], network: Network) -> dict[str, object]:
    return {SOFTMAX: network.is_softmax} if SOFTMAX in signature(kind).parameters else {}


def _failed(facts: MethodFacts) -> str:
    return f"{facts.grad_cam} of grad-cam failed"


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """An object of a class, and the batch that it explains, image by image.

    Attributes:
        facts: What is known of the class.
        subject: The batch.
        network: The network, as the class sees it.
        cam: The object.
    """

    facts: MethodFacts
    subject: Subject
    network: Network
    cam: Any

    def of_layers(self) -> Tensor:
        """Return the (B, h, w) map, with negative evidence, of a class that maps each layer."""
        activations = activations_of(self.subject)
        reads = self.cam.uses_gradients
        gradients = gradients_of(self.subject) if reads else []
        # Some read the network's own graph; grad-cam 1.5.4 has none that does.
        runs = not getattr(self.cam, "detach", True) or self.cam.compute_input_gradient
        make = self._by_running if runs else self._by_layer
        rows = []
        for row in range(len(self.subject.images)):
            features = [each[row : row + 1] for each in activations]
            slopes = [each[row : row + 1] for each in gradients]
            if not all(bool(each.isfinite().all()) for each in (*features, *slopes)):
                # grad-cam takes NaN for 0, and would draw a map of what is left.
                rows.append([each[:, 0] * torch.nan for each in features])
                continue
            self.network.row = row
            with seeded(self.subject.images[row]):
                rows.append(make(features, slopes))
        maps = [torch.cat(each) for each in zip(*rows, strict=True)]
        importance = [each.mean((1, 2, 3)) for each in gradients]
        return fuse(maps, self.subject.options.fuse, importance or None)

    def of_pixels(self) -> Tensor:
        """Return the (B, h, w) map of a class that maps the input's pixels."""
        if "gradients" in self.facts.needs:
            gradients_of(self.subject)  # it names what is wrong, if none gets to a layer
        values = self.subject.score(self.subject.found).detach()
        maps = []
        for row, value in enumerate(values.tolist()):
            self.network.row = row
            if not math.isfinite(value):
                maps.append(self._image[:, 0].float() * torch.nan)
                continue
            with seeded(self._image[0]):
                maps.append(self._check(self._run(), self._image))
        return pool_mean(torch.cat(maps), grid_of(self.subject))

    def forget(self) -> None:
        """Free what the class recorded: at its end it would detach that, which fails for views."""
        records = getattr(self.cam, "activations_and_grads", None)
        if records is not None:
            records.activations, records.gradients = [], []

    @property
    def _image(self) -> Tensor:
        """The image that is explained, (1, channels, height, width)."""
        row = self.network.row
        return self.subject.images[row : row + 1]

    @property
    def _targets(self) -> list[Target]:
        return [self.network.target(self.network.row)]

    def _by_layer(self, features: list[Tensor], slopes: list[Tensor]) -> list[Tensor]:
        """Return the map of one image at each layer, (1, h, w), of what the shared pass found."""
        found = []
        for at, (tap, own) in enumerate(zip(self.network.taps, features, strict=True)):
            given = (own.detach().cpu().numpy(), slopes[at].cpu().numpy() if slopes else None)
            asked = (self._image, tap, self._targets, *given, self.subject.options.eigen_smooth)
            made = self._call(partial(self.cam.get_cam_image, *asked))
            found.append(self._check(made, own))
        return found

    def _by_running(self, features: list[Tensor], _slopes: list[Tensor]) -> list[Tensor]:
        """Return the map of one image at each layer, (1, h, w), of a pass that the class makes."""
        made: list[object] = []
        own = type(self.cam).get_cam_image

        def record(*args: object, **options: object) -> object:
            made.append(own(self.cam, *args, **options))
            return made[-1]

        self.cam.get_cam_image = record
        # What it returns is enlarged and scaled, and what `record` has is not.
        self.cam.get_target_width_height = lambda _images: tuple(features[0].shape[:1:-1])
        self._run()
        return [self._check(each, like) for each, like in zip(made, features, strict=True)]

    def _run(self) -> Any:
        """Return what the object returns for the image that is explained.

        If memory runs out, a class that runs copies in batches gets smaller ones from then on.
        """
        # Not every class takes it.
        options = {"eigen_smooth": True} if self.subject.options.eigen_smooth else {}
        call = partial(self.cam, self._image, self._targets, **options)
        while True:
            try:
                return self._call(call)
            except Exception as error:
                copies = getattr(self.cam, COPIES_AT_ONCE, 1)
                if not is_out_of_memory(error) or copies <= 1:
                    raise
                setattr(self.cam, COPIES_AT_ONCE, copies // 2)

    def _call(self, call: Callable[[], Any]) -> Any:
        return call_other_code(call, _failed(self.facts))

    def _check(self, made: Any, like: Tensor) -> Tensor:
        """Return a map as a (1, h, w) tensor.

        Args:
            made: The map.
            like: (1, channels, h, w), what it is of.
        """
        found = torch.as_tensor(made)
        shape = (1, *like.shape[2:])
        if found.shape != shape:
            raise ModelError(
                f"{self.facts.grad_cam} of grad-cam returned {describe(found)}; the map of one "
                f"image has the shape {shape}"
            )
        return found.detach().to(like.device, torch.float32)


@contextmanager
def _untraced(module: nn.Module) -> Iterator[None]:
    """Remove hooks that code leaves on a module in a context, and keep ``.grad`` as it is."""
    kept = [(each, each.grad) for each in module.parameters() if each.is_leaf]
    with untouched(module):
        try:
            for parameter, _ in kept:
                parameter.grad = None
            yield
        finally:
            for parameter, gradient in kept:
                parameter.grad = gradient


def seed_of(image: Tensor) -> int:
    """Return a number that is the same for equal images."""
    return zlib.crc32(image.detach().float().cpu().contiguous().numpy().tobytes())


@contextmanager
def seeded(image: Tensor) -> Iterator[None]:
    """Let code draw the same numbers for an image each time, alone and in any batch.

    Different images have different numbers. The generators of torch, NumPy and Python are
    restored.
    """
    seed = seed_of(image)
    with IsolatedRandomness(), exclusive([np.random]):
        torch.default_generator.manual_seed(seed)
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  # grad-cam's
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
