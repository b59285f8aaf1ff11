"""vit-pytorch and the packages that are written in its style."""

from __future__ import annotations

from typing import Any

from zoo.entries import Entry, Family, Package, Reads, make

SIZE = 128
VIT = {"image_size": SIZE, "patch_size": 16, "num_classes": 10, "dim": 64, "depth": 3, "heads": 4,
       "mlp_dim": 128}  # fmt: skip
DEEP: dict[str, Any] = VIT | {"cls_depth": 2}
NO_IMAGE_SIZE = {"num_classes": 10, "dim": 32, "depth": (1, 1, 1, 1)}
STAGES = {"num_classes": 10, "dim": (32, 64, 96, 128), "depth": (1, 1, 1, 1)}


def _vit(
    path: str,
    options: dict[str, Any],
    reads: Reads = "cells",
    size: int = SIZE,
    *,
    layer: str = "",
) -> Entry:
    name = path if "(" in path else path.replace(".", " ")
    changed = ", ".join(f"{key}={value}" for key, value in options.items() if key in SHOWN)
    build = make(f"vit_pytorch.{path}", **options)
    title = f"{name} {changed}".strip()
    return Entry(
        package="vit-pytorch", name=title, build=build, reads=reads, size=size, layer=layer
    )


SHOWN = ("pool", "num_register_tokens", "use_cls_token")


def _class_token_vits() -> list[Entry]:
    plain = ("vit.ViT", "deepvit.DeepViT", "parallel_vit.ViT", "vit_for_small_dataset.ViT",
             "learnable_memory_vit.ViT", "vit_with_patch_dropout.ViT", "vit_with_keel_post_ln.ViT",
             "vit_with_decorr.ViT", "vit_5.ViT", "rvt.RvT",
             "simple_vit_with_specialized_cls.SimpleViT")  # fmt: skip
    found = [_vit(path, VIT, "class token") for path in plain]
    t2t = {"image_size": SIZE, "num_classes": 10, "dim": 64, "depth": 3, "heads": 4, "mlp_dim": 128}
    cross = {"image_size": 120, "num_classes": 10, "sm_dim": 32, "lg_dim": 48, "depth": 2,
             "sm_enc_heads": 4, "lg_enc_heads": 4, "cross_attn_heads": 4, "sm_enc_mlp_dim": 64,
             "lg_enc_mlp_dim": 64, "lg_enc_depth": 1, "lg_patch_size": 20}  # fmt: skip
    return [
        *found,
        _vit("cait.CaiT", DEEP, "class token"),
        _vit("xcit.XCiT", DEEP, "class token"),
        _vit("t2t.T2TViT", t2t, "class token"),
        _vit("pit.PiT", VIT | {"patch_size": 8, "depth": (2, 2), "heads": 4}, "class token"),
        _vit("cross_vit.CrossViT", cross, "class token", 120),
        _vit("ats_vit.ViT", VIT | {"max_tokens_per_depth": (64, 32, 16)}, "class token"),
        _vit("looped_vit.LoopedViT", _looped(), "class token"),
        _vit("vit_nd.ViTND", VIT_ND | {"pool": "cls"}, "class token"),
        _vit("jumbo_vit.JumboViT", VIT, "class token"),
        Entry(package="vit-pytorch", name="learnable_memory_vit Adapter", build=_adapter,
              reads="class token", size=SIZE),
        Entry(package="vit-pytorch", name="efficient ViT over x-transformers", size=SIZE,
              build=_efficient, reads="class token"),
        Entry(package="vit-pytorch", name="distill DistillableViT", size=SIZE, reads="class token",
              build=make("vit_pytorch.distill.DistillableViT", **VIT)),
    ]  # fmt: skip


VIT_ND = {"ndim": 2, "input_shape": (SIZE, SIZE), "patch_size": (16, 16), "num_classes": 10,
          "dim": 64, "depth": 3, "heads": 4, "mlp_dim": 128}  # fmt: skip


def _looped() -> dict[str, Any]:
    return {"num_classes": 10, "dim": 64, "image_size": SIZE, "patch_size": 16, "heads": 4,
            "pre_loop_depth": 1, "num_looped_blocks": 1, "post_loop_depth": 1, "loop_depth": 2,
            "mlp_dim": 128}  # fmt: skip


def _adapter() -> Any:
    from vit_pytorch.learnable_memory_vit import Adapter, ViT

    return Adapter(vit=ViT(**VIT), num_classes=10, num_memories_per_layer=4)


def _efficient() -> Any:
    from vit_pytorch.efficient import ViT
    from x_transformers import Encoder

    body = Encoder(dim=64, depth=3, heads=4)
    return ViT(image_size=SIZE, patch_size=16, num_classes=10, dim=64, transformer=body)


def _pooled_vits() -> list[Entry]:
    plain = ("simple_vit.SimpleViT", "simple_flash_attn_vit.SimpleViT", "simple_uvit.SimpleUViT",
             "simple_vit_with_patch_dropout.SimpleViT", "simple_vit_with_qk_norm.SimpleViT",
             "simple_vit_with_register_tokens.SimpleViT",
             "simple_vit_with_relative_proj_pos_bias.SimpleViT",
             "simple_vit_with_value_residual.SimpleViT",
             "simple_vit_attn_residual.SimpleViTAttnResidual",
             "simple_vit_orthog_residual_update.SimpleViT", "normalized_vit.nViT", "mp3.ViT",
             "jet_vit.JetViT", "na_vit.NaViT", "na_vit_nested_tensor.NaViT",
             "vit_with_patch_merger.ViT", "vit_detpool.ViTDetPool",
             "simple_vit_with_sparse_gating.SimpleViTWithSparseGating",
             "attn_residual_with_dca_simple_vit.SimpleViT")  # fmt: skip
    pooled = [_vit(path, VIT | {"pool": "mean"}) for path in (
        "vit.ViT", "deepvit.DeepViT", "parallel_vit.ViT", "vit_for_small_dataset.ViT")]  # fmt: skip
    flat = {key: value for key, value in VIT_ND.items() if key != "pool"}
    return [
        *(_vit(path, VIT) for path in plain),
        *pooled,
        _vit("simple_vit_with_fft.SimpleViT", VIT | {"freq_patch_size": 16}),
        _vit("simple_vit_with_hyper_connections.SimpleViT", VIT | {"num_residual_streams": 2}),
        _vit("vit_nd_rotary.ViTND", flat),
        _vit("vit_nd_pope.ViTND", flat),
        _vit("t2t.T2TViT", {"image_size": SIZE, "num_classes": 10, "dim": 64, "depth": 3,
                            "heads": 4, "mlp_dim": 128, "pool": "mean"}),
    ]  # fmt: skip


def _convolutional() -> list[Entry]:
    levit = {"image_size": 224, "num_classes": 10, "stages": 3, "dim": (32, 48, 64), "depth": 2,
             "heads": (2, 3, 4), "mlp_mult": 2}  # fmt: skip
    cct = {"img_size": (SIZE, SIZE), "embedding_dim": 64, "n_conv_layers": 2, "num_layers": 2,
           "num_heads": 4, "mlp_ratio": 2.0, "num_classes": 10}  # fmt: skip
    nest = {"image_size": 224, "patch_size": 4, "num_classes": 10, "dim": 32, "heads": 2,
            "num_hierarchies": 3, "block_repeats": (1, 1, 1)}  # fmt: skip
    mobile = {"image_size": (256, 256), "dims": [32, 48, 64], "num_classes": 10,
              "channels": [16, 16, 24, 24, 32, 32, 48, 48, 64, 64, 96]}  # fmt: skip
    max_vit = NO_IMAGE_SIZE | {"depth": (1, 1, 1), "window_size": 7, "dim_head": 16,
                               "dim_conv_stem": 16}  # fmt: skip
    scalable = NO_IMAGE_SIZE | {"heads": (1, 2, 4, 8), "reduction_factor": (8, 4, 2, 1),
                                "window_size": (None, None, None, None)}  # fmt: skip
    look = {"dim": 64, "image_size": 256, "num_classes": 10, "depth": 2, "patch_size": 32,
            "highres_patch_size": 16, "heads": 4, "cross_attn_heads": 4}  # fmt: skip
    cvt = {"num_classes": 10, "s1_emb_dim": 16, "s2_emb_dim": 32, "s3_emb_dim": 48, "s3_depth": 2}
    twins = {"num_classes": 10, "s1_emb_dim": 16, "s2_emb_dim": 32, "s3_emb_dim": 48,
             "s4_emb_dim": 64, "s3_depth": 1, "s4_depth": 1}  # fmt: skip
    return [
        _vit("levit.LeViT", levit, size=224, layer="backbone*"),
        _vit("cct.CCT", cct),
        _vit("cvt.CvT", cvt, size=224),
        _vit("twins_svt.TwinsSVT", twins, size=224),
        _vit("crossformer.CrossFormer", STAGES | {"global_window_size": (8, 4, 2, 1)}, size=224),
        _vit("regionvit.RegionViT", STAGES, size=224),
        _vit("scalable_vit.ScalableViT", scalable, size=224),
        _vit("sep_vit.SepViT", NO_IMAGE_SIZE | {"heads": (1, 2, 4, 8)}, size=224),
        _vit("nest.NesT", nest, size=224),
        _vit("mobile_vit.MobileViT", mobile, size=256),
        _vit("max_vit.MaxViT", max_vit, size=224),
        _vit("max_vit_with_registers.MaxViT", max_vit, size=224),
        _vit("look_vit.LookViT", look, size=256),
    ]


def _others() -> list[Entry]:
    mixer = {"image_size": SIZE, "patch_size": 16, "dim": 64, "depth": 3, "num_classes": 10}
    swin = {"hidden_dim": 16, "layers": (2, 2, 2, 2), "heads": (1, 2, 4, 8), "num_classes": 10}
    perceiver = {"num_freq_bands": 4, "depth": 2, "max_freq": 8.0, "num_latents": 256,
                 "latent_dim": 64, "latent_heads": 4, "num_classes": 10}  # fmt: skip
    return [
        Entry(package="mlp-mixer-pytorch", name="MLPMixer", size=SIZE,
              build=make("mlp_mixer_pytorch.MLPMixer", channels=3, **mixer)),
        Entry(package="g-mlp-pytorch", name="gMLPVision", size=SIZE,
              build=make("g_mlp_pytorch.gMLPVision", **mixer)),
        Entry(package="res-mlp-pytorch", name="ResMLP", size=SIZE,
              build=make("res_mlp_pytorch.ResMLP", **mixer)),
        Entry(package="swin-transformer-pytorch", name="SwinTransformer",
              build=make("swin_transformer_pytorch.SwinTransformer", **swin)),
        Entry(package="lambda-networks", name="a ResNet with a LambdaLayer", build=_lambda),
        Entry(package="bottleneck-transformer-pytorch", name="a ResNet with a BottleStack",
              build=_bottle),
        Entry(package="x-transformers", name="ViTransformerWrapper", size=SIZE,
              build=_x_transformer),
        Entry(package="x-transformers", name="ViTransformerWrapper with 4 registers", size=SIZE,
              build=lambda: _x_transformer(num_register_tokens=4)),
        Entry(package="perceiver-pytorch", name="Perceiver behind a permutation", size=64,
              build=lambda: _perceiver("perceiver_pytorch.Perceiver", perceiver)),
        Entry(package="perceiver-pytorch", name="gated Perceiver behind a permutation", size=64,
              build=lambda: _perceiver("perceiver_pytorch.gated.Perceiver", perceiver)),
        Entry(package="byol-pytorch", name="ResNet-18 after BYOL's hooks", build=_byol),
    ]  # fmt: skip


def _lambda() -> Any:
    import torchvision
    from lambda_networks import LambdaLayer

    network = torchvision.models.resnet18(num_classes=10)
    network.layer4[1].conv2 = LambdaLayer(dim=512, dim_out=512, r=7, dim_k=16, heads=4, dim_u=1)
    return network


def _bottle() -> Any:
    import torchvision
    from bottleneck_transformer_pytorch import BottleStack

    network = torchvision.models.resnet18(num_classes=10)
    network.layer4 = BottleStack(
        dim=256, fmap_size=14, dim_out=512, proj_factor=4, downsample=True, heads=4, dim_head=32
    )
    return network


def _x_transformer(**options: Any) -> Any:
    from x_transformers import Encoder, ViTransformerWrapper

    body = Encoder(dim=64, depth=3, heads=4)
    return ViTransformerWrapper(
        image_size=SIZE, patch_size=16, num_classes=10, attn_layers=body, **options
    )


def _perceiver(path: str, options: dict[str, Any]) -> Any:
    from torch import nn

    class ChannelsFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.perceiver = make(path, **options)()

        def forward(self, images: Any) -> Any:
            return self.perceiver(images.permute(0, 2, 3, 1))

    return ChannelsFirst()


def _byol() -> Any:
    import torchvision
    from byol_pytorch import BYOL

    network = torchvision.models.resnet18(num_classes=10)
    BYOL(network, image_size=64, hidden_layer="avgpool")
    return network


def entries() -> list[Entry]:
    """Return the classifiers."""
    return [*_class_token_vits(), *_pooled_vits(), *_convolutional(), *_others()]


FAMILY = Family(
    "lucidrains",
    (
        Package("vit-pytorch==1.26.11", modules=("vit_pytorch",)),
        Package("x-transformers==2.31.10", modules=("x_transformers",)),
        Package("perceiver-pytorch==0.11.0"),
        Package("mlp-mixer-pytorch==0.3.1"),
        Package("g-mlp-pytorch==0.1.5"),
        Package("res-mlp-pytorch==0.0.6"),
        Package("lambda-networks==0.4.0"),
        Package("bottleneck-transformer-pytorch==0.1.4"),
        Package("swin-transformer-pytorch==0.4.1"),
        Package("byol-pytorch==0.9.1"),
    ),
    entries,
)
