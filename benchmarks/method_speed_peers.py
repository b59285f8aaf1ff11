"""The methods of other packages that `method_speed.py` times beside effcam's.

Each explains the same class of the same images, on a copy of the model as users have it: in torch's
default memory format, with weights that can be trained. Where a package has a batch size, it is
given the one that is fastest here, not its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytorch_grad_cam
import torch
from measure import tell
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from effcam import Model
from effcam.cam.methods.grad_cam_names import grad_cam_classes
from effcam.cam.methods.input_occlusion import MASK_CELLS, SHARE_SEEN, STRIDE, WINDOW
from effcam.cam.methods.table import default_samples

TARGET = 207
AT_ONCE = 8
"""How many changed images of 224 px run at once: on a CPU the fastest of 1, 8 and 16."""
Way = Callable[[], object]
Peer = Callable[[nn.Module, Tensor, int | None], Way]


def peer_of(model: Model, method: str, images: Tensor, samples: int | None) -> Way | None:
    """Return a call of the peer's method on a copy of the model; ``None`` without a peer."""
    module = copy.deepcopy(model.module).eval().to(memory_format=torch.contiguous_format)
    module.requires_grad_(True)
    if method in grad_cam_classes():
        return _grad_cam(module, model, method, images)
    if method not in PEERS:
        return None
    try:
        return PEERS[method](module, images, samples)
    except ImportError as error:
        tell(f"  no peer: {error}")
        return None


def _grad_cam(module: nn.Module, model: Model, method: str, images: Tensor) -> Way | None:
    layers = [module.get_submodule(layer.name) for layer in model.target_layers]
    kind = getattr(pytorch_grad_cam, grad_cam_classes()[method].name)
    arguments: dict[str, Any] = {}
    if model.layer.layout != "NCHW":
        arguments["reshape_transform"] = model.layer.to_map
        if method == "ablationcam":
            arguments["ablation_layer"] = pytorch_grad_cam.AblationLayerVit()
    targets = [ClassifierOutputTarget(TARGET)] * len(images)
    try:
        cam = kind(module, layers, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        tell(f"  grad-cam: {error}")
        return None
    return lambda: cam(images, targets)


def _integrated_gradients(module: nn.Module, images: Tensor, samples: int | None) -> Way:
    from captum.attr import IntegratedGradients

    attribute = IntegratedGradients(module).attribute
    steps = samples or default_samples("integratedgradients")
    size = len(images) * 4
    return lambda: attribute(images, target=TARGET, n_steps=steps, internal_batch_size=size)


def _smoothgrad(module: nn.Module, images: Tensor, samples: int | None) -> Way:
    from captum.attr import NoiseTunnel, Saliency

    attribute = NoiseTunnel(Saliency(module)).attribute
    count = samples or default_samples("smoothgrad")
    return lambda: attribute(
        images, nt_type="smoothgrad", nt_samples=count, nt_samples_batch_size=4, target=TARGET
    )


def _input_times_gradient(module: nn.Module, images: Tensor, _samples: int | None) -> Way:
    from captum.attr import InputXGradient

    attribute = InputXGradient(module).attribute
    return lambda: attribute(images, target=TARGET)


def _guided_backprop(module: nn.Module, images: Tensor, _samples: int | None) -> Way:
    from captum.attr import GuidedBackprop

    for part in module.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False  # captum's hooks fail on what is written over
    attribute = GuidedBackprop(module).attribute
    return lambda: attribute(images, target=TARGET)


def _occlusion(module: nn.Module, images: Tensor, _samples: int | None) -> Way:
    from captum.attr import Occlusion

    attribute = Occlusion(module).attribute
    channels, height, width = images.shape[1:]
    window = channels, round(height * WINDOW), round(width * WINDOW)
    steps = channels, round(height * STRIDE), round(width * STRIDE)

    def call() -> Tensor:
        with torch.no_grad():
            found: Tensor = attribute(
                images,
                target=TARGET,
                sliding_window_shapes=window,
                strides=steps,
                perturbations_per_eval=max(1, AT_ONCE // len(images)),
            )
        return found

    return call


def _rise(module: nn.Module, images: Tensor, samples: int | None) -> Way:
    from xaitk_saliency.impls.gen_image_classifier_blackbox_sal.rise import RISEStack

    count = samples or default_samples("rise")
    stack = RISEStack(count, MASK_CELLS, SHARE_SEEN, seed=0)
    classify = _classifier(module)
    # (height, width, channels) float32, as its masks multiply them.
    photos = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in images]
    return lambda: [stack(photo, classify) for photo in photos]


def _classifier(module: nn.Module) -> Any:
    """Return the network as xaitk-saliency takes it, with the explained class as its only one."""
    from smqtk_classifier.interfaces.classify_image import ClassifyImage

    class Classifier(ClassifyImage):  # type: ignore[misc]
        def get_labels(self) -> list[Hashable]:
            return [TARGET]

        def get_config(self) -> dict[str, Any]:
            return {}

        def classify_images(self, img_iter: Iterable[Any]) -> Iterator[dict[Hashable, float]]:
            rest = iter(img_iter)
            while some := list(islice(rest, AT_ONCE)):
                batch = torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2).contiguous()
                with torch.inference_mode():
                    found = module(batch).softmax(1)[:, TARGET].tolist()
                yield from ({TARGET: each} for each in found)

    return Classifier()


PEERS: dict[str, Peer] = {
    "integratedgradients": _integrated_gradients,
    "smoothgrad": _smoothgrad,
    "inputxgradient": _input_times_gradient,
    "guidedbackprop": _guided_backprop,
    "occlusion": _occlusion,
    "rise": _rise,
}
"""What captum has, and xaitk-saliency's ``RISEStack``; the latter by the method's name."""
