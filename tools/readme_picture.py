"""Make the pictures of the README: ``python tools/readme_picture.py [WEIGHTS_FOLDER]``.

The first is the output of ``effcam demo``, somewhat smaller. The second needs a folder of trained
weights, as safetensors files. Its photos are installed with effcam's dependencies: scikit-learn's
temple (danielbuechele, CC BY 2.0) and dahlia (vultilion, CC BY 2.0), and matplotlib's Grace Hopper
(public domain).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib
import sklearn.datasets

import effcam
from effcam.cli.demo_folder import make_demo

PICTURES = Path(__file__).parents[1] / "docs" / "_static"


def main() -> None:
    """Write the pictures, and print their paths."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights", type=Path, nargs="?")
    weights = parser.parse_args().weights
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        comparison = make_demo(folder).comparison
        print(comparison.save(PICTURES / "demo.gif", width=128))
    if weights is not None:
        comparison = effcam.compare(_photos(), _models(weights))
        print(comparison.save(PICTURES / "compare.jpg", width=180))


def _photos() -> list[Path]:
    samples = Path(sklearn.datasets.__file__).parent / "images"
    portrait = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return [samples / "china.jpg", samples / "flower.jpg", portrait]


def _models(weights: Path) -> dict[str, effcam.ModelSpec]:
    half = effcam.Preprocess(mean=0.5, std=0.5, interpolation="bicubic")
    return {
        "SqueezeNet": effcam.ModelSpec(
            "torchvision:squeezenet1_0",
            checkpoint=weights / "torchvision_squeezenet1_0.safetensors",
        ),
        "MobileNetV2": effcam.ModelSpec(
            "torchvision:mobilenet_v2", checkpoint=weights / "torchvision_mobilenet_v2.safetensors"
        ),
        "MobileNetV2 (timm)": effcam.ModelSpec(
            "mobilenetv2_100",
            checkpoint=weights / "timm_mobilenetv2_100.safetensors",
            preprocess=half,
            options={"pad_type": "same"},
        ),
        "EfficientNet-Lite0": effcam.ModelSpec(
            "tf_efficientnet_lite0", checkpoint=weights / "timm_tf_efficientnet_lite0.safetensors"
        ),
    }


if __name__ == "__main__":
    main()
