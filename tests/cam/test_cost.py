"""The cost of maps, as counts of passes, copies and look-ups, not as times."""

from __future__ import annotations

import copy
import gc
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from effcam import ModelSpec, Preprocess, compare, load_model
from effcam.cam import job
from effcam.cam.explain import compute_cams, explaining
from effcam.cam.methods.formulas import GRADIENT_METHODS
from effcam.cam.predict import predicting
from effcam.demo import MODELS, scenes
from effcam.errors import ArgumentError, ModelError
from effcam.models.tracing import flops
from tests.nets import ON_ANY_NETWORK as METHODS

SIZE = 32
PREPROCESS = Preprocess(size=SIZE)
CHECK = [2] * 6
"""The passes in which a module of the user's own is checked when it is loaded."""


class Counted(nn.Module):
    """A net that records its passes: the number of images, and whether the body keeps a graph."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4), nn.BatchNorm2d(6), nn.ReLU(True))
        self.head = nn.Linear(6, 4)
        self.most = most
        self.batches: list[int] = []
        self.graphs: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "meta":
            if self.most is not None and len(images) > self.most:
                raise torch.OutOfMemoryError("out of memory")
            self.batches.append(len(images))
            self.graphs.append(self.body[0](images).requires_grad)
        return self.head(self.body(images).mean((2, 3)))


def pictures(count: int, size: tuple[int, int] = (48, 40)) -> list[Any]:
    return [each.image for each in scenes(count, 3, size)]


def loaded(module: nn.Module) -> Any:
    return load_model(module, preprocess=PREPROCESS)


# One forward pass


def test_all_gradient_methods_together_take_one_forward_pass_without_a_graph_in_the_body() -> None:
    net = Counted()
    model = loaded(net)
    net.batches.clear()
    net.graphs.clear()
    compute_cams(model, torch.rand(3, 3, SIZE, SIZE), list(GRADIENT_METHODS))
    assert len(GRADIENT_METHODS) >= 6
    assert net.batches == [3]
    assert net.graphs == [False]


def test_a_comparison_runs_each_batch_once() -> None:
    net = Counted()
    compare(pictures(5), loaded(net), batch_size=2, progress=False)
    assert net.batches == [*CHECK, 2, 2, 1]


def test_a_module_is_checked_once_until_its_weights_change() -> None:
    net = Counted()
    for _ in range(2):
        compare(pictures(1), {"net": net}, progress=False)
    assert net.batches == [*CHECK, 1, 1]
    with torch.no_grad():
        net.head.weight.mul_(2)
    loaded(net)
    assert net.batches == [*CHECK, 1, 1, *CHECK]


# Sessions


@pytest.mark.parametrize("fails", [False, True])
def test_a_session_leaves_no_trace_however_it_ends(fails: bool) -> None:
    net = Counted().train()
    net.body[0].weight.grad = torch.ones_like(net.body[0].weight)
    expected = copy.deepcopy(net)
    model = loaded(net)
    batch = torch.rand(2, 3, SIZE, SIZE)
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    try:
        with explaining(model) as explain:
            for _ in range(2):
                explain(batch, ["gradcam"])
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert torch.equal(torch.random.get_rng_state(), state)
    assert net.training
    assert net.body.training
    assert net.body[0].weight.grad is not None
    assert all(each.requires_grad for each in net.parameters())
    assert not any(each._forward_hooks for each in net.modules())
    for name, value in expected.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name


def test_batches_of_a_session_are_what_single_calls_give() -> None:
    model = loaded(Counted())
    batches = [torch.rand(2, 3, SIZE, SIZE) for _ in range(3)]
    with explaining(model) as explain:
        found = [explain(batch, METHODS, [1, 2]) for batch in batches]
    for batch, cams in zip(batches, found, strict=True):
        expected = compute_cams(model, batch, METHODS, [1, 2])
        for method in METHODS:
            assert np.array_equal(cams.maps[method], expected.maps[method]), method


def test_a_session_survives_a_batch_that_fails() -> None:
    model = loaded(Counted())
    batch = torch.rand(2, 3, SIZE, SIZE)
    expected = compute_cams(model, batch, ["gradcam"], [0, 0]).maps["gradcam"]
    with explaining(model) as explain:
        with pytest.raises(ModelError, match="failed on a batch of shape"):
            explain(torch.rand(2, 5, SIZE, SIZE), ["gradcam"])
        assert np.array_equal(explain(batch, ["gradcam"], [0, 0]).maps["gradcam"], expected)


# The memory format


class Viewing(nn.Module):
    """A net that flattens its map in memory order: it fails on channels-last images."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3, stride=4)
        self.head = nn.Linear(6 * 8 * 8, 4)

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images)
        return self.head(features.view(len(images), -1))


def is_channels_last(module: nn.Module) -> bool:
    return any(
        each.weight.is_contiguous(memory_format=torch.channels_last)
        and not each.weight.is_contiguous()
        for each in module.modules()
        if isinstance(each, nn.Conv2d)
    )


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_efficientnet"])
def test_models_built_by_name_use_channels_last_and_give_the_same_maps(name: str) -> None:
    model = load_model(name, pretrained=False, device="cpu")
    assert model.channels_last
    assert is_channels_last(model.module)
    plain = replace(
        model, module=copy.deepcopy(model.module).to(memory_format=torch.contiguous_format)
    )
    assert not plain.channels_last
    images = torch.rand(2, 3, *model.preprocess.size)
    ours, theirs = (compute_cams(each, images, ["gradcam"], [1, 2]) for each in (model, plain))
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    most = theirs.maps["gradcam"].max()
    np.testing.assert_allclose(
        ours.maps["gradcam"], theirs.maps["gradcam"], atol=1e-3 * most + 1e-12
    )


def test_a_transformers_patch_embedding_is_not_worth_it() -> None:
    assert not load_model("timm:vit_tiny_patch16_224", pretrained=False, device="cpu").channels_last


def test_the_callers_module_keeps_its_memory_format() -> None:
    net, laid = Counted(), Counted().to(memory_format=torch.channels_last)
    assert not loaded(net).channels_last
    assert loaded(laid).channels_last
    compute_cams(loaded(net), torch.rand(1, 3, SIZE, SIZE), ["gradcam"])
    assert not is_channels_last(net)
    assert is_channels_last(laid)


def test_what_flattens_by_view_keeps_torchs_own_format() -> None:
    with pytest.raises(RuntimeError, match="view"):
        Viewing()(torch.rand(2, 3, SIZE, SIZE).to(memory_format=torch.channels_last))
    model = load_model(ModelSpec("viewing", Viewing, preprocess=PREPROCESS), device="cpu")
    assert not model.channels_last
    cams = compute_cams(model, torch.rand(2, 3, SIZE, SIZE), ["gradcam"], [0, 1])
    assert cams.maps["gradcam"].shape == (2, 8, 8)


def test_models_built_in_inference_mode_can_be_explained_outside() -> None:
    with torch.inference_mode():
        model = load_model("timm:test_resnet", pretrained=False, device="cpu")
    assert model.channels_last
    assert not any(each.is_inference() for each in model.module.parameters())


# Traced and measured once


def test_a_second_comparison_of_a_model_traces_and_counts_nothing_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = ModelSpec("timm:test_resnet", pretrained=False)
    first = compare(pictures(1), spec, progress=False)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("looked into again")

    monkeypatch.setattr("effcam.models.traced_layers.trace", refuse)
    monkeypatch.setattr(flops, "_find_cost", refuse)
    second = compare(pictures(1), spec, progress=False)
    assert [replace(facts, seconds=0) for facts in second.facts] == [
        replace(facts, seconds=0) for facts in first.facts
    ]


def test_flops_are_torchs_own_count() -> None:
    net = get_model("squeezenet1_0", weights=None).eval()
    cost = flops.find_cost(net, (64, 64))
    # The first layer: 96 maps of 7 x 7 x 3 kernels at 29 x 29 places.
    assert cost.flops is not None
    assert cost.flops > 2 * 96 * 7 * 7 * 3 * 29 * 29
    assert cost.channels_last
    assert flops.find_cost(Viewing(), (SIZE, SIZE)) == flops.Cost(
        2 * 64 * (6 * 27 + 6 * 4), channels_last=False
    )


# Weights


def test_the_next_models_weights_are_read_while_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: tmp_path / f"{name}.pt" for name in ("a", "b", "c")}
    for file in files.values():
        torch.save(timm.create_model("test_resnet").state_dict(), file)
    specs = [ModelSpec("timm:test_resnet", checkpoint=file) for file in files.values()]
    asked: list[str] = []
    monkeypatch.setattr(job, "read_ahead", lambda file: asked.append(file.name))
    compare(pictures(1), specs, progress=False)
    assert asked == ["b.pt", "c.pt"]


def test_reading_ahead_asks_the_system_and_never_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from effcam.models import downloads

    file = tmp_path / "a.pt"
    file.write_bytes(b"weights")
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        downloads.os, "posix_fadvise", lambda *given: asked.append(given[1:]), raising=False
    )
    monkeypatch.setattr(downloads.os, "POSIX_FADV_WILLNEED", 3, raising=False)
    downloads.read_ahead(file)
    downloads.read_ahead(tmp_path / "gone.pt")
    assert asked == [(0, 0, 3)]
    monkeypatch.delattr(downloads.os, "posix_fadvise")
    downloads.read_ahead(file)
    assert len(asked) == 1


# Too little memory


@pytest.mark.parametrize("target", [None, "consensus"])
def test_a_batch_that_is_too_large_is_halved_and_nothing_is_lost(target: str | None) -> None:
    net = Counted()
    expected = compare(pictures(5), loaded(net), batch_size=1, target=target, progress=False)
    model = loaded(copy.deepcopy(net))
    net = model.module
    net.most = 2
    net.batches.clear()
    with pytest.warns(UserWarning, match="Counted: not enough memory for 5 images at once"):
        found = compare(pictures(5), model, batch_size=5, target=target, progress=False)
    assert set(net.batches) <= {1, 2}
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.target == theirs.target
        np.testing.assert_allclose(ours.heatmap, theirs.heatmap, atol=1e-6)


def test_a_network_is_loaded_where_memory_suffices_for_one_image() -> None:
    net = Counted(most=1)
    assert loaded(net).num_classes == 4
    assert set(net.batches) == {1}
    with pytest.raises(ModelError, match=r"Counted: the model .* out of memory"):
        loaded(Counted(most=0))


def test_a_single_image_that_does_not_fit_names_the_model() -> None:
    model = loaded(Counted())
    model.module.most = 0
    with (
        pytest.warns(UserWarning, match="2 images"),
        pytest.raises(ModelError, match="Counted: out of memory"),
    ):
        compare(pictures(2), model, progress=False)


# Memory


def compare_demo(count: int) -> Any:
    return compare(pictures(count), list(MODELS.values())[:2], progress=False)


@pytest.mark.slow
def test_a_cell_keeps_less_than_a_kibibyte() -> None:
    compare_demo(2)
    photos = pictures(256)  # they are the caller's own
    gc.collect()
    tracemalloc.start()
    try:
        comparison = compare(photos, list(MODELS.values())[:2], progress=False)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(comparison) == 512
    assert kept / len(comparison) <= 1024


@pytest.mark.slow
def test_comparisons_in_a_row_leave_nothing_behind() -> None:
    def objects_after(calls: int) -> int:
        for _ in range(calls):
            compare_demo(2)
        gc.collect()
        return len(gc.get_objects())

    objects_after(3)
    first = objects_after(1)
    assert objects_after(6) <= first + 50


# Decoding


@pytest.mark.parametrize("wrong", ["fast", None, True])
def test_decoding_is_exact_or_reduced(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="decoding must be 'exact' or 'reduced', not"):
        compare(pictures(1), loaded(Counted()), decoding=wrong, progress=False)


def test_reduced_decoding_gives_the_same_places_and_nearly_the_same_maps(tmp_path: Path) -> None:
    for at, picture in enumerate(pictures(2, (1200, 800))):
        picture.save(tmp_path / f"{at}.jpg", quality=92)
    name = next(iter(MODELS.values()))
    exact, reduced = (
        compare(tmp_path, name, decoding=decoding, progress=False)  # type: ignore[arg-type]
        for decoding in ("exact", "reduced")
    )
    assert reduced.settings["decoding"] == "reduced"
    for one, other in zip(exact, reduced, strict=True):
        assert one.size == other.size == (1200, 800)
        assert one.region == other.region
        assert one.probability == pytest.approx(other.probability, abs=0.02)
        np.testing.assert_allclose(one.heatmap, other.heatmap, atol=0.1 * one.heatmap.max())


def test_predicting_gives_what_the_plain_forward_pass_does() -> None:
    net = Counted().eval()
    batch = torch.rand(3, 3, SIZE, SIZE)
    with predicting(loaded(net)) as predict, warnings.catch_warnings():
        warnings.simplefilter("error")
        found = predict(batch)
    with torch.inference_mode():
        assert torch.allclose(found, net(batch).softmax(1), atol=1e-6)
    assert not found.requires_grad
