"""LeGrad, rollout and gradient-weighted rollout against attention matrices by explicit autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

import effcam
from effcam.cam.attention.layout import Layer
from effcam.cam.attention.reading import layout_of
from effcam.cam.explain import compute_cams, explaining
from effcam.cam.head_cam import HeadCAM
from effcam.cam.methods.checks import check_methods
from effcam.cam.methods.table import OWN
from effcam.models.tracing.isolation import untouched

NAMES = ["legrad", "rollout", "chefer"]
SMALL = {"embed_dim": 24, "depth": 3, "num_heads": 2, "num_classes": 5}


class Block(nn.Module):
    """A block whose attention matrix is a tensor that autograd can reach."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 16), nn.GELU(), nn.Linear(16, channels)
        )
        self.matrix = torch.zeros(0)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, channels = tokens.shape
        parts = self.qkv(self.norm(tokens)).reshape(batch, count, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        self.matrix = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
        mixed = (self.matrix @ value).transpose(1, 2).reshape(batch, count, channels)
        tokens = tokens + self.proj(mixed)
        return tokens + self.mlp(tokens)


class Tiny(nn.Module):
    """A transformer with a class token, or without one and with a mean over the tokens."""

    def __init__(self, *, class_token: bool, layers: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 12)) if class_token else None
        self.places = nn.Parameter(torch.randn(1, 16 + class_token, 12))
        self.blocks = nn.Sequential(*(Block(12, 2) for _ in range(layers)))
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 4)

    def end(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(tokens)
        scores: Tensor = self.head(tokens[:, 0] if self.token is not None else tokens.mean(1))
        return scores

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], 1)
        return self.end(self.blocks(tokens + self.places))


def own(module: nn.Module, size: int) -> effcam.Model:
    preprocess = effcam.Preprocess(size=size)
    return effcam.load_model(module, preprocess=preprocess, name="own", device="cpu")


def images(size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2))


def made(build: Callable[..., nn.Module], **options: object) -> nn.Module:
    """A network whose parameters are random, also those that begin as constants."""
    torch.manual_seed(0)
    module = build(**options)
    with torch.no_grad():
        for each in module.parameters():
            if each.numel() > 1 and each.min() == each.max():
                each.add_(torch.randn_like(each) * 0.3)
    return module


def layers_of(model: effcam.Model) -> tuple[Layer, ...]:
    with untouched(model.module):
        cam = HeadCAM(model)
        try:
            return layout_of(cam, images(model.preprocess.size[0])).layers
        finally:
            cam.release()


def by_hand(net: Tiny, image: Tensor, target: int) -> dict[str, Tensor]:
    """The three maps of one image, by products of the blocks' own matrices."""
    net = net.eval().requires_grad_(True)
    handed: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda _module, _args, output: handed.append(output))
        for block in net.blocks
    ]
    score = net(image)[0, target]
    for handle in handles:
        handle.remove()
    matrices = [block.matrix for block in net.blocks]
    count = matrices[0].shape[-1]
    legrad = torch.zeros(count)
    for tokens, matrix in zip(handed, matrices, strict=True):
        own_score = net.end(tokens)[0, target]
        (slope,) = torch.autograd.grad(own_score, matrix, retain_graph=True)
        legrad += slope.clamp(min=0).mean((0, 1, 2))
    rolled = weighted = torch.eye(count)
    slopes = torch.autograd.grad(score, matrices)
    for matrix, slope in zip(matrices, slopes, strict=True):
        rolled = (matrix.mean(1)[0] + torch.eye(count)) / 2 @ rolled
        gained = (matrix * slope).clamp(min=0).mean((0, 1))
        weighted = (gained + torch.eye(count)) @ weighted
    if net.token is not None:
        found = legrad[1:], rolled[0, 1:], weighted[0, 1:]
    else:
        found = legrad, rolled.mean(0), weighted.mean(0) - 1 / count
    maps = (each.detach().reshape(4, 4) for each in found)
    return dict(zip(NAMES, maps, strict=True))


# closed form


@pytest.mark.parametrize("class_token", [True, False])
def test_maps_are_those_of_explicit_matrices(class_token: bool) -> None:
    net = made(Tiny, class_token=class_token)
    model, batch = own(net, 32), images(32, 3)
    found = compute_cams(model, batch, NAMES, [0, 3, 1])
    assert set(found.read_at.values()) == {"3 attention layers"}
    for row, target in enumerate([0, 3, 1]):
        for name, expected in by_hand(net, batch[row : row + 1], target).items():
            close = {"rtol": 0, "atol": 1e-4 * float(expected.max())}
            torch.testing.assert_close(torch.tensor(found.maps[name][row]), expected, **close)


def test_fused_attention_gives_what_explicit_attention_gives() -> None:
    net = made(timm.create_model, model_name="vit_tiny_patch16_224", img_size=64, **SMALL)
    fused = compute_cams(own(net, 64), images(64), NAMES, [1, 2])
    for block in net.blocks:
        block.attn.fused_attn = False
    explicit = compute_cams(own(net, 64), images(64), NAMES, [1, 2])
    for name in NAMES:
        np.testing.assert_allclose(
            fused.maps[name], explicit.maps[name], atol=1e-4 * explicit.maps[name].max()
        )


def siglip() -> nn.Module:
    name = "vit_base_patch16_siglip_224"
    return made(timm.create_model, model_name=name, img_size=64, **SMALL)


def test_an_attention_pool_pools_the_tokens_of_each_layer() -> None:
    net, batch = siglip().eval(), images(64, 1)
    found = compute_cams(own(net, 64), batch, ["legrad"], [2])
    assert found.read_at["legrad"] == "attention that pools 3 layers"
    pool, expected = net.attn_pool, torch.zeros(16)
    tokens: list[Tensor] = []
    for block in net.blocks:
        block.register_forward_hook(lambda _module, _args, output: tokens.append(output))
    net(batch)
    pool.fused_attn = False
    matrices: list[Tensor] = []

    original = Tensor.softmax

    def softmax(values: Tensor, dim: int) -> Tensor:
        matrices.append(original(values, dim))
        return matrices[-1]

    for each in tokens:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tensor, "softmax", softmax)
            score = net.forward_head(net.norm(each))[0, 2]
        (slope,) = torch.autograd.grad(score, matrices[-1])
        expected += slope.clamp(min=0).mean((0, 1, 2))
    expected = expected.reshape(4, 4)
    close = {"rtol": 0, "atol": 1e-4 * float(expected.max())}
    torch.testing.assert_close(torch.tensor(found.maps["legrad"][0]), expected, **close)


# networks of several kinds


def timm_net(name: str, **options: object) -> Callable[[], nn.Module]:
    return lambda: made(timm.create_model, model_name=name, num_classes=5, **options)


def swin() -> nn.Module:
    sizes = {"depths": (2, 2), "num_heads": (1, 2), "embed_dim": 12, "window_size": 4}
    return timm_net("swin_tiny_patch4_window7_224", img_size=64, **sizes)()


def torchvision_swin() -> nn.Module:
    build = torchvision.models.SwinTransformer
    options = {"patch_size": [4, 4], "embed_dim": 12, "depths": [2, 2], "num_heads": [1, 2]}
    return made(build, window_size=[4, 4], num_classes=5, **options)


def torchvision_vit() -> nn.Module:
    build = torchvision.models.VisionTransformer
    return made(build, image_size=64, patch_size=16, num_layers=2, num_heads=2, hidden_dim=24,
                mlp_dim=48, num_classes=5)  # fmt: skip


VIT = {"embed_dim": 24, "depth": 2, "num_heads": 2}
NETS: dict[str, tuple[Callable[[], nn.Module], int, str, bool]] = {
    "distilled": (timm_net("deit_tiny_distilled_patch16_224", img_size=64, **VIT), 64, "2", True),
    "registers": (timm_net("vit_small_patch14_reg4_dinov2", img_size=56, **VIT), 56, "2", True),
    "rotary": (timm_net("vit_small_patch16_dinov3", img_size=64, **VIT), 64, "2", True),
    "pool": (siglip, 64, "attention that pools 3 layers", True),
    "cait": (timm_net("cait_xxs24_224", img_size=64, **VIT), 64, "pools 2", True),
    "swin": (swin, 64, "4 attention layers, by the final score", True),
    "torchvision swin": (torchvision_swin, 64, "4 attention layers, by the final score", True),
    "torchvision": (torchvision_vit, 64, "2", True),
    "levit": (timm_net("levit_128s"), 224, "11 attention layers, by the final score", False),
    "pvt": (timm_net("pvt_v2_b0"), 64, "8 attention layers, by", True),
}


@pytest.mark.parametrize("kind", NETS)
def test_every_kind_of_attention_is_read(kind: str) -> None:
    build, size, read_at, rolls = NETS[kind]
    model = own(build(), size)
    batch = images(size)
    names = NAMES if rolls else ["legrad"]
    together = compute_cams(model, batch, names, [1, 3])
    alone = compute_cams(model, batch[1:], names, [3])
    assert read_at in together.read_at["legrad"]
    for name in names:
        heat = together.maps[name]
        assert together.states[name] == ["ok", "ok"]
        np.testing.assert_allclose(heat[1], alone.maps[name][0], atol=1e-4 * heat.max())
    if not rolls:
        with pytest.raises(effcam.EffcamError, match="stand for some positions of its keys"):
            compute_cams(model, batch, ["rollout"])


@pytest.mark.parametrize("kind", ["swin", "torchvision swin"])
def test_windows_and_shifts_are_found(kind: str) -> None:
    """Each position's token is the one that partitioning by hand gives."""
    layers = layers_of(own(NETS[kind][0](), 64))
    for index, layer in enumerate(layers[:2]):
        cells = torch.arange(16 * 16).reshape(16, 16)
        # The second block's image is rolled by half a window before it is cut.
        rolled = cells.roll((-2 * index, -2 * index), (0, 1))
        tokens = rolled.reshape(4, 4, 4, 4).transpose(1, 2).flatten()
        expected = torch.empty(256, dtype=torch.long)
        expected[tokens] = torch.arange(256)
        assert layer.tokens is not None
        assert layer.tokens.grid == (16, 16)
        assert torch.equal(layer.tokens.keys, expected)


def test_plain_tokens_lie_in_rows_after_the_prefix() -> None:
    model = own(NETS["registers"][0](), 56)
    for layer in layers_of(model):
        assert layer.tokens is not None
        assert layer.tokens.keys.tolist() == list(range(5, 21))
        assert layer.tokens.prefix.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", NAMES)
def test_a_mirrored_image_gives_a_mirrored_map(name: str) -> None:
    """Without places and with patches that do not see direction, nothing else differs."""
    net = made(Tiny, class_token=False)
    with torch.no_grad():
        net.places.zero_()
        net.patches.weight.copy_(net.patches.weight.mean((2, 3), keepdim=True).expand(-1, -1, 8, 8))
    model, batch = own(net, 32), images(32)
    straight = compute_cams(model, batch, [name], [0, 1]).maps[name]
    mirrored = compute_cams(model, batch.flip(-1), [name], [0, 1]).maps[name]
    np.testing.assert_allclose(mirrored[..., ::-1], straight, atol=1e-5 * straight.max())


# targets, precision, cost, traces


def test_rollout_does_not_depend_on_the_class_and_the_others_do() -> None:
    model, batch = own(made(Tiny, class_token=True), 32), images(32)
    first, second = (compute_cams(model, batch, NAMES, [at, at]).maps for at in (0, 1))
    assert np.array_equal(first["rollout"], second["rollout"])
    assert not np.allclose(first["legrad"], second["legrad"])
    assert not np.allclose(first["chefer"], second["chefer"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_gives_about_the_same_maps(precision: str) -> None:
    model, batch = own(made(Tiny, class_token=True), 32), images(32)
    full = compute_cams(model, batch, NAMES, [0, 1]).maps
    with explaining(model, precision=precision) as explain:
        half = explain(batch, NAMES, [0, 1]).maps
    for name in NAMES:
        assert half[name].dtype == np.float32
        assert np.corrcoef(half[name].ravel(), full[name].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("head", ["drawn", "zero"])
def test_only_the_class_token_runs_through_the_blocks_again(head: str) -> None:
    net = made(Tiny, class_token=True)
    if head == "zero":  # as torchvision's before training: no token matters
        nn.init.zeros_(net.head.weight)
    model, batch = own(net, 32), images(32)
    compute_cams(model, batch, ["legrad"])
    seen: list[int] = []
    for block in net.blocks:
        block.mlp[1].register_forward_hook(
            lambda _module, args, _output: seen.append(args[0].shape[1])
        )
    compute_cams(model, batch, ["legrad"])
    assert sorted(seen) == [1] * 3 + [17] * 3


def test_no_trace_is_left() -> None:
    net = made(Tiny, class_token=True).train()
    model = own(net, 32)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    attributes = {each: set(each.__dict__) for each in net.modules()}
    compute_cams(model, images(32), NAMES)
    assert torch.backends.mha.get_fastpath_enabled()
    for each in net.modules():
        assert each.training
        assert set(each.__dict__) == attributes[each]
        assert not each._forward_hooks
        assert not each._forward_pre_hooks
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(each.grad is None and each.requires_grad for each in net.parameters())


def test_a_comparison_shows_attention_beside_gradcam() -> None:
    model = own(made(Tiny, class_token=True), 32)
    compared = effcam.compare(
        effcam.demo.scenes(1), {"own": model}, method=["gradcam", *NAMES], progress=False
    )
    layers = [cell.target_layer for cell in compared.cells]
    assert layers[1:] == ["3 attention layers"] * 3
    assert all(cell.upsampled().max() > 0 for cell in compared.cells)


# refusals


class ChannelAttention(nn.Module):
    """Attention between channels, as XCiT has it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, stride=8)
        self.qkv = nn.Linear(12, 36)
        self.head = nn.Linear(12, 4)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        query, key, value = self.qkv(tokens).transpose(1, 2).chunk(3, 1)
        mixed = (query @ key.transpose(1, 2)).softmax(-1) @ value
        scores: Tensor = self.head((tokens + mixed.transpose(1, 2)).mean(1))
        return scores


@pytest.mark.parametrize("name", NAMES)
def test_channels_are_no_tokens(name: str) -> None:
    with pytest.raises(effcam.EffcamError, match="takes in the whole image, as channels do"):
        compute_cams(own(made(ChannelAttention), 32), images(32), [name])


@pytest.mark.parametrize("name", NAMES)
def test_a_network_without_attention_is_refused(name: str) -> None:
    module = made(torchvision.models.resnet18, num_classes=5)
    with pytest.raises(effcam.EffcamError, match="the network computes none; linear"):
        compute_cams(own(module, 64), images(64), [name])


def test_the_methods_are_listed_as_reading_attention() -> None:
    assert check_methods(NAMES) == tuple(NAMES)
    assert [each.name for each in OWN if each.source == "attention"] == NAMES


# texts


def test_a_text_is_explained_in_a_tower_of_open_clip() -> None:
    """LeGrad of the cosine with a text equals that by explicit matrices of torch's attention."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip is in the extra clip")
    vision = {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
    text = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    clip = made(open_clip.model.CLIP, embed_dim=24, vision_cfg=vision, text_cfg=text).eval()
    model = effcam.load_model(
        clip,
        preprocess=effcam.Preprocess(size=32),
        labels={each: each for each in ("a red ball", "a blue box")},
        tokenizer=open_clip.SimpleTokenizer(context_length=12),
        device="cpu",
    )
    batch = images(32)
    found = compute_cams(model, batch, NAMES, [0, 1])
    assert found.read_at["legrad"] == "2 attention layers"
    visual, expected = clip.visual, torch.zeros(2, 16)

    class Explicit(nn.Module):
        def __init__(self, own: nn.MultiheadAttention) -> None:
            super().__init__()
            self.own = own

        def forward(self, query: Tensor, *_: object, **__: object) -> tuple[Tensor, None]:
            parts = functional.linear(query, self.own.in_proj_weight, self.own.in_proj_bias)
            parts = parts.unflatten(-1, (3, self.own.num_heads, -1)).permute(2, 0, 3, 1, 4)
            matrix = (parts[0] @ parts[1].mT * parts[0].shape[-1] ** -0.5).softmax(-1)
            self.matrix = matrix
            return self.own.out_proj((matrix @ parts[2]).transpose(1, 2).flatten(2)), None

    tokens_of: list[Tensor] = []
    for block in visual.transformer.resblocks:
        block.attn = Explicit(block.attn)
        block.register_forward_hook(lambda _module, _args, output: tokens_of.append(output))
    texts = open_clip.SimpleTokenizer(context_length=12)(["a red ball", "a blue box"])
    wanted = functional.normalize(clip.encode_text(texts), dim=-1)
    clip.encode_image(batch.requires_grad_())
    matrices = [block.attn.matrix for block in visual.transformer.resblocks]
    for tokens, matrix in zip(tokens_of, matrices, strict=True):
        embedding = functional.normalize(visual.ln_post(tokens)[:, 0] @ visual.proj, dim=-1)
        score = (embedding * wanted).sum() * clip.logit_scale.exp()
        (slope,) = torch.autograd.grad(score, matrix, retain_graph=True)
        expected += slope.clamp(min=0).mean((1, 2))[:, 1:].detach()
    np.testing.assert_allclose(
        found.maps["legrad"], expected.reshape(2, 4, 4), atol=1e-4 * float(expected.max())
    )


class MeanHead(nn.Module):
    """A tower of open_clip with the head that legrad-torch differentiates: of all tokens' mean."""

    def __init__(self, tower: nn.Module, text: Tensor) -> None:
        super().__init__()
        self.tower = tower
        self.register_buffer("text", text)

    def forward(self, images: Tensor) -> Tensor:
        tower = self.tower
        cells = tower.conv1(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([tower.class_embedding.expand(len(cells), 1, -1), cells], 1)
        tokens = tower.transformer(tower.ln_pre(tokens + tower.positional_embedding))
        embedding = functional.normalize(tower.ln_post(tokens.mean(1)) @ tower.proj, dim=-1)
        score = embedding @ self.text.T
        return torch.cat([score, -score], 1)


def test_legrad_equals_that_of_legrad_torch() -> None:
    """With its own head: it averages all tokens, whatever the network's head reads.

    The package asks for an old open_clip, so that it is in no dependency group.
    """
    legrad = pytest.importorskip("legrad", reason="legrad-torch is not installed")
    open_clip = pytest.importorskip("open_clip", reason="open_clip is in the extra clip")
    vision = {"image_size": 32, "layers": 3, "width": 32, "patch_size": 8, "head_width": 16}
    text = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    clip = made(open_clip.model.CLIP, embed_dim=24, vision_cfg=vision, text_cfg=text).eval()
    wanted = functional.normalize(torch.randn(1, 24), dim=-1)
    model = own(MeanHead(copy.deepcopy(clip.visual), wanted), 32)
    # It mixes the images of a batch, and changes the model that it gets.
    batch = images(32, 1)
    ours = torch.tensor(compute_cams(model, batch, ["legrad"], [0]).maps["legrad"])
    theirs = legrad.LeWrapper(clip, layer_index=0).compute_legrad_clip(wanted, batch)
    ours = functional.interpolate(ours[None], scale_factor=8, mode="bilinear")
    ours = (ours - ours.min()) / (ours.max() - ours.min())
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-4)
