"""Target layers that real passes confirm: what goes past them, and where their cells lie."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

import effcam
from effcam.errors import LayerError
from effcam.models.tracing.probe import probe_pixels
from effcam.models.tracing.target_layer import ENTERING

SIZE = 64
SEES = effcam.Preprocess(size=SIZE, resize=SIZE, mode="squash", mean=0.5, std=0.25)
PHOTO = probe_pixels((SIZE, SIZE), seed=5)[0]


def load(module: nn.Module, **given: object) -> effcam.Model:
    return effcam.load_model(module.eval(), preprocess=SEES, **given)  # type: ignore[arg-type]


def heat(model: effcam.Model) -> np.ndarray:
    return effcam.compare([PHOTO], {"x": model}, progress=False)[0, "x"].heatmap


def names(model: effcam.Model) -> list[str]:
    return [layer.name for layer in model.target_layers]


class Branches(nn.Module):
    """Two branches of convolutions, joined by a function or by a module."""

    def __init__(self, join: str, *, by_module: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 8, 8)
        self.left, self.right = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 1)
        self.joined: nn.Module = nn.ReLU() if by_module else nn.Identity()
        self.head = nn.Linear(32 if join == "cat" else 16, 5)
        self.join = join

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        left, right = self.left(features), self.right(features)
        joined = torch.cat([left, right], 1) if self.join == "cat" else left + right
        scores: Tensor = self.head(self.joined(joined).mean((2, 3)))
        return scores


@pytest.mark.parametrize("join", ["cat", "add"])
def test_branches_that_a_function_joins_are_looked_at_together(join: str) -> None:
    torch.manual_seed(0)
    module = Branches(join)
    model = load(module)
    assert names(model) == ["left", "right"]
    assert (model.bypass, model.notes) == (0.0, ())
    named = Branches(join, by_module=True)
    named.load_state_dict(module.state_dict())
    named.joined = nn.Hardtanh(-1e9, 1e9)  # changes nothing, and gives the join a name
    assert names(load(named)) == ["joined"]
    np.testing.assert_allclose(heat(model), heat(load(named)), rtol=1e-4, atol=1e-7)


def test_a_graph_module_has_the_map_of_its_network() -> None:
    torch.manual_seed(0)
    stages = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 3)]
    module = ConvNeXt(stages, num_classes=5).eval()
    graph = load(torch.fx.symbolic_trace(copy.deepcopy(module)))
    assert len(graph.target_layers) == 4  # the last stage's input, and its three branches
    assert graph.bypass == 0
    np.testing.assert_allclose(heat(graph), heat(load(module)), rtol=1e-3, atol=1e-6)


class Deep(nn.Module):
    """More residual branches outside of modules than are looked at together."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 8, 8)
        self.blocks = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(depth))
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        for block in self.blocks:
            features = features + 0.1 * block(features)
        scores: Tensor = self.head(features.mean((2, 3)))
        return scores


def test_too_many_branches_give_the_last_map_that_all_evidence_passes_through() -> None:
    model = load(Deep(20))
    assert names(model) == ["stem"]
    assert model.bypass == 0
    (note,) = model.notes
    assert note == (
        "more maps enter the head after stem than can be looked at together, so the last map was "
        "taken that all evidence passes through"
    )
    assert len(load(Deep(3)).target_layers) == 4


class Mean(nn.Module):
    """Adds a score of the image's mean colour, past every map."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 5)
        self.colour, self.share = nn.Linear(3, 5), share

    def forward(self, images: Tensor) -> Tensor:
        past: Tensor = self.share * self.colour(images.mean((2, 3)))
        return self.head(self.body(images).mean((2, 3))) + past  # type: ignore[no-any-return]


def test_evidence_that_goes_past_every_map_is_noted_with_its_share() -> None:
    torch.manual_seed(0)
    model = load(Mean(1.0))
    assert names(model) == ["body"]
    assert model.bypass is not None
    assert 0.02 < model.bypass <= 1
    (note,) = model.notes
    assert note == (
        f"about {model.bypass:.0%} of what the scores depend on goes past body, so the map shows "
        "only a part of the evidence"
    )
    assert load(Mean(1e-4)).notes == ()


class InATuple(nn.Module):
    """Blocks that return their features in a tuple, as those of transformers' networks do."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mlp = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, features: Tensor) -> tuple[Tensor, None]:
            return features + self.mlp(features), None

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 8, 8)
        self.blocks = nn.ModuleList(self.Block() for _ in range(3))
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        for block in self.blocks:
            features = block(features)[0]
        scores: Tensor = self.head(features.mean((2, 3)))
        return scores


@pytest.mark.parametrize("method", ["gradcam", "eigencam", "scorecam", "ablationcam"])
def test_the_first_tensor_of_a_tuple_is_looked_at(method: str) -> None:
    torch.manual_seed(0)
    module = InATuple()
    model = load(module)
    assert names(model) == ["blocks.2"]
    assert model.bypass == 0
    cell = effcam.compare([PHOTO], {"x": model}, method=method, progress=False)[0, "x"]
    assert cell.heatmap.shape == (8, 8)
    if method == "gradcam":  # pooling and a linear head: Grad-CAM has a closed form
        features = module.stem(SEES.normalise(torch.from_numpy(PHOTO.copy())[None]))
        for block in module.blocks:
            features = block(features)[0]
        weights = module.head.weight[cell.target] / 64
        expected = (weights[:, None, None] * features[0]).sum(0).relu()
        np.testing.assert_allclose(cell.heatmap, expected.detach(), rtol=1e-4, atol=1e-6)


class Latents(nn.Module):
    """Learned queries read the image, as a Perceiver's; their number is a square."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 8, 8)
        self.latents = nn.Parameter(torch.randn(1, 16, 32))
        self.cross = nn.MultiheadAttention(32, 4, batch_first=True)
        self.mlp, self.head = nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, images: Tensor) -> Tensor:
        cells = self.patch(images).flatten(2).mT
        queries = self.latents.expand(len(cells), -1, -1)
        read = self.cross(queries, cells, cells, need_weights=False)[0]
        scores: Tensor = self.head((read + self.mlp(read)).mean(1))
        return scores


def test_learned_queries_are_not_taken_for_cells() -> None:
    torch.manual_seed(0)
    model = load(Latents())
    assert names(model) == ["patch"]
    # Attention whose queries are learned is pooling: the features that enter it are the last ones.
    assert (model.layer.reason, model.bypass, model.notes) == (ENTERING, 0, ())
    chosen = load(Latents(), target_layer="mlp")
    assert chosen.notes[0].startswith("the cells of mlp do not follow the image")


def test_what_a_note_says_of_the_choice_stays_when_a_model_is_loaded_again() -> None:
    torch.manual_seed(0)
    model = load(Latents())
    again = effcam.load_model(model, name="again")
    assert (again.target_layers, again.notes) == (model.target_layers, model.notes)


@pytest.mark.parametrize("kind", ["flip", "roll", "transpose"])
def test_a_map_that_lies_elsewhere_is_noticed(kind: str) -> None:
    class Moved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 5)

        def forward(self, images: Tensor) -> Tensor:
            moved = {
                "flip": lambda: images.flip(3),
                "roll": lambda: images.roll(SIZE // 2, 2),
                "transpose": lambda: images.mT,
            }[kind]()
            scores: Tensor = self.head(self.body(moved).mean((2, 3)))
            return scores

    with pytest.raises(LayerError, match=r"no layer gives a map whose cells follow the image: .*"):
        load(Moved())
    chosen = load(Moved(), target_layer="body")
    assert chosen.notes[0].startswith("the cells of body do not follow the image")


class Twice(nn.Module):
    """The mean score of an image and of its mirror image."""

    def __init__(self, *, activation: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 8, 8), *([nn.ReLU()] if activation else []))
        self.head = nn.Linear(8, 5)

    def once(self, images: Tensor) -> Tensor:
        features = images
        for layer in self.body:
            features = layer(features)
        scores: Tensor = self.head(features.mean((2, 3)))
        return scores

    def forward(self, images: Tensor) -> Tensor:
        return (self.once(images) + self.once(images.flip(3))) / 2


@pytest.mark.parametrize("activation", [True, False])
def test_twin_passes_are_recognised_with_and_without_weights_in_the_last_layer(
    activation: bool,
) -> None:
    with pytest.raises(LayerError, match="runs 2 times side by side in a pass"):
        load(Twice(activation=activation))


def test_one_activation_in_several_branches_is_no_twin_pass() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 8, 8, 8), nn.Conv2d(3, 8, 8, 8)
            self.relu, self.head = nn.ReLU(), nn.Linear(16, 5)

        def forward(self, images: Tensor) -> Tensor:
            both = [self.relu(self.left(images)), self.relu(self.right(images))]
            scores: Tensor = self.head(torch.cat(both, 1).mean((2, 3)))
            return scores

    model = load(Shared())
    assert [(layer.name, layer.turn) for layer in model.target_layers] == [("relu", 0), ("relu", 1)]
    assert model.bypass == 0
    assert heat(model).max() > 0


class HeadOfConvolutions(nn.Module):
    """A convolution, pooling and a linear layer in one module, as ultralytics' ``Classify``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(8, 64, 1), nn.SiLU())
        self.linear = nn.Linear(64, 5)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.conv(features).mean((2, 3)))
        return scores


class PooledByWeights(nn.Module):
    """Transformer blocks and a pooling by learned weights in one module, as CCT's classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention(8)
        self.norm, self.weigh, self.linear = nn.LayerNorm(8), nn.Linear(8, 1), nn.Linear(8, 5)

    def forward(self, features: Tensor) -> Tensor:
        cells = features.flatten(2).mT
        cells = self.norm(cells + self.attention(cells))
        pooled = self.weigh(cells).softmax(1).mT @ cells
        scores: Tensor = self.linear(pooled[:, 0])
        return scores


class Attention(nn.Module):
    """Attention that normalises its own input, as vit-pytorch's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(channels), nn.Linear(channels, 3 * channels)
        self.attend = nn.Softmax(dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(tokens)).chunk(3, -1)
        mixed: Tensor = self.attend(query @ key.mT) @ value
        return mixed


@pytest.mark.parametrize(
    ("head", "expected"), [(HeadOfConvolutions, "1.conv"), (PooledByWeights, "1.norm")]
)
def test_a_head_that_holds_features_is_looked_into(head: type[nn.Module], expected: str) -> None:
    model = load(nn.Sequential(nn.Conv2d(3, 8, 8, 8), head()))
    assert names(model) == [expected]
    assert model.bypass == 0
    assert expected in [layer.name for layer in model.layers()]


class Vit(nn.Module):
    """A class token, registers, and blocks whose sums no module returns."""

    def __init__(self, registers: int = 0, *, parallel: int = 1) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 5)
        self.first = nn.Parameter(torch.randn(1, 1, 16))
        self.registers = nn.Parameter(torch.randn(1, registers, 16))
        self.blocks = nn.ModuleList(
            nn.ModuleList(Attention(16) for _ in range(parallel)) for _ in range(3)
        )
        self.norm = nn.LayerNorm(16)

    def forward(self, images: Tensor) -> Tensor:
        cells = self.patch(images).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(cells), -1, -1), cells], 1)
        if self.registers.shape[1]:
            registers = self.registers.expand(len(cells), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], 1)
        for block in self.blocks:
            tokens = tokens + torch.stack([each(tokens) for each in block]).sum(0)
        tokens = self.norm(tokens)
        scores: Tensor = self.head(tokens[:, 0])
        return scores


def test_the_norm_inside_the_last_attention_is_what_the_class_token_reads() -> None:
    torch.manual_seed(0)
    model = load(Vit())
    assert names(model) == ["blocks.2.0.norm"]
    assert model.bypass is not None
    assert 0.05 < model.bypass < 1
    (note,) = model.notes
    assert note == (
        f"about {model.bypass:.0%} of what the scores depend on goes past blocks.2.0.norm, in the "
        "class token, which carries it from earlier blocks; the map shows what the token reads "
        "last"
    )
    assert names(load(Vit(), target_layer="blocks.1.0.norm")) == ["blocks.1.0.norm"]


def test_attentions_side_by_side_are_looked_at_together() -> None:
    model = load(Vit(parallel=2))
    assert names(model) == ["blocks.2.0.norm", "blocks.2.1.norm"]


def test_registers_between_class_token_and_cells_are_prefix_tokens() -> None:
    model = load(Vit(registers=4))
    assert (names(model), model.layer.prefix) == (["blocks.2.0.norm"], 5)


class Patches(nn.Module):
    """Patches of a picture as a row of tokens, which no convolution makes."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side, self.linear = side, nn.Linear(3 * side**2, channels)

    def forward(self, images: Tensor) -> Tensor:
        cut = nn.functional.unfold(images, self.side, stride=self.side)
        tokens: Tensor = self.linear(cut.mT)
        return tokens


class TwoScales(nn.Module):
    """Two sequences of tokens; the class token of each reads the cells of the other."""

    class Reads(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.to_q, self.to_kv = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)

        def forward(self, first: Tensor, context: Tensor) -> Tensor:
            key, value = self.to_kv(context).chunk(2, -1)
            mixed: Tensor = (self.to_q(first) @ key.mT).softmax(-1) @ value
            return mixed

    def __init__(self, sides: tuple[int, int], channels: int, *, by_convolution: bool) -> None:
        super().__init__()
        self.patches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, channels, side, side), nn.Flatten(2))
            if by_convolution
            else Patches(channels, side)
            for side in sides
        )
        self.by_convolution = by_convolution
        self.first = nn.Parameter(torch.randn(2, 1, channels))
        self.encoders = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, channels), nn.GELU()) for _ in sides
        )
        self.reads = nn.ModuleList(self.Reads(channels) for _ in sides)
        self.heads = nn.ModuleList(nn.Linear(channels, 5) for _ in sides)

    def forward(self, images: Tensor) -> Tensor:
        encoded = []
        for at, (patch, encoder) in enumerate(zip(self.patches, self.encoders, strict=True)):
            cells = patch(images).mT if self.by_convolution else patch(images)
            first = self.first[at : at + 1].expand(len(cells), -1, -1)
            encoded.append(encoder(torch.cat([first, cells], 1)))
        firsts = [
            each[:, :1] + reads(each[:, :1], other[:, 1:])
            for each, other, reads in zip(encoded, encoded[::-1], self.reads, strict=True)
        ]
        cells = [each[:, 1:] for each in encoded]
        tokens = [torch.cat(pair, 1) for pair in zip(firsts, cells, strict=True)]
        scores = [head(each[:, 0]) for head, each in zip(self.heads, tokens, strict=True)]
        return scores[0] + scores[1]  # type: ignore[no-any-return]


@pytest.mark.parametrize("by_convolution", [True, False])
@pytest.mark.parametrize(
    ("size", "sides", "channels"),
    [(SIZE, (8, 16), 24), (120, (12, 20), 24), (48, (6, 8), 64)],
    ids=["one pools to the other", "neither pools to the other", "as many channels as cells"],
)
def test_sequences_of_two_scales_are_looked_at_together(
    size: int, sides: tuple[int, int], channels: int, *, by_convolution: bool
) -> None:
    torch.manual_seed(0)
    module = TwoScales(sides, channels, by_convolution=by_convolution).eval()
    sees = effcam.Preprocess(size=size, resize=size, mode="squash", mean=0.5, std=0.25)
    model = effcam.load_model(module, preprocess=sees)
    assert names(model) == ["encoders.0", "encoders.1"]
    fine, coarse = ((size // side, size // side) for side in sides)
    assert [layer.grid for layer in model.target_layers] == [fine, coarse]
    assert model.bypass == 0
    assert heat(model).shape == fine


def test_evidence_in_prefix_tokens_is_in_no_cell() -> None:
    class Both(Vit):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(32, 5)

        def forward(self, images: Tensor) -> Tensor:
            cells = self.patch(images).flatten(2).mT
            tokens = torch.cat([self.first.expand(len(cells), -1, -1), cells], 1)
            for block in self.blocks:
                tokens = tokens + block[0](tokens)  # type: ignore[index]
            tokens = self.norm(tokens)
            both = torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)
            return self.head(both)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model = load(Both())
    assert names(model) == ["norm"]
    assert model.bypass is not None
    assert model.bypass > 0.1
    assert "goes past norm, so the map shows only a part" in model.notes[0]


def test_attention_matrices_with_the_heads_last_are_no_maps() -> None:
    class Mixed(Attention):
        def __init__(self, channels: int) -> None:
            super().__init__(channels)
            self.mix = nn.LayerNorm(4)

        def forward(self, tokens: Tensor) -> Tensor:
            query, key, value = self.qkv(self.norm(tokens)).chunk(3, -1)
            weights = (query @ key.mT).softmax(-1)[..., None].expand(-1, -1, -1, 4)
            mixed: Tensor = self.mix(weights).mean(-1) @ value
            return mixed

    module = Vit()
    module.blocks = nn.ModuleList(nn.ModuleList([Mixed(16)]) for _ in range(3))
    model = load(module)
    assert names(model) == ["blocks.2.0.norm"]
    assert not any("mix" in layer.name for layer in model.layers())


class Ordered(nn.Module):
    """Tokens that stand for no cell in a given place of the sequence."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.patch, self.first = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.randn(1, 1, 16))
        self.norm, self.head, self.order = nn.LayerNorm(16), nn.Linear(16, 5), order

    def forward(self, images: Tensor) -> Tensor:
        cells = self.patch(images).flatten(2).mT
        first = self.first.expand(len(cells), -1, -1)
        parts = {"last": [cells, first], "middle": [cells[:, :32], first, cells[:, 32:]]}
        tokens = self.norm(torch.cat(parts.get(self.order, [first, cells]), 1))
        scores: Tensor = self.head(tokens.mean(1))
        return scores


@pytest.mark.parametrize("order", ["last", "middle"])
def test_tokens_after_the_cells_are_refused(order: str) -> None:
    with pytest.raises(LayerError, match="tokens that stand for no cell come after the cells or"):
        load(Ordered(order))
    assert names(load(Ordered("first"))) == ["norm"]


def test_a_network_that_needs_an_image_with_numbers_is_loaded() -> None:
    class Scaled(Branches):
        def forward(self, images: Tensor) -> Tensor:
            scaled = images / images.amax((1, 2, 3), keepdim=True)
            assert not scaled.isnan().any()
            return super().forward(scaled)

    assert heat(load(Scaled("add"))).shape == (8, 8)


def test_a_choice_by_hand_needs_no_default() -> None:
    class NoDefault(Twice):
        """Its default layer is refused."""

    model = load(NoDefault(activation=True), target_layer="body.0")
    assert model.bypass is not None
    assert model.bypass > 0.1
    assert any("goes past body.0" in note for note in model.notes)
    effcam.compare([PHOTO], model, progress=False)


def test_scores_that_do_not_change_have_no_share() -> None:
    module = Mean(1.0)
    for each in (module.head, module.colour):
        nn.init.zeros_(each.weight)
    model = load(module)
    assert (model.bypass, model.notes) == (None, ())


def test_the_check_leaves_the_module_as_it_was() -> None:
    module = Vit(registers=1)
    module.train()
    module.register_buffer("calls", torch.zeros(()))
    before = {name: each.clone() for name, each in module.state_dict().items()}
    effcam.load_model(module, preprocess=SEES)
    assert module.training
    assert all(not each._forward_hooks for each in module.modules())
    assert all(torch.equal(each, before[name]) for name, each in module.state_dict().items())
    assert all(each.grad is None and each.requires_grad for each in module.parameters())


def test_networks_of_the_libraries_pass_nothing_by_their_pooled_map() -> None:
    assert effcam.load_model("resnet18", pretrained=False).bypass == 0
    vit = effcam.load_model("vit_tiny_patch16_224", pretrained=False)
    assert vit.bypass is not None
    assert 0 < vit.bypass <= 1
    assert "class token" in vit.notes[0]


def test_relu_weights_of_a_pooling_are_no_maps() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.gate = nn.Conv2d(3, 8, 8, 8), nn.Conv2d(8, 1, 7, padding=3)
            self.head = nn.Linear(8, 5)

        def forward(self, images: Tensor) -> Tensor:
            features = self.body(images)
            gated = features * functional.sigmoid(self.gate(features))
            scores: Tensor = self.head(gated.mean((2, 3)))
            return scores

    assert names(load(Gated())) == ["body"]


class TwoHeads(nn.Module):
    """A head and a second one, whose gradients may not get to the features."""

    def __init__(
        self, second: Callable[[TwoHeads, Tensor], Tensor], *, frozen: bool = False
    ) -> None:
        super().__init__()
        self.body, self.pool = nn.Conv2d(3, 16, 8, 8), nn.AdaptiveAvgPool2d(1)
        self.fc, self.aux = nn.Linear(16, 5), nn.Linear(16, 5)
        self.second, self.frozen = second, frozen

    def forward(self, images: Tensor) -> Tensor:
        if not self.frozen:
            maps = self.body(images).relu()
            return self.fc(self.pool(maps).flatten(1)) + self.second(self, maps)
        with torch.no_grad():
            maps = self.body(images).relu()
            second = self.second(self, maps)
        return self.fc(self.pool(maps).flatten(1)) + second


def whole(module: TwoHeads, maps: Tensor) -> Tensor:
    return module.aux(module.pool(maps).flatten(1))  # type: ignore[no-any-return]


def detached(module: TwoHeads, maps: Tensor) -> Tensor:
    return module.aux(module.pool(maps.detach()).flatten(1))  # type: ignore[no-any-return]


def without_gradients(module: TwoHeads, maps: Tensor) -> Tensor:
    with torch.no_grad():
        return module.aux(maps.mean((2, 3)))  # type: ignore[no-any-return]


def scaled(module: TwoHeads, maps: Tensor) -> Tensor:
    with torch.no_grad():
        scale = maps.amax((2, 3))
    return module.aux(maps.mean((2, 3)) / (1 + scale))  # type: ignore[no-any-return]


@pytest.mark.parametrize("second", [detached, without_gradients, scaled])
def test_gradients_that_are_cut_off_in_part_are_noted(
    second: Callable[[TwoHeads, Tensor], Tensor],
) -> None:
    model = load(TwoHeads(second))
    (note,) = model.notes
    assert note == (
        "behind body the module's code cuts off a part of the gradients, as detach() and "
        "torch.no_grad() do, so maps of gradients show only the rest of what the scores depend on; "
        'method="eigencam", "scorecam" and "ablationcam" need no gradients'
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_whole_gradients_are_not_noted(frozen: bool) -> None:
    torch.manual_seed(0)
    module = TwoHeads(whole, frozen=frozen)
    model = load(module)
    assert model.notes == ()
    module.frozen = False
    assert np.array_equal(heat(model), heat(load(module)))
