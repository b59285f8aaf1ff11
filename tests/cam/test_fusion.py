"""Several target layers' maps made one, and the options that do it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from effcam import compare
from effcam.cam.explain import compute_cams
from effcam.cam.methods.fusion import fuse
from effcam.cam.methods.options import MethodOptions, make_options
from effcam.demo import scenes
from effcam.errors import ArgumentError, LayerError
from effcam.images.preprocess import Preprocess
from effcam.models.loading import load_model

FINE, COARSE = torch.rand(2, 8, 8) - 0.3, torch.rand(2, 4, 4) - 0.3
LAYERS = ["layer3", "layer4"]


def unit(heat: Tensor) -> Tensor:
    """Return (B, h, w) maps scaled to [0, 1] image by image."""
    low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
    return (heat - low) / (high - low)


def larger(heat: Tensor) -> Tensor:
    return functional.interpolate(heat[:, None], size=(8, 8), mode="bilinear")[:, 0]


@pytest.mark.parametrize("how", ["sum", "product", "winsor"])
def test_one_map_stays_as_it_is(how: Any) -> None:
    assert torch.equal(fuse([FINE], how), FINE)


def test_a_product_is_of_scaled_maps() -> None:
    expected = unit(FINE.clamp(min=0)) * unit(larger(COARSE.clamp(min=0)))
    assert_close(fuse([FINE, COARSE], "product"), expected)
    assert_close(fuse([COARSE, FINE], "product"), expected)


def test_a_layer_without_evidence_makes_a_product_empty() -> None:
    assert not fuse([FINE, -COARSE.abs()], "product").any()


def test_extreme_importance_is_reduced_to_the_percentile() -> None:
    """Of 1, 2, 3, 4 and 1000, 80 % lie at or below 4 + .2 (1000 - 4) by linear interpolation."""
    maps = [torch.rand(1, 4, 4) for _ in range(5)]
    importance = torch.tensor([1.0, 2.0, 3.0, 4.0, 1000.0])
    limit = importance.quantile(0.8)
    weights = 0.1 + 0.9 * (importance.clamp(max=limit) - 1) / (limit - 1)
    expected = sum(weight * unit(each) for weight, each in zip(weights, maps, strict=True)) / 5
    assert_close(fuse(maps, "winsor", [each[None] for each in importance]), expected)


def test_a_layer_without_importance_has_no_weight() -> None:
    maps = [torch.rand(1, 4, 4) for _ in range(3)]
    found = fuse(maps, "winsor", [torch.tensor([each]) for each in (2.0, 2.0, -1.0)])
    assert_close(found, (unit(maps[0]) + unit(maps[1])) / 3)


def test_importance_is_each_images_own() -> None:
    maps, importance = [torch.rand(2, 4, 4), torch.rand(2, 4, 4)], [torch.rand(2), torch.rand(2)]
    found = fuse(maps, "winsor", importance)
    for row in range(2):
        part = slice(row, row + 1)
        alone = fuse([each[part] for each in maps], "winsor", [each[part] for each in importance])
        assert_close(found[part], alone)


@pytest.mark.parametrize("how", ["sum", "product", "winsor"])
def test_layers_of_a_model_are_fused_as_asked(how: Any) -> None:
    transform = Preprocess(size=64)
    model = load_model(
        "resnet18", pretrained=False, target_layer=LAYERS, preprocess=transform, device="cpu"
    )
    images = torch.rand(2, 3, 64, 64)
    options = MethodOptions(fuse=how)
    found = compute_cams(model, images, ["layercam"], [1, 2], options).maps["layercam"]
    alone = [
        torch.from_numpy(
            compute_cams(
                load_model(model.module, target_layer=name, preprocess=transform),
                images,
                ["layercam"],
                [1, 2],
            ).maps["layercam"]
        )
        for name in LAYERS
    ]
    assert found.shape == (2, 4, 4)
    # The maps of LayerCAM behind a ReLU have no negative cells that the fusion would see.
    if how != "winsor":
        assert_close(torch.from_numpy(found), fuse(alone, how))
    else:
        assert not torch.allclose(torch.from_numpy(found), fuse(alone, "sum"))


@pytest.mark.parametrize("how", ["product", "winsor"])
def test_a_fusion_of_one_layer_is_refused(how: Any) -> None:
    with pytest.raises(LayerError, match=f"fuse='{how}' makes one map of several target layers"):
        compare(scenes(1, size=64), "demo_resnet", fuse=how, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fuse": "mean"}, "fuse must be"),
        ({"resolution": 0}, "resolution must be a whole number from 1, not 0"),
        ({"samples": 1.5}, "samples must be a whole number from 1, not 1.5"),
        ({"channels": 0}, "channels must be a whole number from 1, not 0"),
        ({"aug_smooth": "yes"}, "aug_smooth must be True or False, not 'yes'"),
        ({"eigen_smooth": 1}, "eigen_smooth must be True or False, not 1"),
    ],
)
def test_impossible_options_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make_options(**options)
