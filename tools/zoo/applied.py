"""Libraries of applied fields: medicine, faces, segmentation, YOLO, and fastai."""

from __future__ import annotations

from typing import Any

from zoo.entries import Entry, Family, Package, make

NETS = "monai.networks.nets"


def _monai() -> list[Entry]:
    flat = {"spatial_dims": 2, "in_channels": 3}
    small_vit = {"in_channels": 3, "img_size": 96, "patch_size": 16, "hidden_size": 48,
                 "mlp_dim": 96, "num_layers": 3, "num_heads": 4, "classification": True,
                 "num_classes": 10, "spatial_dims": 2}  # fmt: skip
    return [
        Entry(package="monai", name="EfficientNetBN b0", build=make(
            f"{NETS}.EfficientNetBN", "efficientnet-b0", pretrained=False, num_classes=10, **flat)),
        Entry(package="monai", name="DenseNet121",
              build=make(f"{NETS}.DenseNet121", out_channels=10, **flat)),
        Entry(package="monai", name="resnet18, 2 dimensions", build=make(
            f"{NETS}.resnet18", spatial_dims=2, n_input_channels=3, num_classes=10)),
        Entry(package="monai", name="resnet18, 3 dimensions", refusal="volume", build=make(
            f"{NETS}.resnet18", spatial_dims=3, n_input_channels=3, num_classes=10)),
        Entry(package="monai", name="SEResNet50",
              build=make(f"{NETS}.SEResNet50", num_classes=10, **flat)),
        Entry(package="monai", name="ViT with a tanh", size=96, reads="class token",
              build=make(f"{NETS}.ViT", **small_vit)),
        Entry(package="monai", name="ViT", size=96, reads="class token",
              build=make(f"{NETS}.ViT", post_activation="none", **small_vit)),
        Entry(package="monai", name="TorchVisionFCModel resnet18", build=make(
            f"{NETS}.TorchVisionFCModel", "resnet18", num_classes=10, pretrained=False)),
        Entry(package="monai", name="Classifier", size=64, build=make(
            f"{NETS}.Classifier", in_shape=(3, 64, 64), classes=10, channels=(8, 16, 32),
            strides=(2, 2, 2))),
    ]  # fmt: skip


def _xray() -> list[Entry]:
    path = "torchxrayvision.models.DenseNet"
    return [
        Entry(package="torchxrayvision", name="DenseNet", channels=1, size=224,
              build=make(path, weights=None, num_classes=18, in_channels=1)),
        Entry(package="torchxrayvision", name="DenseNet with a sigmoid", channels=1,
              build=make(path, weights=None, num_classes=18, in_channels=1, apply_sigmoid=True),
              logits="classifier"),
        Entry(package="torchxrayvision", name="DenseNet with thresholds", channels=1,
              build=_thresholds, refusal="sigmoid|probabilities|0, 1"),
    ]  # fmt: skip


def _thresholds() -> Any:
    import torch

    thresholds = torch.full((18,), 0.2)
    path = "torchxrayvision.models.DenseNet"
    return make(path, weights=None, num_classes=18, in_channels=1, op_threshs=thresholds)()


def _yolo(name: str) -> Any:
    from ultralytics.nn.tasks import ClassificationModel

    return ClassificationModel(f"{name}.yaml", nc=10, verbose=False)


def _kornia_vit() -> Any:
    from kornia.models.vit import VisionTransformer
    from torch import nn

    body = VisionTransformer(image_size=128, patch_size=16, embed_dim=48, depth=3, num_heads=4)

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = body, nn.Linear(48, 10)

        def forward(self, images: Any) -> Any:
            return self.head(self.body(images)[:, 0])

    return Classifier()


def _kornia_mobile_vit() -> Any:
    from kornia.models.vit_mobile import MobileViT
    from torch import nn

    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(MobileViT(mode="xxs"), pool, nn.Flatten(), nn.Linear(320, 10))


def _tiny_vit() -> Any:
    from kornia.models.tiny_vit import TinyViT

    return TinyViT.from_config("5m", pretrained=False, num_classes=10)


def _smp(name: str) -> Any:
    import segmentation_models_pytorch as smp
    from torch import nn

    network = smp.Unet(name, encoder_weights=None, aux_params={"classes": 10, "pooling": "avg"})

    class Labels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Any) -> Any:
            return self.network(images)[1]

    return Labels()


def _smp_both() -> Any:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, aux_params={"classes": 10})


def _fastai(pool: bool) -> Any:
    import torchvision
    from fastai.vision.learner import create_body, create_head
    from torch import nn

    body = create_body(torchvision.models.resnet18(weights=None), pretrained=False, cut=-2)
    return nn.Sequential(body, create_head(512, 10, concat_pool=pool))


def _xresnet() -> Any:
    from fastai.vision.models.xresnet import xresnet18

    return xresnet18(n_out=10, pretrained=False)


def entries() -> list[Entry]:
    """Return the classifiers."""
    yolos = ("yolo11n-cls", "yolov8n-cls", "yolo12n-cls", "yolo26n-cls")
    return [
        *_monai(),
        *_xray(),
        *(Entry(package="ultralytics", name=name, build=lambda name=name: _yolo(name),
                logits=_head(name)) for name in yolos),
        Entry(package="kornia", name="VisionTransformer with a head", build=_kornia_vit, size=128,
              reads="class token"),
        Entry(package="kornia", name="MobileViT with a head", build=_kornia_mobile_vit, size=256),
        Entry(package="kornia", name="TinyViT 5m", build=_tiny_vit),
        Entry(package="segmentation-models-pytorch", name="Unet resnet18, its labels",
              build=lambda: _smp("resnet18"), layer="network.encoder*"),
        Entry(package="segmentation-models-pytorch", name="Unet mobilenet_v2, its labels",
              build=lambda: _smp("mobilenet_v2"), layer="network.encoder*"),
        Entry(package="segmentation-models-pytorch", name="Unet resnet18, masks and labels",
              build=_smp_both, logits="classification_head"),
        Entry(package="fastai", name="create_head over ResNet-18", build=lambda: _fastai(True)),
        Entry(package="fastai", name="create_head without concat_pool",
              build=lambda: _fastai(False)),
        Entry(package="fastai", name="xresnet18", build=_xresnet),
    ]  # fmt: skip


def _head(name: str) -> str:
    """Return the name of the linear layer whose softmax ultralytics' classifiers return."""
    return {"yolo11n-cls": "model.10.linear", "yolov8n-cls": "model.9.linear",
            "yolo12n-cls": "model.9.linear", "yolo26n-cls": "model.10.linear",
}[name]  # fmt: skip


FAMILY = Family(
    "applied",
    (
        Package("einops==0.8.2"),  # for MONAI's ViT
        Package("monai==1.6.1", modules=("monai.networks.nets",)),
        Package("torchxrayvision==1.5.7"),
        Package("ultralytics==8.4.190", modules=("ultralytics.nn.tasks",)),
        Package("kornia==0.9.0", modules=("kornia.models",)),
        Package("segmentation-models-pytorch==0.6.0"),
        Package("fastai==2.8.12", modules=("fastai.vision.all",)),
    ),
    entries,
)
