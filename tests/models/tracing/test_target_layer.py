"""The target layer: the features that enter the head, for networks of all kinds."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from effcam.errors import LayerError, ModelError
from effcam.models.tracing.target_layer import (
    TargetLayer,
    check_target_layer,
    find_target_layers,
    usable_layers,
)
from effcam.models.tracing.trace import Trace, trace
from tests.tiers import core

SIZE = (64, 64)


def target_of(module: nn.Module, size: tuple[int, int] = SIZE) -> TargetLayer:
    (layer,) = find_target_layers(trace(module, size))
    return layer


def convolution(inputs: int, outputs: int, stride: int = 2) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


class Pooled(nn.Module):
    """Features, an activation in place outside any module, pooling by a function, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(convolution(3, 8), nn.BatchNorm2d(8), convolution(8, 16))
        self.fc = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = functional.relu(self.features(images), inplace=True)
        scores: Tensor = self.fc(features.mean((2, 3)))
        return scores


def test_target_is_the_last_map_before_a_pooling_function() -> None:
    layer = target_of(Pooled())
    assert layer == TargetLayer("NCHW", (16, 16), 16, 0, "features", "features entering the head")


def test_target_is_named_by_the_outermost_module_that_gives_it() -> None:
    inner = nn.Sequential(convolution(3, 8), nn.Sequential(convolution(8, 8), nn.ReLU()))
    module = nn.Sequential(inner, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    assert target_of(module).name == "0"


def test_passive_modules_after_the_features_do_not_take_the_name() -> None:
    module = nn.Sequential(
        convolution(3, 8),
        nn.Identity(),
        nn.Dropout2d(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, 5),
    )
    assert target_of(module).name == "0"


def test_an_activation_in_place_is_the_later_map() -> None:
    module = nn.Sequential(
        convolution(3, 8),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    assert target_of(module).name == "2"


def test_layers_inside_pooling_are_not_the_target() -> None:
    pooling = nn.Sequential(convolution(8, 5, stride=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module = nn.Sequential(convolution(3, 8), nn.ReLU(), pooling)
    assert target_of(module).name == "1"


class Dense(nn.Module):
    """Classifies every cell, and averages the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.body = convolution(3, 8)
        self.head = nn.Conv2d(8, 5, 1)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(images))
        return scores.mean((2, 3))


def test_a_dense_head_of_class_scores_is_no_feature_map() -> None:
    assert target_of(Dense()).name == "body"


class Wrapper(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.net(images)
        return scores


def test_a_network_in_a_network_is_traced() -> None:
    assert target_of(Wrapper(Wrapper(Pooled()))).name == "net.net.features"


def test_grids_of_inputs_that_are_not_square() -> None:
    layer = target_of(Pooled(), (64, 96))
    assert layer.grid == (16, 24)
    assert target_of(Pooled(), (63, 97)).grid == (16, 25)


class ReadsNumbers(nn.Module):
    """Cannot run on meta tensors: it reads one of its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = convolution(3, 8)
        self.fc = nn.Linear(8, 5)
        self.register_buffer("gain", torch.tensor(2.0))
        self.plain = torch.ones(1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images) * self.gain.item() * self.plain
        scores: Tensor = self.fc(features.mean((2, 3)))
        return scores


def test_a_module_that_reads_numbers_is_traced_for_real() -> None:
    assert target_of(ReadsNumbers()).name == "features"


class Tokens(nn.Module):
    """The structure of a transformer: patches become tokens after some prefix tokens."""

    def __init__(self, prefix: int = 1, *, channels_last: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, stride=8)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 5)
        self.prefix, self.channels_last = prefix, channels_last

    def forward(self, images: Tensor) -> Tensor:
        cells = self.patches(images)
        if self.channels_last:
            tokens = self.norm(cells.permute(0, 2, 3, 1)).flatten(1, 2)
        else:
            row = cells.flatten(2).transpose(1, 2)
            tokens = self.norm(torch.cat([row[:, : self.prefix], row], dim=1))
        scores: Tensor = self.head(tokens.mean(1))
        return scores


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 40)])
@pytest.mark.parametrize("prefix", [0, 1, 2, 5, 9])
def test_cell_tokens_are_distinguished_from_prefix_tokens(
    size: tuple[int, int], prefix: int
) -> None:
    layer = target_of(Tokens(prefix), size)
    assert (layer.name, layer.layout, layer.prefix) == ("norm", "tokens", prefix)
    assert layer.grid == (size[0] // 8, size[1] // 8)
    assert layer.reason == "features entering the head"


@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_channels_may_come_last(size: tuple[int, int]) -> None:
    layer = target_of(Tokens(channels_last=True), size)
    assert (layer.name, layer.layout, layer.channels) == ("norm", "NHWC", 12)
    assert layer.grid == (size[0] // 8, size[1] // 8)


def test_a_module_may_state_its_number_of_prefix_tokens() -> None:
    module = Tokens(8)
    module.num_prefix_tokens = 8  # type: ignore[assignment]  # a number, and no tensor
    assert target_of(module).prefix == 8


class Attention(nn.Module):
    """Each token becomes a mean of all tokens, weighted by similarity."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(12, 36)
        self.proj = nn.Linear(12, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens).chunk(3, dim=2)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.proj(mixed)
        return output


class Block(nn.Module):
    """One block of a transformer, with norms before or after attention and MLP."""

    def __init__(self, *, after: bool = False) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(12), Attention()
        self.norm2, self.mlp = nn.LayerNorm(12), nn.Linear(12, 12)
        self.after = after

    def forward(self, tokens: Tensor) -> Tensor:
        if self.after:
            tokens = tokens + self.norm1(self.attn(tokens))
            return tokens + self.norm2(self.mlp(tokens))  # type: ignore[no-any-return]
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Two blocks, and a head that reads the given tokens."""

    def __init__(self, reads: str = "class", *, after: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, stride=8)
        self.first = nn.Parameter(torch.randn(1, 1, 12))
        self.blocks = nn.Sequential(Block(after=after), Block(after=after))
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(24 if reads == "both" else 12, 5)
        self.reads = reads

    def forward(self, images: Tensor) -> Tensor:
        row = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(row), -1, -1), row], dim=1)
        tokens = self.norm(self.blocks(tokens))
        first, cells = tokens[:, 0], tokens[:, 1:].mean(1)
        pooled = {
            "class": first,
            "slice": tokens[:, :1].mean(1),
            "cells": cells,
            "both": torch.cat([first, cells], dim=1),
            "all": tokens.mean(1),
        }
        scores: Tensor = self.head(pooled[self.reads])
        return scores


@pytest.mark.parametrize("reads", ["class", "slice"])
def test_where_a_class_token_is_read_the_layer_is_what_it_reads_last(reads: str) -> None:
    layer = target_of(Transformer(reads))
    assert (layer.name, layer.prefix, layer.grid) == ("blocks.1.norm1", 1, (8, 8))
    assert layer.reason == "features that the class token reads last"
    assert target_of(Wrapper(Transformer(reads))).name == "net.blocks.1.norm1"


def test_the_layer_it_reads_last_may_be_the_previous_block() -> None:
    assert target_of(Transformer(after=True)).name == "blocks.0"


@pytest.mark.parametrize("reads", ["cells", "both", "all"])
def test_where_cells_are_read_too_the_layer_is_the_last(reads: str) -> None:
    assert target_of(Transformer(reads)).name == "norm"


@pytest.mark.parametrize(("pool", "name"), [("avg", "norm"), ("token", "blocks.1.norm1")])
def test_the_pooling_that_timm_states_is_used(pool: str, name: str) -> None:
    module = Transformer("class")
    module.global_pool = pool  # type: ignore[assignment]  # a word, and no tensor
    assert target_of(module).name == name


@pytest.mark.parametrize("name", ["norm", "blocks", "blocks.1", "blocks.1.attn", "blocks.1.mlp"])
def test_layers_that_the_class_token_does_not_read_are_refused(name: str) -> None:
    record = trace(Transformer(), SIZE)
    with pytest.raises(LayerError) as caught:
        check_target_layer(record, name)
    assert str(caught.value) == (
        f"from layer '{name}' on, only the class token goes to the head, so its 64 cells "
        "have no gradient. The nearest layers that give maps are blocks.0.mlp (12 channels, 8 x "
        "8), blocks.0 (12 channels, 8 x 8), blocks.1.norm1 (12 channels, 8 x 8)."
    )


@pytest.mark.parametrize("name", ["patches", "blocks.0", "blocks.1.norm1"])
def test_layers_that_it_reads_may_be_chosen(name: str) -> None:
    assert check_target_layer(trace(Transformer(), SIZE), name).name == name


def test_usable_layers_end_with_the_target() -> None:
    names = [layer.name for layer in usable_layers(trace(Transformer(), SIZE))]
    assert names == [
        "patches",
        "blocks.0.norm1",
        "blocks.0.attn",
        "blocks.0.norm2",
        "blocks.0.mlp",
        "blocks.0",
        "blocks.1.norm1",
    ]
    cells = [layer.name for layer in usable_layers(trace(Transformer("cells"), SIZE))]
    assert cells[-3:] == ["blocks.1", "blocks", "norm"]


class Aside(Pooled):
    """Computes a map that the scores do not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.aside, self.dropout = convolution(16, 4), nn.Dropout()

    def forward(self, images: Tensor) -> Tensor:
        features = self.dropout(self.features(images))
        self.aside(features)
        scores: Tensor = self.fc(features.mean((2, 3)))
        return scores


def test_usable_layers_are_those_that_the_scores_depend_on() -> None:
    assert target_of(Aside()).name == "features"
    usable = usable_layers(trace(Aside(), SIZE))
    assert [layer.name for layer in usable] == [
        "features.0",
        "features.1",
        "features.2",
        "features",
    ]
    assert {layer.reason for layer in usable} == {""}


SIDE_BY_SIDE = {
    "crossvit_tiny_240": {"blocks.2.blocks.0": (20, 20), "blocks.2.blocks.1": (14, 14)},
    "coat_tiny": {
        "parallel_blocks.5.norm12": (28, 28),
        "parallel_blocks.5.norm13": (14, 14),
        "parallel_blocks.5.norm14": (7, 7),
    },
    "vit_small_patch16_18x2_224": {
        "blocks.17.attns.0.norm": (14, 14),
        "blocks.17.attns.1.norm": (14, 14),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), core(SIDE_BY_SIDE.items(), every=3))
def test_maps_side_by_side_are_all_looked_at(
    name: str, expected: dict[str, tuple[int, int]]
) -> None:
    import timm

    with torch.device("meta"):
        module = timm.create_model(name)
    size = module.pretrained_cfg["input_size"][1:]
    layers = find_target_layers(trace(module, size))
    assert {layer.name: layer.grid for layer in layers} == expected
    assert {layer.reason for layer in layers} == {
        "features that the class token reads last, side by side"
    }


class Ordered(Transformer):
    """Has its class token in a given place, or the batch second."""

    def __init__(self, order: str) -> None:
        super().__init__("cells")
        self.order = order

    def forward(self, images: Tensor) -> Tensor:
        row = self.patches(images).flatten(2).transpose(1, 2)
        first = self.first.expand(len(row), -1, -1)
        parts = {"last": [row, first], "middle": [row[:, :32], first, row[:, 32:]]}
        tokens = torch.cat(parts.get(self.order, [first, row]), dim=1)
        if self.order == "batch second":
            return self.head(self.blocks(tokens.transpose(0, 1)).mean(0))  # type: ignore[no-any-return]
        scores: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return scores


def test_sequences_with_the_batch_second_are_refused() -> None:
    with pytest.raises(LayerError, match=r"of shape \(tokens, batch, channels\), as at 'blocks\.0"):
        target_of(Ordered("batch second"))


def test_channels_are_not_taken_for_cells() -> None:
    class ChannelsFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.norm = convolution(3, 64, stride=4), nn.BatchNorm1d(64)
            self.fc = nn.Linear(64, 5)

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.fc(self.norm(self.body(images).flatten(2)).mean(2))
            return scores

    layer = target_of(ChannelsFirst(), (48, 48))
    assert (layer.name, layer.layout, layer.grid) == ("body", "NCHW", (12, 12))


def test_answers_to_as_many_queries_as_cells_are_no_cells() -> None:
    class QueryPool(nn.Module):
        """A class token and cells, read by learned queries, of which the head reads the first."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.block = nn.Conv2d(3, 12, 16, stride=16), nn.Linear(12, 12)
            self.token = nn.Parameter(torch.randn(1, 1, 12))
            self.queries = nn.Parameter(torch.randn(1, 16, 12))
            self.pool = nn.MultiheadAttention(12, 2, batch_first=True)
            self.norm, self.fc = nn.LayerNorm(12), nn.Linear(12, 5)

        def forward(self, images: Tensor) -> Tensor:
            cells = self.stem(images).flatten(2).transpose(1, 2)
            tokens = self.block(torch.cat([self.token.expand(len(cells), -1, -1), cells], 1))
            queries = self.queries.expand(len(cells), -1, -1)
            answers = self.norm(self.pool(queries, tokens, tokens, need_weights=False)[0])
            scores: Tensor = self.fc(answers[:, 0])
            return scores

    layer = target_of(QueryPool())
    expected = TargetLayer("tokens", (4, 4), 12, 1, "block", "features entering the head")
    assert layer == expected


def test_a_row_of_queries_is_not_taken_for_cells() -> None:
    class Queries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.norm = convolution(3, 12, stride=8), nn.LayerNorm(12)
            self.queries, self.fc = nn.Parameter(torch.randn(16, 12)), nn.Linear(12, 5)

        def forward(self, images: Tensor) -> Tensor:
            cells = self.body(images).flatten(2).transpose(1, 2)
            weights = (self.queries @ cells.transpose(1, 2)).softmax(2)
            scores: Tensor = self.fc(self.norm(weights @ cells).mean(1))
            return scores

    assert target_of(Queries(), (48, 48)).name == "body"


@pytest.mark.parametrize("prefix", [6, 7, 8, 12])
def test_any_small_number_of_tokens_may_stand_before_a_known_grid(prefix: int) -> None:
    layer = target_of(Tokens(prefix))
    assert (layer.name, layer.prefix, layer.grid) == ("norm", prefix, (8, 8))


class Mirroring(nn.Module):
    """Averages the scores of an image and of its mirror image, or runs a layer twice in a row."""

    def __init__(self, *, chained: bool = False) -> None:
        super().__init__()
        self.net, self.chained = Pooled(), chained
        self.block = convolution(16, 16, stride=1)

    def forward(self, images: Tensor) -> Tensor:
        if self.chained:
            features = self.block(self.block(self.net.features(images)))
            return self.net.fc(features.mean((2, 3)))  # type: ignore[no-any-return]
        scores: Tensor = self.net(images) + self.net(images.flip(3))
        return scores


def test_a_layer_that_runs_side_by_side_with_itself_is_refused() -> None:
    with pytest.raises(LayerError, match=r"'net\.features' runs 2 times side by side in a pass"):
        target_of(Mirroring())
    chained = target_of(Mirroring(chained=True))
    assert (chained.name, chained.turn) == ("block", 1)


class Attending(Transformer):
    """Selects its class token in a given way, with attention under another name."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        for block in self.blocks:
            block.mhsa = block.attn  # type: ignore[union-attr]
            del block.attn
            block.forward = partial(forward_by_another_name, block)

    def forward(self, images: Tensor) -> Tensor:
        row = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(row), -1, -1), row], dim=1)
        tokens = self.norm(self.blocks(tokens))
        chosen = {
            "index": lambda: tokens[:, [0]][:, 0],
            "index_select": lambda: tokens.index_select(
                1, torch.zeros(1, dtype=int).to(tokens.device)
            ),
            "split": lambda: tokens.split([1, 64], dim=1)[0],
            "unbind": lambda: tokens.unbind(1)[0],
            "chunk": lambda: tokens.chunk(65, dim=1)[0],
        }[self.way]()
        scores: Tensor = self.head(chosen.flatten(1))
        return scores


def forward_by_another_name(block: nn.Module, tokens: Tensor) -> Tensor:
    tokens = tokens + block.mhsa(block.norm1(tokens))
    return tokens + block.mlp(block.norm2(tokens))  # type: ignore[no-any-return]


@pytest.mark.parametrize("way", ["index", "index_select", "split", "unbind", "chunk"])
def test_the_class_token_may_be_taken_in_many_ways(way: str) -> None:
    assert target_of(Attending(way)).name == "blocks.1.norm1"


def test_a_layer_is_a_line_of_text() -> None:
    assert str(target_of(Transformer())) == (
        "blocks.1.norm1  tokens  12 x 8 x 8 after 1 prefix tokens"
        "  <- features that the class token reads last"
    )


def test_a_module_without_maps_is_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))
    with pytest.raises(LayerError, match="no layer of the model gives a map of a 64 x 64 px"):
        target_of(module)


class Returns(nn.Module):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.conv = convolution(3, 5)
        self.what = what

    def forward(self, images: Tensor) -> object:
        maps = self.conv(images)
        return {"maps": maps, "tuple": (maps, maps), "dict": {"a": maps}}[self.what]


@pytest.mark.parametrize(
    ("what", "got"),
    [
        ("maps", r"a tensor of shape \(2, 5, 32, 32\)"),
        ("tuple", "a tuple of 2"),
        ("dict", "a dict"),
    ],
)
def test_modules_that_are_not_classifiers_are_refused(what: str, got: str) -> None:
    with pytest.raises(ModelError, match=rf"one row of class scores per image.*returns {got}"):
        target_of(Returns(what))


def test_modules_that_cannot_run_on_images_are_refused() -> None:
    with pytest.raises(ModelError, match="does not run on a batch of 64 x 64 px RGB images"):
        trace(nn.Sequential(nn.Conv2d(1, 8, 3)), SIZE)


def test_a_chosen_layer_may_be_any_map() -> None:
    record = trace(Pooled(), SIZE)
    layer = check_target_layer(record, "features.0")
    assert (layer.grid, layer.channels, layer.reason) == ((32, 32), 8, "chosen by the caller")


def test_a_chosen_layer_must_exist_and_give_a_map() -> None:
    record = trace(Pooled(), SIZE)
    with pytest.raises(LayerError, match=r"no layer called 'feature'. Did you mean 'features'"):
        check_target_layer(record, "feature")
    with pytest.raises(
        LayerError, match=r"'fc' gives no map.*\(2, 5\).*features \(16 channels, 16"
    ):
        check_target_layer(record, "fc")
    with pytest.raises(LayerError, match="No layer before it gives a map"):
        check_target_layer(Trace(nn.Identity(), SIZE, output=torch.zeros(2, 5)), "fc")


def test_a_trace_leaves_no_trace() -> None:
    module = ReadsNumbers().train()
    module.features.eval()
    modes = [each.training for each in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    broken = nn.Sequential(module, nn.Conv2d(7, 8, 3))
    random = torch.get_rng_state()
    trace(module, SIZE)
    with pytest.raises(ModelError):
        trace(broken, SIZE)
    assert [each.training for each in module.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(each.requires_grad and each.grad is None for each in module.parameters())


def test_tracing_within_inference_mode_is_the_same() -> None:
    module = nn.Sequential(
        convolution(3, 8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with torch.inference_mode():
        assert target_of(module).name == "1"


EXPECTED = {
    "torchvision:alexnet": ("features", (6, 6), 256),
    "torchvision:vgg11": ("features", (7, 7), 512),
    "torchvision:resnet18": ("layer4", (7, 7), 512),
    "torchvision:densenet121": ("features", (7, 7), 1024),
    "torchvision:googlenet": ("inception5b", (7, 7), 1024),
    "torchvision:squeezenet1_0": ("features", (13, 13), 512),
    "torchvision:mobilenet_v3_small": ("features", (7, 7), 576),
    "torchvision:shufflenet_v2_x0_5": ("conv5", (7, 7), 1024),
    "torchvision:mnasnet0_5": ("layers", (7, 7), 1280),
    "torchvision:efficientnet_b0": ("features", (7, 7), 1280),
    "torchvision:regnet_y_400mf": ("trunk_output", (7, 7), 440),
    "torchvision:convnext_tiny": ("features", (7, 7), 768),
    "timm:tf_efficientnet_b0": ("bn2", (7, 7), 1280),
    "timm:tf_efficientnet_b3": ("bn2", (10, 10), 1536),
    "timm:mobilenetv3_small_050": ("blocks", (7, 7), 288),
    "timm:convnext_atto": ("stages", (7, 7), 320),
    "timm:nfnet_l0": ("final_act", (7, 7), 2304),
    "timm:resnetv2_50": ("norm", (7, 7), 2048),
    "timm:inception_v4": ("features", (8, 8), 1536),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", core(EXPECTED, every=4))
def test_target_layers_of_well_known_networks(name: str) -> None:
    from effcam import load_model

    model = load_model(name, pretrained=False, device="meta")
    assert (model.target_layer, model.layer.grid, model.layer.channels) == EXPECTED[name]


class UnfoldedTokens(nn.Module):
    """Tokens of an image that no layer returns as a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3 * 8 * 8, 12)
        self.head = nn.Linear(12, 5)
        self.stride = (8, 8)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(functional.unfold(images, 8, stride=self.stride).transpose(1, 2))
        scores: Tensor = self.head(tokens.mean(1))
        return scores


@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_tokens_without_a_grid_are_arranged_by_the_images_aspect(size: tuple[int, int]) -> None:
    layer = target_of(UnfoldedTokens(), size)
    assert (layer.name, layer.layout) == ("embed", "tokens")
    assert layer.grid == (size[0] // 8, size[1] // 8)


def test_a_row_of_vectors_that_is_not_a_grid_is_not_a_map() -> None:
    module = UnfoldedTokens()
    module.stride = (8, 4)
    with pytest.raises(LayerError, match="no layer of the model gives a map"):
        target_of(module)


class Shared(nn.Module):
    """Uses one activation in three places, the last of them in the head."""

    def __init__(self, *, shared: bool = True, inplace: bool = False) -> None:
        super().__init__()
        self.first, self.second = convolution(3, 6), convolution(6, 6)
        self.relu = nn.ReLU(inplace=inplace)
        self.early = self.relu if shared else nn.ReLU(inplace=inplace)
        self.late = self.relu if shared else nn.ReLU(inplace=inplace)
        self.fc1, self.fc2 = nn.Linear(6, 8), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.second(self.early(self.first(images))))
        scores: Tensor = self.fc2(self.late(self.fc1(features.mean((2, 3)))))
        return scores


@pytest.mark.parametrize("inplace", [False, True])
def test_the_call_that_gives_the_map_is_distinguished_from_other_calls(inplace: bool) -> None:
    layer = target_of(Shared(inplace=inplace))
    assert (layer.grid, layer.turn) == ((16, 16), 1)
    assert target_of(Shared(shared=False, inplace=inplace)).turn == 0


def backbone() -> nn.Sequential:
    return nn.Sequential(
        convolution(3, 6),
        nn.Sequential(convolution(6, 8), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def test_a_body_and_head_in_one_container_is_traced() -> None:
    stem_first = nn.Sequential(convolution(3, 3), backbone())
    assert target_of(stem_first).name == "1.1"
    frozen_first = nn.Sequential(convolution(3, 3), nn.Sequential(*backbone()))
    assert target_of(frozen_first).grid == (8, 8)


def test_a_layer_inside_pooling_may_be_chosen() -> None:
    pooling = nn.Sequential(convolution(8, 5, stride=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    record = trace(nn.Sequential(convolution(3, 8), pooling), SIZE)
    assert find_target_layers(record)[0].name == "0"
    assert check_target_layer(record, "1.0").grid == (32, 32)


def test_a_network_that_never_reduces_the_image_has_a_layer_too() -> None:
    module = nn.Sequential(
        convolution(3, 6, stride=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    layer = target_of(module)
    assert (layer.name, layer.grid) == ("1", SIZE)


class Caching(nn.Module):
    """Holds plain tensors, creates new ones while it runs, and replaces a buffer."""

    def __init__(self, *, reads: bool = False) -> None:
        super().__init__()
        self.features = nn.utils.parametrizations.weight_norm(convolution(3, 6))
        self.fc = nn.Linear(6, 5)
        self.register_buffer("runs", torch.zeros(()))
        self.ramp: Tensor | None = None
        self.reads = reads

    def forward(self, images: Tensor) -> Tensor:
        if self.ramp is None:
            self.ramp = torch.linspace(0, 1, images.shape[3], device=images.device)
        if self.reads:
            float(images.sum())
        self.runs = self.runs + 1
        scores: Tensor = self.fc(self.features(images * self.ramp).mean((2, 3)))
        return scores


@pytest.mark.parametrize("reads", [False, True])
def test_a_trace_leaves_no_tensors_behind(reads: bool) -> None:
    module = Caching(reads=reads)
    runs = module.runs
    trace(module, SIZE)
    assert module.ramp is None
    assert module.runs is runs
    assert runs.item() == 0
    assert module(torch.rand(1, 3, 64, 64)).shape == (1, 5)
