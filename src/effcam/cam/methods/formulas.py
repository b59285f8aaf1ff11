"""The formula of each method: from a layer's activations and gradients to a map.

Every formula takes the (B, C, h, w) float32 activations of a layer and the gradients of each
image's target score with respect to them. It returns the (B, h, w) map, including negative
evidence: the sum over channels of what each contributes, or its first principal component.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

Formula: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def _gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Selvaraju et al. 2017, arXiv:1610.02391: channels weighted by their mean gradient."""
    return gradients.mean((2, 3), keepdim=True) * activations


def _gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Chattopadhyay et al. 2018, arXiv:1710.11063, equation 19."""
    total = activations.sum((2, 3), keepdim=True)
    square = gradients**2
    share = square / (2 * square + total * square * gradients + 1e-6)
    share = torch.where(gradients != 0, share, 0)
    return (gradients.clamp(min=0) * share).sum((2, 3), keepdim=True) * activations


def _hirescam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Draelos and Carin 2020, arXiv:2011.08891: gradient times activation, cell by cell."""
    return gradients * activations


def _xgradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Fu et al. 2020, arXiv:2008.02312: gradients weighted by normalised activations."""
    total = activations.sum((2, 3), keepdim=True) + 1e-7
    weights = (gradients * activations / total).sum((2, 3), keepdim=True)
    return weights * activations


def _layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Jiang et al. 2021, doi:10.1109/TIP.2021.3089943: positive gradients, cell by cell."""
    return gradients.clamp(min=0) * activations


def _gradcam_elementwise(activations: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM without the negative products, which are set to 0 before the sum over channels."""
    return (gradients * activations).clamp(min=0)


def _eigencam(activations: Tensor, _gradients: Tensor) -> Tensor:
    """Muhammad and Yeasin 2020, arXiv:2008.00299: the first principal component; no class."""
    return activations


def _eigengradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Eigen-CAM of gradient times activation, which depends on the class."""
    return gradients * activations


def principal(features: Tensor) -> Tensor:
    """Return the (B, h, w) projection of (B, C, h, w) features on their first component."""
    cells = features.flatten(2).transpose(1, 2).cpu().numpy()
    finite = np.isfinite(cells).all((1, 2), keepdims=True)
    cells = np.where(finite, cells, 0)
    centred = cells - cells.mean(1, keepdims=True)
    # The thin decomposition has the same first component as the full one and is 50 times faster.
    first = np.linalg.svd(centred, full_matrices=False)[2][:, 0, :, None]
    projected = torch.from_numpy(np.where(finite, centred @ first, np.float32(np.nan)))
    return projected.reshape(len(features), *features.shape[2:]).to(features.device)


def smooth(contributions: Tensor) -> Tensor:
    """Return the first principal component of (B, C, h, w) contributions, in place of their sum.

    A component has no sign of its own: it gets the one with which it agrees with the sum.
    """
    component = principal(contributions)
    total = contributions.sum(1)
    centred = total - total.mean((1, 2), keepdim=True)
    agrees = (component * centred).sum((1, 2), keepdim=True) >= 0
    return torch.where(agrees, component, -component)


def _formula(name: str, contribute: Formula) -> Formula:
    """Return a formula, given what each channel contributes."""
    reduce = principal if name in PRINCIPAL else partial(torch.sum, dim=1)
    return lambda activations, gradients: reduce(contribute(activations, gradients))


PRINCIPAL = ("eigencam", "eigengradcam")
"""Methods that are a first principal component by themselves."""
_GRADIENTS: dict[str, Formula] = {
    "gradcam": _gradcam,
    "gradcam++": _gradcam_plus_plus,
    "hirescam": _hirescam,
    "xgradcam": _xgradcam,
    "layercam": _layercam,
    "gradcamelementwise": _gradcam_elementwise,
    "eigengradcam": _eigengradcam,
}
_ACTIVATIONS: dict[str, Formula] = {"eigencam": _eigencam}
CONTRIBUTIONS = _GRADIENTS | _ACTIVATIONS
"""By method, what each channel contributes: (B, C, h, w)."""
GRADIENT_METHODS = {name: _formula(name, each) for name, each in _GRADIENTS.items()}
ACTIVATION_METHODS = {name: _formula(name, each) for name, each in _ACTIVATIONS.items()}
