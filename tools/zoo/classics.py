"""Collections of architectures, and single ones as their authors publish them."""

from __future__ import annotations

from typing import Any

from zoo.entries import Entry, Family, Package, make

LARGE = {"inceptionv3", "inceptionv4", "inceptionresnetv2", "xception"}
CADENE = ("bninception", "resnet18", "resnext101_32x4d", "inceptionv3", "inceptionv4",
          "inceptionresnetv2", "xception", "nasnetamobile", "dpn68", "se_resnet50", "densenet121",
          "squeezenet1_1", "cafferesnet101")  # fmt: skip
CV = ("preresnet18", "seresnet18", "peleenet", "darknet53", "mobilenetv3_small_w1",
      "menet108_8x1_g3", "squeezenet_v1_1", "sqnxt23_w1", "proxylessnas_cpu", "mixnet_s",
      "ghostnet", "dla34", "hrnet_w18_small_v1", "vovnet27s", "hardnet39ds",
      "diracnet18v2", "cbam_resnet18", "condensenet74_c4_g4", "scnet50",
      "nin_cifar10", "ror3_56_cifar10", "rir_cifar10", "msdnet22", "revnet38",
      "nasnet_4a1056", "xception", "inceptionv4", "zfnet")  # fmt: skip


def _cadene(name: str) -> Any:
    import pretrainedmodels

    return getattr(pretrainedmodels, name)(num_classes=10, pretrained=None)


def _cv(name: str) -> Any:
    from pytorchcv.model_provider import get_model

    classes = {} if "pose" in name else {"num_classes": 10}
    return get_model(name, pretrained=False, **classes)


def _finetune(name: str) -> Any:
    from cnn_finetune import make_model

    return make_model(name, num_classes=10, pretrained=False)


def _former(path: str, **options: Any) -> Any:
    return make(f"vformer.models.classification.{path}", **options)


def _vformer() -> list[Entry]:
    vit = {"img_size": 128, "patch_size": 16, "n_classes": 10, "embedding_dim": 64, "head_dim": 16,
           "num_heads": 4, "depth": 3, "encoder_mlp_dim": 128}  # fmt: skip
    convit = {"img_size": 128, "patch_size": 16, "n_classes": 10, "embedding_dim": 64,
              "head_dim": 16, "depth_sa": 2, "depth_gpsa": 2, "attn_heads_sa": 4,
              "attn_heads_gpsa": 4, "encoder_mlp_dim": 128}  # fmt: skip
    cross = {"img_size": 128, "patch_size_s": 16, "patch_size_l": 32, "n_classes": 10,
             "latent_dim_s": 64, "latent_dim_l": 64, "depth_s": 2, "depth_l": 2,
             "attn_heads_s": 4, "attn_heads_l": 4, "encoder_mlp_dim_s": 64,
             "encoder_mlp_dim_l": 64}  # fmt: skip
    swin = {"img_size": 224, "patch_size": 4, "in_channels": 3, "n_classes": 10, "window_size": 7,
            "embedding_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8]}  # fmt: skip
    return [
        Entry(package="vformer", name="VanillaViT", build=_former("vanilla.VanillaViT", **vit),
              size=128, reads="class token"),
        Entry(package="vformer", name="VanillaViT pool=mean", size=128,
              build=_former("vanilla.VanillaViT", pool="mean", **vit)),
        Entry(package="vformer", name="ConViT", build=_former("convit.ConViT", **convit), size=128,
              reads="class token"),
        Entry(package="vformer", name="CrossViT", build=_former("cross.CrossViT", **cross),
              size=128, reads="class token"),
        Entry(package="vformer", name="SwinTransformer",
              build=_former("swin.SwinTransformer", **swin)),
        Entry(package="vformer", name="PVTClassificationV2", build=_former(
            "pyramid.PVTClassificationV2", n_classes=10, embedding_dims=[16, 32, 40, 64],
            num_heads=[1, 2, 5, 8], depths=[1, 1, 1, 1])),
    ]  # fmt: skip


def _singles() -> list[Entry]:
    return [
        Entry(package="efficientnet-pytorch", name="EfficientNet b0", build=make(
            "efficientnet_pytorch.EfficientNet.from_name", "efficientnet-b0", num_classes=10)),
        Entry(package="geffnet", name="mixnet_s", build=make(
            "geffnet.create_model", "mixnet_s", num_classes=10)),
        Entry(package="geffnet", name="mobilenetv3_large_100", build=make(
            "geffnet.create_model", "mobilenetv3_large_100", num_classes=10)),
        Entry(package="facenet-pytorch", name="InceptionResnetV1, classes", size=160, build=make(
            "facenet_pytorch.InceptionResnetV1", classify=True, num_classes=10)),
        Entry(package="facenet-pytorch", name="InceptionResnetV1, embedding", size=160,
              build=make("facenet_pytorch.InceptionResnetV1"), refusal="class|embedding"),
        Entry(package="resnest", name="resnest50", build=make(
            "resnest.torch.resnest50", pretrained=False, num_classes=10)),
        Entry(package="pytorch-pretrained-vit", name="ViT", size=128, reads="class token",
              build=make("pytorch_pretrained_vit.ViT", name=None, patches=16, dim=48, ff_dim=96,
                         num_heads=4, num_layers=3, image_size=128, num_classes=10)),
        Entry(package="distillable-vision-transformer", name="DistillableVisionTransformer",
              size=128, reads="class token", build=make(
                  "distillable_vision_transformer.DistillableVisionTransformer",
                  image_size=(128, 128), emb_dim=48, mlp_dim=96, num_heads=4, num_layers=3,
                  num_classes=10)),
        Entry(package="hiera-transformer", name="Hiera", logits="head.projection", build=make(
            "hiera.hiera.Hiera", embed_dim=24, stages=(1, 1, 2, 1), num_classes=10)),
        Entry(package="fastervit", name="faster_vit_0_224", build=make(
            "fastervit.models.faster_vit.FasterViT", dim=32, in_dim=16, depths=[1, 1, 2, 1],
            window_size=[7, 7, 7, 7], ct_size=2, mlp_ratio=2, num_heads=[2, 4, 8, 16],
            num_classes=10, hat=[False, False, True, False])),
        Entry(package="efficientnet-lite-pytorch", name="EfficientNet lite0", build=make(
            "efficientnet_lite_pytorch.EfficientNet.from_name", "efficientnet-lite0")),
    ]  # fmt: skip


def entries() -> list[Entry]:
    """Return the classifiers."""
    finetuned = ("resnet18", "dpn68", "se_resnet50", "xception", "densenet121")
    return [
        *(Entry(package="pretrainedmodels", name=name, build=lambda name=name: _cadene(name),
                size=299 if name in LARGE else 224) for name in CADENE),
        *(Entry(package="pytorchcv", name=name, build=lambda name=name: _cv(name),
                size=_size(name), refusal="scores" if "pose" in name else "") for name in CV),
        *(Entry(package="cnn-finetune", name=name, build=lambda name=name: _finetune(name))
          for name in finetuned),
        *_vformer(),
        *_singles(),
    ]  # fmt: skip


def _size(name: str) -> int:
    return 32 if "cifar" in name else 299 if name in LARGE else 224


FAMILY = Family(
    "classics",
    (
        Package("einops==0.8.2"),  # vformer's, which demands an old PyYAML
        Package("six==1.17.0"),  # pretrainedmodels imports it, and does not ask for it
        Package("pretrainedmodels==0.7.4"),
        Package("pytorchcv==0.0.74", modules=("pytorchcv.model_provider",)),
        Package("cnn-finetune==0.6.0"),
        Package("efficientnet-pytorch==0.7.1"),
        Package("efficientnet-lite-pytorch==0.1.0"),
        Package("geffnet==1.0.2"),
        Package("facenet-pytorch==2.6.0", alone=True),
        Package("resnest==0.0.5", alone=True),
        Package("pytorch-pretrained-vit==0.0.7"),
        Package("distillable-vision-transformer==1.0.1"),
        Package("hiera-transformer==0.1.4"),
        Package("fastervit==1.0.0", alone=True),
        Package("vformer==0.1.3", alone=True),
    ),
    entries,
)
