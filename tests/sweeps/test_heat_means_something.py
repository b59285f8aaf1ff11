"""The default layers mean something: heat lies on the object that decides the class.

Small networks of timm's own classes are trained on scenes with one coloured object and one grey
distractor on noisy ground. Where evidence stays in its place, so does heat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from timm.layers import HybridEmbed
from timm.models.resnet import BasicBlock, ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from effcam import Preprocess, load_model
from effcam.cam.explain import compute_cams
from effcam.errors import LayerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

SIDE = 64
CLASSES = 4
COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]) * 2 - 0.8


@dataclass(frozen=True)
class Scenes:
    """Images (n, 3, SIDE, SIDE), their classes (n,) and their objects' boxes (n, SIDE, SIDE)."""

    images: Tensor
    labels: Tensor
    boxes: NDArray[np.bool_]


def make_scenes(count: int, seed: int) -> Scenes:
    random = np.random.default_rng(seed)
    images = random.normal(0, 0.35, (count, 3, SIDE, SIDE))
    labels = random.integers(0, CLASSES, count)
    boxes = np.zeros((count, SIDE, SIDE), bool)
    for image, label, box in zip(images, labels, boxes, strict=True):
        object_side, other_side = random.integers(14, 26), random.integers(10, 20)
        box[square(random, object_side)] = True
        shape = box if random.random() < 0.5 else box & disc(box)
        other = np.zeros_like(box)
        other[square(random, other_side)] = True
        image[:, shape] += COLOURS[label][:, None]
        image[:, other & ~shape] += random.choice([-1, 1])
    return Scenes(torch.tensor(images, dtype=torch.float32), torch.tensor(labels), boxes)


def square(random: np.random.Generator, side: int) -> tuple[slice, slice]:
    top, left = random.integers(0, SIDE - side, 2)
    return slice(top, top + side), slice(left, left + side)


def disc(box: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = np.nonzero(box)
    radius = (rows.max() - rows.min() + 1) / 2
    down, across = np.mgrid[:SIDE, :SIDE]
    near: NDArray[np.bool_] = (down - rows.mean()) ** 2 + (across - columns.mean()) ** 2 < radius**2
    return near


def vit(*, depth: int, **options: object) -> nn.Module:
    return VisionTransformer(
        img_size=SIDE,
        num_classes=CLASSES,
        embed_dim=48,
        depth=depth,
        num_heads=3,
        mlp_ratio=2,
        **options,
    )


def hybrid() -> nn.Module:
    def stage(inputs: int, outputs: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    stem = nn.Sequential(*stage(3, 16), *stage(16, 32), *stage(32, 32))
    embed = partial(HybridEmbed, backbone=stem)
    return vit(depth=2, patch_size=1, embed_layer=embed, class_token=False, global_pool="avg")


def swin() -> nn.Module:
    return SwinTransformer(
        img_size=SIDE,
        num_classes=CLASSES,
        embed_dim=24,
        depths=(1, 1),
        num_heads=(2, 4),
        window_size=4,
        mlp_ratio=2,
    )


def cnn() -> nn.Module:
    widths = (16, 24, 32, 48)
    return ResNet(
        BasicBlock, (1, 1, 1, 1), CLASSES, channels=widths, stem_width=16, output_stride=8
    )


@dataclass(frozen=True)
class Case:
    """A network, its number of training steps, and the layer to explain."""

    make: Callable[[], nn.Module]
    steps: int
    layer: str
    layout: str
    prefix: int


CASES = {
    # Training drops half of the patches, so that a token describes its own place.
    "vit": Case(
        partial(vit, depth=3, patch_size=8, patch_drop_rate=0.5), 150, "blocks.2.norm1", "tokens", 1
    ),
    "pooled vit": Case(
        partial(vit, depth=3, patch_size=8, class_token=False, global_pool="avg"),
        150,
        "blocks",
        "tokens",
        0,
    ),
    "swin": Case(swin, 250, "norm", "NHWC", 0),
    "hybrid": Case(hybrid, 150, "blocks", "tokens", 0),
    "cnn": Case(cnn, 100, "layer4", "NCHW", 0),
}


def train(module: nn.Module, scenes: Scenes, steps: int) -> nn.Module:
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(scenes.images), (48,))
        scores = module(scenes.images[batch])
        loss = functional.cross_entropy(scores, scenes.labels[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return module.eval()


def share_inside(maps: NDArray[np.float32], boxes: NDArray[np.bool_]) -> float:
    """Return the mean share of heat that lies inside boxes."""
    cells = SIDE // maps.shape[1]
    heat = maps.repeat(cells, axis=1).repeat(cells, axis=2)
    share: NDArray[np.float64] = (heat * boxes).sum((1, 2)) / heat.sum((1, 2))
    return float(share.mean())


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Train on two threads: the weights depend on it, and the limits were set for these."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", CASES)
def test_heat_lies_on_the_object(name: str) -> None:
    case, seen, fresh = CASES[name], make_scenes(1024, 1), make_scenes(96, 101)
    torch.manual_seed(1)
    model = load_model(
        train(case.make(), seen, case.steps), preprocess=Preprocess(size=SIDE), name=name
    )
    layer = model.layer
    assert (layer.name, layer.layout, layer.prefix) == (case.layer, case.layout, case.prefix)
    cams = compute_cams(model, fresh.images, ["gradcam"], fresh.labels.tolist())
    right = cams.probabilities.argmax(1) == fresh.labels.numpy()
    assert right.mean() > 0.8
    assert cams.states["gradcam"] == ["ok"] * len(right)
    inside = share_inside(cams.maps["gradcam"], fresh.boxes)
    assert inside > 1.4 * fresh.boxes.mean(), "no better than heat that is spread evenly"
    elsewhere = share_inside(np.roll(cams.maps["gradcam"], 1, axis=0), fresh.boxes)
    assert inside > 1.3 * elsewhere, "no better than the heat of another scene"


def test_where_the_class_token_alone_goes_on_nothing_is_drawn() -> None:
    with pytest.raises(LayerError, match="from layer 'norm' on, only the class token"):
        load_model(
            vit(depth=2, patch_size=8), preprocess=Preprocess(size=SIDE), target_layer="norm"
        )
