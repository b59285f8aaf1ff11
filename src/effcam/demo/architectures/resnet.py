"""ResNet of bottlenecks, of any depth, width and output stride."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from effcam.demo.architectures.parts import conv_norm

EXPANSION = 4
"""The channels that leave a block, over those inside."""
STEM = 64
"""The channels of the first convolution."""


class Bottleneck(nn.Module):
    """A residual block of a ResNet: a narrow 3 x 3 convolution between two of 1 x 1.

    Args:
        channels: The channels of its input.
        width: The channels inside; four times as many leave it.
        stride: The stride of the 3 x 3 convolution.
        dilation: Its dilation.
    """

    def __init__(self, channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        out = EXPANSION * width
        changes = stride != 1 or channels != out
        # Made before the others, as in timm: one seed then gives the same weights.
        shortcut = nn.Sequential(*conv_norm(channels, out, 1, stride)) if changes else None
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.act3 = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, maps: Tensor) -> Tensor:
        """Return (n, 4 width, h, w), given (n, channels, h, w)."""
        found = self.act1(self.bn1(self.conv1(maps)))
        found = self.act2(self.bn2(self.conv2(found)))
        found = self.bn3(self.conv3(found))
        found += maps if self.downsample is None else self.downsample(maps)
        active: Tensor = self.act3(found)
        return active


class ResNet(nn.Module):
    """ResNet (He et al. 2016, arXiv 1512.03385) of bottlenecks.

    Args:
        blocks: The number of blocks of each stage.
        widths: The channels inside the blocks of each stage.
        outputs: The number of its outputs.
        output_stride: The factor by which it reduces the picture, a power of 2 from 4: instead of a
            further stride, convolutions are dilated (Yu et al. 2017, arXiv 1705.09914).
    """

    def __init__(
        self, blocks: Sequence[int], widths: Sequence[int], outputs: int, output_stride: int = 32
    ) -> None:
        super().__init__()
        channels = STEM
        self.conv1, self.bn1 = conv_norm(3, channels, 7, 2)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        reached, dilation = 4, 1
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True), 1):
            stride, before = 1 if number == 1 else 2, dilation
            if reached >= output_stride:
                stride, dilation = 1, dilation * stride
            reached *= stride
            stage = nn.Sequential()
            for _ in range(count):
                stage.append(Bottleneck(channels, width, stride, before))
                channels, stride, before = EXPANSION * width, 1, dilation
            self.add_module(f"layer{number}", stage)
        self.num_features = channels
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.fc = nn.Linear(channels, outputs)
        self._initialise()

    def _initialise(self) -> None:
        for each in self.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.kaiming_normal_(each.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(each, Bottleneck):
                # A block then begins as its shortcut (Goyal et al. 2017, arXiv 1706.02677).
                nn.init.zeros_(each.bn3.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (n, outputs) of images (n, 3, height, width)."""
        found = self.maxpool(self.act1(self.bn1(self.conv1(images))))
        for name, stage in self.named_children():
            if name.startswith("layer"):
                found = stage(found)
        scores: Tensor = self.fc(self.global_pool(found))
        return scores
