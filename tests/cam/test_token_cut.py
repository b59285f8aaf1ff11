"""What only the class token needs: found, cut, and the maps as before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from effcam.cam.explain import compute_cams, explaining
from effcam.cam.head_cam import HeadCAM
from effcam.cam.token_cut import find_modules
from effcam.images.preprocess import Preprocess
from effcam.models.loading import load_model
from effcam.models.model import Model
from effcam.models.tracing.isolation import untouched
from tests.cam.test_parity_with_grad_cam import pictures

SIZE, WIDTH = 32, 16


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Linear(24, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm1(tokens)).chunk(3, 2)
        tokens = tokens + self.proj(nn.functional.scaled_dot_product_attention(query, key, value))
        added: Tensor = tokens + self.mlp(self.norm2(tokens))
        return added


class Vit(nn.Module):
    """A transformer with one class token, or a second one that is read as ``head`` says."""

    num_prefix_tokens = 1

    def __init__(self, head: str = "first") -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.blocks = nn.Sequential(Block(), Block(), Block())
        self.norm, self.fc = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)
        self.head = head

    def forward(self, images: Tensor) -> Any:
        cells = self.patches(images).flatten(2).transpose(1, 2)
        tokens = self.blocks(torch.cat([self.token.expand(len(cells), -1, -1), cells], 1))
        if self.head == "mean":
            return self.fc(self.norm(tokens)[:, 1:].mean(1))
        tokens = self.norm(tokens)
        if self.head == "tokens too":
            return {"logits": self.fc(tokens[:, 0]), "tokens": tokens}
        if self.head == "whole numbers":  # those of NaN look like any other
            return {"logits": self.fc(tokens[:, 0]), "best": tokens[:, 1:].sum(2).argmax(1)}
        if self.head == "differences":  # exact for whole sequences only
            return self.fc(tokens[:, 0] - tokens[:, 0].detach() + tokens.mean(1).detach())
        return self.fc(tokens[:, 0])


def model(head: str = "first", target_layer: str | None = None) -> Model:
    torch.manual_seed(0)
    return load_model(Vit(head), preprocess=Preprocess(size=SIZE), target_layer=target_layer)


def cut_in(loaded: Model, size: int = SIZE) -> list[str]:
    """Return the names of the modules that get one token only."""
    names = {module: name for name, module in loaded.module.named_modules()}
    with untouched(loaded.module):
        cam = HeadCAM(loaded)
        try:
            return [names[each] for each in find_modules(cam, pictures(1, size))]
        finally:
            cam.release()


def test_what_follows_the_last_attention_is_cut() -> None:
    found = cut_in(model())
    assert found == ["blocks.2.proj", "blocks.2.norm2", "blocks.2.mlp", "norm"]


@pytest.mark.parametrize("head", ["mean", "tokens too", "whole numbers", "differences"])
def test_a_head_that_needs_other_tokens_gets_them(head: str) -> None:
    assert cut_in(model(head, "blocks.2.norm1")) == []


def test_modules_with_hooks_and_modules_that_run_twice_get_all_tokens() -> None:
    loaded = model()
    block = loaded.module.get_submodule("blocks.2")
    block.norm2.register_forward_hook(lambda *_: None)
    assert "blocks.2.norm2" not in cut_in(loaded)
    again = model()
    again.module.blocks[1].mlp = again.module.blocks[2].mlp  # type: ignore[index, union-attr]
    assert "blocks.2.mlp" not in cut_in(again)


def test_maps_of_later_batches_are_those_of_the_first_and_of_plain_passes() -> None:
    loaded, images = model(), pictures(2, SIZE)
    methods = ["gradcam", "layercam", "scorecam"]
    plain = compute_cams(loaded, images, methods, [1, 2]).maps
    with explaining(loaded) as explain:
        several = [explain(images, methods, [1, 2]).maps for _ in range(3)]
    for method in methods:
        assert plain[method].max() > 0
        for maps in several:
            np.testing.assert_allclose(maps[method], plain[method], rtol=0, atol=1e-6)


def test_the_second_batch_is_cut_and_the_module_left_as_it_was() -> None:
    loaded = model()
    before = {name: len(each._forward_pre_hooks) for name, each in loaded.module.named_modules()}
    with explaining(loaded) as explain:
        found = []
        for _ in range(2):
            explain(pictures(2, SIZE), ["gradcam"], [1, 2])
            found.append(len(explain._cut._modules))
    assert found == [0, 4]
    after = {name: len(each._forward_pre_hooks) for name, each in loaded.module.named_modules()}
    assert after == before


@pytest.mark.parametrize(
    "name", ["timm:vit_tiny_patch16_224", "timm:vit_small_patch14_reg4_dinov2"]
)
def test_timms_transformers_are_cut(name: str) -> None:
    """With a class token alone, and with registers after it."""
    torch.manual_seed(0)
    options = {
        "depth": 2,
        "embed_dim": 24,
        "num_heads": 2,
        "patch_size": 14,
        "img_size": 56,
        "num_classes": 3,
    }
    preprocess = Preprocess(size=56)
    loaded = load_model(name, pretrained=False, options=options, preprocess=preprocess)
    assert {"blocks.1.attn.proj", "blocks.1.norm2", "blocks.1.mlp"} <= set(cut_in(loaded, 56))


class Scaled(Block):
    """A block whose layer scale is so small that sums in float32 hardly show what it adds."""

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm1(tokens)).chunk(3, 2)
        mixed = self.proj(nn.functional.scaled_dot_product_attention(query, key, value))
        tokens = tokens + 1e-6 * mixed
        added: Tensor = tokens + 1e-6 * self.mlp(self.norm2(tokens))
        return added


def test_attention_behind_a_small_layer_scale_stays_whole() -> None:
    torch.manual_seed(0)
    net = Vit()
    net.blocks = nn.Sequential(Scaled(), Scaled(), Scaled())
    loaded = load_model(net, preprocess=Preprocess(size=SIZE), target_layer="blocks.0")
    assert "blocks.2.mlp" in cut_in(loaded)
    assert not {"blocks.1", "blocks.2"} & set(cut_in(loaded))
    images = pictures(4, SIZE)
    plain = compute_cams(loaded, images, ["gradcam"], [1] * 4).maps["gradcam"]
    with explaining(loaded) as explain:
        for row in range(4):
            one = explain(images[row : row + 1], ["gradcam"], [1]).maps["gradcam"]
            np.testing.assert_allclose(one[0], plain[row], rtol=0, atol=1e-4 * plain.max())


class Gated(Vit):
    """The head reads the other tokens of images whose class token opens a gate."""

    def forward(self, images: Tensor) -> Tensor:
        cells = self.patches(images).flatten(2).transpose(1, 2)
        tokens = self.blocks(torch.cat([self.token.expand(len(cells), -1, -1), cells], 1))
        tokens = self.norm(tokens)
        gate = (images.mean((1, 2, 3)) > 0).float()[:, None]
        scores: Tensor = self.fc(tokens[:, 0] + gate * tokens[:, 1:].mean(1))
        return scores


class Chosen(Vit):
    """The head reads the token of the largest norm."""

    def forward(self, images: Tensor) -> Tensor:
        cells = self.patches(images).flatten(2).transpose(1, 2)
        tokens = self.blocks(torch.cat([self.token.expand(len(cells), -1, -1), cells], 1))
        best = tokens.norm(dim=2).argmax(1)
        scores: Tensor = self.fc(tokens[torch.arange(len(tokens)), best])
        return scores


@pytest.mark.parametrize("kind", [Gated, Chosen])
def test_heads_that_read_other_tokens_of_some_images_get_them(kind: type[Vit]) -> None:
    torch.manual_seed(0)
    net = kind()
    with torch.no_grad():
        net.token.mul_(2)
    loaded = load_model(net, preprocess=Preprocess(size=SIZE), target_layer="blocks.1")
    images = torch.cat([pictures(3, SIZE) - 1, pictures(3, SIZE) + 1])
    plain = compute_cams(loaded, images, ["gradcam"], [1] * 6)
    with explaining(loaded) as explain:
        for row in range(6):
            one = explain(images[row : row + 1], ["gradcam"], [1])
            np.testing.assert_allclose(one.probabilities[0], plain.probabilities[row], atol=1e-5)
            heat = plain.maps["gradcam"][row]
            np.testing.assert_allclose(one.maps["gradcam"][0], heat, rtol=0, atol=1e-5)


def test_an_output_that_cannot_be_walked_is_not_cut() -> None:
    class Opaque(Vit):
        def forward(self, images: Tensor) -> Any:
            return SimpleNamespace(logits=super().forward(images))

    torch.manual_seed(0)
    loaded = load_model(Opaque(), preprocess=Preprocess(size=SIZE), target_layer="blocks.2.norm1")
    assert cut_in(loaded) == []
