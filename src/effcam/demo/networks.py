"""Five small networks like the five of `DEFAULT_MODELS`, for the ten classes of scenes.

A sixth one is for scenes of several objects.

Each is the library's class with fewer channels and smaller strides, since the pictures are small:
the originals reduce a picture of 224 px by 32, these reduce one of half that size by 16 or 8.
AlexNet's class has fixed widths, so its layers are replaced here.
"""

from __future__ import annotations

from timm.models.resnet import Bottleneck, ResNet
from torch import nn
from torchvision.models import AlexNet, DenseNet
from torchvision.models.efficientnet import EfficientNet, MBConvConfig

from effcam.demo.scenes import LABELS

CLASSES = len(LABELS)
B0_BLOCKS = (
    # expansion, kernel, stride, channels in and out, repeats: as EfficientNet-B0, but with fewer
    # channels, expansions of 4 instead of 6, and earlier strides, in total 16
    (1, 3, 2, 12, 12, 1),
    (4, 3, 2, 12, 12, 2),
    (4, 5, 2, 12, 24, 2),
    (4, 3, 1, 24, 32, 3),
    (4, 5, 1, 32, 32, 3),
    (4, 5, 1, 32, 32, 4),
    (4, 3, 1, 32, 48, 1),
)
FEATURES = 160


def alexnet() -> AlexNet:
    """Return an AlexNet (Krizhevsky et al. 2012; torchvision's, arXiv 1404.5997), narrow."""
    network = AlexNet(num_classes=CLASSES)
    widths = (24, 48, 64, 48, 32)
    channels = 3
    for index, width in zip((0, 3, 6, 8, 10), widths, strict=True):
        kernel = network.features[index].kernel_size[0]
        stride, padding = (2, 2) if index == 0 else (1, kernel // 2)
        network.features[index] = nn.Conv2d(channels, width, kernel, stride, padding)
        channels = width
    hidden = 56
    network.classifier[1] = nn.Linear(channels * 6 * 6, hidden)
    network.classifier[4] = nn.Linear(hidden, hidden)
    network.classifier[6] = nn.Linear(hidden, CLASSES)
    return network


def densenet() -> DenseNet:
    """Return a DenseNet (Huang et al. 2017, arXiv 1608.06993) of three blocks, narrow."""
    return DenseNet(
        growth_rate=10, block_config=(4, 8, 10), num_init_features=24, num_classes=CLASSES
    )


def multilabel() -> DenseNet:
    """Return the DenseNet with fewer layers, for several labels in an image."""
    return DenseNet(
        growth_rate=10, block_config=(4, 7, 1), num_init_features=24, num_classes=CLASSES
    )


def resnet(output_stride: int = 8, outputs: int = CLASSES) -> ResNet:
    """Return a ResNet (He et al. 2016, arXiv 1512.03385) of bottlenecks, narrow.

    Args:
        output_stride: The factor by which it reduces the picture. The weights were trained at 16,
            which is faster; at 8 dilated convolutions (Yu et al. 2017, arXiv 1705.09914) compute
            the same features at four times as many positions.
        outputs: The number of its outputs.
    """
    return ResNet(
        Bottleneck,  # type: ignore[arg-type]  # timm annotates an instance instead of the class
        (2, 3, 4, 2),
        outputs,
        output_stride=output_stride,
        stem_width=24,
        channels=(12, 20, 32, 40),
    )


def efficientnet_b0() -> EfficientNet:
    """Return an EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946), narrow."""
    return _efficientnet(1.0, 1.0)


def efficientnet_b3() -> EfficientNet:
    """Return it scaled as EfficientNet-B3: 1.2 times as wide, 1.4 times as deep."""
    return _efficientnet(1.2, 1.4)


def _efficientnet(wider: float, deeper: float) -> EfficientNet:
    settings = [MBConvConfig(*block, width_mult=wider, depth_mult=deeper) for block in B0_BLOCKS]
    return EfficientNet(
        settings,
        dropout=0.1,
        stochastic_depth_prob=0.0,
        num_classes=CLASSES,
        last_channel=MBConvConfig.adjust_channels(FEATURES, wider),
    )
