"""Make the passes of effcam's own copies of networks cheaper; what they return stays."""

from __future__ import annotations

from effcam.cam.precision import Precision, cast_weights
from effcam.models.folding import fold_norms
from effcam.models.model import Model


def lighten(model: Model, precision: Precision = "fp32", *, keep_norms: bool = False) -> None:
    """Change a model's network in place, so that its passes are cheaper.

    Batch normalisations are folded, and the weights get the type in which they are multiplied. Its
    maps of target layers stay within 1e-5 of their range in float32.

    Args:
        model: The model; nobody else may use its network.
        precision: The precision in which it will run.
        keep_norms: Whether batch normalisations stay, for methods that read them.

    Raises:
        ModelError: If the network does not run.
    """
    if not keep_norms:
        preprocess = model.preprocess
        kept = [layer.name for layer in model.target_layers]
        fold_norms(model.module, preprocess.size, preprocess.channels, kept)
    cast_weights(model.module, precision)
