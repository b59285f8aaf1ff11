"""Class activation maps of one model on one batch, at about the price of its forward pass.

Only this module knows grad-cam. Its `GradCAM` differentiates the whole network and keeps that
graph; `HeadCAM` runs the body without one, makes the target layer's output a leaf, and
differentiates the head alone. The maps are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from effcam.borrow import untouched
from effcam.errors import ArgumentError, LayerError, ModelError, did_you_mean
from effcam.explanation import State
from effcam.model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arithmetic: TypeAlias = Callable[[Tensor, Tensor], Tensor]

PERTURBED_AT_ONCE = 64
FLAT = 1e-6


@dataclass(frozen=True, slots=True)
class Cams:
    """What one pass over a batch of B images gave.

    Attributes:
        probabilities: (B, classes) float32, the softmax of the scores.
        targets: (B,) int64, the class explained in each image.
        maps: By method, (B, h, w) float32 at the target layer's own resolution: >= 0, not scaled,
            0 where there is no positive evidence and where a value was not finite.
        states: By method, one of ``"ok"``, ``"flat"`` (no cell stands out) and ``"nan"`` (a value
            was not finite) an image.
    """

    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]
    maps: dict[str, NDArray[np.float32]]
    states: dict[str, list[State]]


class HeadCAM(GradCAM):  # type: ignore[misc]  # grad-cam is untyped
    """GradCAM whose graph begins at the target layer, and whose maps keep its resolution."""

    def __init__(self, model: Model) -> None:
        """Hooks the target layer; `release` unhooks it."""
        self.layer = model.layer
        target = model.module.get_submodule(self.layer.name)
        super().__init__(model.module, [target])
        # The base's own hooks would copy every activation to the host, before the head runs.
        self.activations_and_grads.release()
        self._handle = target.register_forward_hook(self._cut)
        self.activations: Tensor | None = None
        self.substitute: Tensor | None = None
        self._turn = 0

    def run(self, images: Tensor) -> Tensor:
        """Returns what the model makes of a batch, the layer's output replaced on the way."""
        self._turn = 0
        output: Tensor = self.model(images)
        return output

    def _cut(self, _module: nn.Module, _args: object, output: Tensor) -> Tensor:
        """Replaces the layer's output by a leaf of a new graph, or by a substitute for it."""
        turn, self._turn = self._turn, self._turn + 1
        if turn != self.layer.turn:
            # An activation may serve in several places; one of them was chosen.
            return output
        if self.substitute is not None:
            return self.substitute
        self.activations = output.detach().requires_grad_(torch.is_grad_enabled())
        # What follows may work in place, as DenseNet's ReLU does: it gets a copy.
        return self.activations.clone()

    def scores(self, images: Tensor) -> Tensor:
        """Returns the (B, classes) scores; `activations` then holds the layer's output."""
        self.activations = None
        try:
            output = self.run(images)
        except RuntimeError as error:
            raise ModelError(
                f"the model failed on a batch of shape {tuple(images.shape)}: {error}"
            ) from error
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(images):
            raise ModelError(
                f"expected (batch, classes) scores for {len(images)} images, got "
                f"{tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__}"
            )
        if self.activations is None:
            raise LayerError(f"layer {self.layer.name!r} did not run in this forward pass")
        return output

    def gradients(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Returns the gradient of each image's target score at the layer, shaped as its output."""
        picked = scores.gather(1, targets[:, None]).sum()
        activations = self.activations
        found = None
        if picked.requires_grad and activations is not None:
            (found,) = torch.autograd.grad(picked, activations, allow_unused=True)
        if found is None:
            raise LayerError(
                f"the class scores do not depend on layer {self.layer.name!r}: choose another one"
            )
        return found

    def release(self) -> None:
        """Unhooks the layer and lets the graph go."""
        self._handle.remove()
        self.activations = self.substitute = None


def compute_cams(
    model: Model, images: Tensor, methods: Sequence[str], targets: Sequence[int] | None = None
) -> Cams:
    """Returns the maps of a batch by every method; those of one pass share it.

    The module comes back as it was: modes, ``requires_grad``, ``.grad``, hooks, buffers, and
    torch's random state.

    Args:
        model: The model.
        images: (B, 3, height, width) inputs, made by its `Preprocess`.
        methods: Names from `METHODS`.
        targets: The class to explain in each image, in range; ``None`` is each image's top-1.

    Raises:
        LayerError: If the scores do not depend on the target layer.
        ModelError: If the model does not return (B, classes) scores.
    """
    with untouched(model.module), _differentiable():
        cam = HeadCAM(model)
        try:
            inputs = images.to(model.device, model.dtype, copy=images.is_inference())
            return _explain(cam, inputs, methods, targets)
        finally:
            cam.release()


def compute_probabilities(model: Model, images: Tensor) -> NDArray[np.float32]:
    """Returns the (B, classes) float32 softmax of a batch's scores, the module left as it was."""
    with untouched(model.module), torch.inference_mode(False), torch.no_grad():
        scores = model.module.eval()(images.to(model.device, model.dtype))
    return _probabilities(scores)


def check_methods(methods: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the methods' names as a tuple.

    Raises:
        ArgumentError: If there is none, one twice, or one that is not in `METHODS`.
    """
    if not isinstance(methods, str | Sequence):
        raise ArgumentError(f"method must be a name or several, not {methods!r}")
    names = (methods,) if isinstance(methods, str) else tuple(methods)
    for name in names:
        if name not in METHODS:
            hint = did_you_mean(str(name), METHODS)
            raise ArgumentError(
                f"no method is called {name!r}.{hint} The methods are {', '.join(METHODS)}."
            )
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"method must be one or several different names, not {methods!r}")
    return names


@contextmanager
def _differentiable() -> Iterator[None]:
    """Undoes a caller's ``no_grad`` or ``inference_mode`` for the time being."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _explain(
    cam: HeadCAM, images: Tensor, methods: Sequence[str], targets: Sequence[int] | None
) -> Cams:
    scores = cam.scores(images)
    picked = scores.argmax(1) if targets is None else torch.tensor(targets, device=scores.device)
    activations = _features(cam)
    gradients = activations
    if any(method in GRADIENT_METHODS for method in methods):
        gradients = cam.gradients(scores, picked).detach().float()
    maps: dict[str, NDArray[np.float32]] = {}
    states: dict[str, list[State]] = {}
    with torch.no_grad():
        for method in methods:
            if method in PERTURBATION_METHODS:
                raw = PERTURBATION_METHODS[method](cam, images, activations, picked)
            else:
                raw = (GRADIENT_METHODS | ACTIVATION_METHODS)[method](activations, gradients)
            maps[method], states[method] = _settle(raw)
    return Cams(_probabilities(scores), picked.cpu().numpy(), maps, states)


def _features(cam: HeadCAM) -> Tensor:
    """Returns the target layer's (B, C, h, w) float32 output."""
    if cam.activations is None or cam.activations.ndim != 4:
        raise LayerError(f"layer {cam.layer.name!r} gave no (batch, channels, height, width) map")
    return cam.activations.detach().float()


def _settle(raw: Tensor) -> tuple[NDArray[np.float32], list[State]]:
    """Returns (B, h, w) maps without negative evidence, and the state of each."""
    finite = raw.isfinite().flatten(1).all(1)
    heat = raw.clamp(min=0)
    heat[~finite] = 0
    flat = heat.flatten(1)
    spread = flat.amax(1) - flat.amin(1)
    stands_out = (spread > FLAT * flat.amax(1)).tolist()
    states: list[State] = [
        "nan" if not sound else "ok" if out else "flat"
        for sound, out in zip(finite.tolist(), stands_out, strict=True)
    ]
    return heat.cpu().numpy(), states


def _probabilities(scores: Tensor) -> NDArray[np.float32]:
    probabilities: NDArray[np.float32] = scores.detach().float().softmax(1).cpu().numpy()
    return probabilities


def _gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Selvaraju et al. 2017, arXiv:1610.02391: channels weighted by their mean gradient."""
    return (gradients.mean((2, 3), keepdim=True) * activations).sum(1)


def _gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Chattopadhyay et al. 2018, arXiv:1710.11063, equation 19."""
    total = activations.sum((2, 3), keepdim=True)
    square = gradients**2
    share = square / (2 * square + total * square * gradients + 1e-6)
    share = torch.where(gradients != 0, share, 0)
    return ((gradients.clamp(min=0) * share).sum((2, 3), keepdim=True) * activations).sum(1)


def _hirescam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Draelos and Carin 2020, arXiv:2011.08891: gradient times activation, cell by cell."""
    return (gradients * activations).sum(1)


def _xgradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Fu et al. 2020, arXiv:2008.02312: gradients weighted by normalised activations."""
    total = activations.sum((2, 3), keepdim=True) + 1e-7
    weights = (gradients * activations / total).sum((2, 3), keepdim=True)
    return (weights * activations).sum(1)


def _layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Jiang et al. 2021, doi:10.1109/TIP.2021.3089943: positive gradients, cell by cell."""
    return (gradients.clamp(min=0) * activations).sum(1)


def _gradcam_elementwise(activations: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM's products with the negative ones left out before the sum over channels."""
    return (gradients * activations).clamp(min=0).sum(1)


def _eigencam(activations: Tensor, _gradients: Tensor) -> Tensor:
    """Muhammad and Yeasin 2020, arXiv:2008.00299: the first principal component, of no class."""
    return _principal(activations)


def _eigengradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Eigen-CAM of gradient times activation, which depends on the class."""
    return _principal(gradients * activations)


def _principal(features: Tensor) -> Tensor:
    """Returns the (B, h, w) projection of (B, C, h, w) features on their first component."""
    cells = features.flatten(2).transpose(1, 2).cpu().numpy()
    finite = np.isfinite(cells).all((1, 2), keepdims=True)
    cells = np.where(finite, cells, 0)
    centred = cells - cells.mean(1, keepdims=True)
    # The thin decomposition has the same first component as the full one, 50 times as fast.
    first = np.linalg.svd(centred, full_matrices=False)[2][:, 0, :, None]
    projected = torch.from_numpy(np.where(finite, centred @ first, np.float32(np.nan)))
    return projected.reshape(len(features), *features.shape[2:]).to(features.device)


def _scorecam(cam: HeadCAM, images: Tensor, activations: Tensor, targets: Tensor) -> Tensor:
    """Wang et al. 2020, arXiv:1910.01279: channels weighted by the score of the image they mask."""
    weights = []
    for image, features, target in zip(images, activations, targets, strict=True):
        scores = []
        for chunk in features.split(PERTURBED_AT_ONCE):
            masks = nn.functional.interpolate(
                chunk[:, None], size=image.shape[1:], mode="bilinear", align_corners=True
            )
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            masks = (masks - low) / (high - low + 1e-8)
            masked = (image * masks).to(image.dtype)
            scores.append(cam.run(masked)[:, target].float())
        weights.append(torch.cat(scores).softmax(0))
    return (torch.stack(weights)[:, :, None, None] * activations).sum(1)


def _ablationcam(cam: HeadCAM, images: Tensor, activations: Tensor, targets: Tensor) -> Tensor:
    """Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360: channels set to zero in turn.

    A channel's weight is the share of the score that is lost without it. The body runs once an
    image and chunk of channels: its output is replaced by the whole chunk's.
    """
    weights = []
    for image, features, target in zip(images, activations, targets, strict=True):
        whole = _head(cam, image, features[None])[:, target]
        without = []
        for channels in torch.arange(len(features), device=features.device).split(
            PERTURBED_AT_ONCE
        ):
            ablated = features.repeat(len(channels), 1, 1, 1)
            ablated[torch.arange(len(channels)), channels] = 0
            without.append(_head(cam, image, ablated)[:, target])
        weights.append((whole - torch.cat(without)) / whole)
    return (torch.stack(weights)[:, :, None, None] * activations).sum(1)


def _head(cam: HeadCAM, image: Tensor, features: Tensor) -> Tensor:
    """Returns the (n, classes) scores for n outputs of the target layer."""
    # The layer after may work in place.
    cam.substitute = features.clone().to(image.dtype)
    try:
        return cam.run(image[None]).float()
    finally:
        cam.substitute = None


GRADIENT_METHODS: dict[str, Arithmetic] = {
    "gradcam": _gradcam,
    "gradcam++": _gradcam_plus_plus,
    "hirescam": _hirescam,
    "xgradcam": _xgradcam,
    "layercam": _layercam,
    "gradcamelementwise": _gradcam_elementwise,
    "eigengradcam": _eigengradcam,
}
ACTIVATION_METHODS: dict[str, Arithmetic] = {"eigencam": _eigencam}
PERTURBATION_METHODS: dict[str, Callable[[HeadCAM, Tensor, Tensor, Tensor], Tensor]] = {
    "scorecam": _scorecam,
    "ablationcam": _ablationcam,
}
METHODS: tuple[str, ...] = (*GRADIENT_METHODS, *ACTIVATION_METHODS, *PERTURBATION_METHODS)
"""The names of all methods, those of one shared pass first."""
