"""RefineCAM: the product of several layers' maps, which is as sharp as the finest of them."""

from __future__ import annotations

from effcam.cam.methods.formulas import CONTRIBUTIONS
from effcam.cam.methods.fusion import fuse
from effcam.cam.methods.layer_maps import activations_of, add_channels, gradients_of
from effcam.cam.methods.subject import MethodMap, Subject
from effcam.errors import LayerError


def refinecam(subject: Subject) -> MethodMap:
    """Domeniconi et al. 2026, arXiv:2605.14641: the product of scaled Grad-CAM++ maps of layers.

    Raises:
        LayerError: If there is one target layer only, or no gradient gets to one.
    """
    layers = subject.cam.layers
    if len(layers) == 1:
        raise LayerError(
            f"refinecam multiplies the maps of several layers, and of {layers[0].name!r} alone it "
            "would be gradcam++: give layers of several depths, as "
            "load_model(..., target_layer=[...]); model.layers() lists them (--layer, several "
            "times)"
        )
    contribute = CONTRIBUTIONS["gradcam++"]
    contributions = map(contribute, activations_of(subject), gradients_of(subject))
    return MethodMap(fuse([add_channels(subject, each) for each in contributions], "product"))
