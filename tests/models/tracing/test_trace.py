"""The trace of one forward pass: every call, its inputs, its output, its time."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from effcam.errors import ModelError
from effcam.models.tracing.map_layout import MapShape
from effcam.models.tracing.trace import trace

SIZE = (32, 32)


class Network(nn.Module):
    """Uses one activation twice, and calls its head with a named argument."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.BatchNorm2d(6))
        self.act = nn.ReLU(inplace=True)
        self.head = Head()

    def forward(self, images: Tensor) -> Tensor:
        features = self.act(self.body(images))
        scores: Tensor = self.head(maps=[features, self.act(features)])
        return scores


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 5)

    def forward(self, maps: list[Tensor]) -> Tensor:
        scores: Tensor = self.fc(maps[0].mean((2, 3)))
        return scores


class Picky(nn.Module):
    """Cannot run on meta tensors."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, images: Tensor) -> Tensor:
        images.sum().item()
        scores: Tensor = self.part(images)
        return scores


def test_calls_are_in_the_order_in_which_they_end() -> None:
    calls = trace(Network(), SIZE).calls
    assert [call.name for call in calls] == [
        *("body.0", "body.1", "body"),
        *("act", "act"),
        *("head.fc", "head"),
    ]
    assert [call.turn for call in calls if call.name == "act"] == [0, 1]
    assert [call.end for call in calls] == sorted(call.end for call in calls)


def test_a_call_encloses_those_that_run_inside_it() -> None:
    calls = {call.name: call for call in trace(Network(), SIZE).calls}
    assert calls["body"].encloses(calls["body.1"])
    assert not calls["body.1"].encloses(calls["body"])
    assert not calls["body"].encloses(calls["body"])
    assert not calls["body"].encloses(calls["head.fc"])


def test_the_inputs_of_a_call_include_positional_and_keyword_tensors() -> None:
    calls = trace(Network(), SIZE).calls
    made = [call.output for call in calls]
    features = made[2]
    (head,) = (call for call in calls if call.name == "head")
    assert len(head.inputs) == 2
    assert all(each is features for each in head.inputs)


def test_a_tensor_changed_in_place_is_detected_by_its_version() -> None:
    versions = {call.name: call.version for call in trace(Network(), SIZE).calls}
    assert (versions["body"], versions["act"]) == (0, 2)


def test_shapes_are_found_without_numbers_in_the_modules_precision() -> None:
    record = trace(Network().half(), SIZE)
    assert isinstance(record.output, Tensor)
    assert record.output.is_meta
    assert record.output.dtype == torch.float16
    assert (record.output.shape, record.classes) == ((2, 5), 5)


def test_a_module_that_needs_numbers_gets_different_pictures_on_its_own_device() -> None:
    record = trace(Picky(Network()), SIZE)
    assert isinstance(record.output, Tensor)
    assert record.output.device.type == "cpu"
    first, second = record.calls[0].inputs[0]
    assert min(first.std(), second.std()) > 0.5
    assert not torch.equal(first, second)


@pytest.mark.parametrize("make", [Network, lambda: Picky(Network())])
def test_a_graph_is_kept_where_it_is_asked_for(make: type[nn.Module]) -> None:
    assert trace(make(), SIZE, graph=True).logits.values.grad_fn is not None
    assert trace(make(), SIZE).logits.values.grad_fn is None
    with torch.no_grad():
        assert trace(make(), SIZE, graph=True).logits.values.grad_fn is not None


def test_maps_are_the_outputs_that_lie_over_the_image() -> None:
    maps = {call.name: lies for call, lies in trace(Network(), SIZE).maps(2)}
    assert maps == dict.fromkeys(["body.0", "body.1", "body", "act"], MapShape("NCHW", (8, 8), 6))


class Patches(nn.Module):
    """Patches of an image that is not square, as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, stride=4)
        self.norm = nn.LayerNorm(6)
        self.fc = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(self.patches(images).flatten(2).transpose(1, 2))
        scores: Tensor = self.fc(tokens.mean(1))
        return scores


def test_tokens_have_the_grid_of_the_map_that_they_were() -> None:
    maps = {call.name: lies for call, lies in trace(Patches(), (16, 96)).maps(2)}
    assert maps["norm"] == MapShape("tokens", (4, 24), 6)


def test_only_tensors_of_the_whole_batch_are_maps() -> None:
    record = trace(Network(), SIZE)
    assert record.map_shape(torch.empty(2, 6, 8, 8), [], 2) == MapShape("NCHW", (8, 8), 6)
    for value in (torch.empty(4, 6, 8, 8), torch.empty(()), [torch.empty(2, 6, 8, 8)], None):
        assert record.map_shape(value, [], 2) is None


@pytest.mark.parametrize(("channels", "kind"), [(1, "greyscale"), (3, "RGB"), (5, "5-channel")])
def test_a_module_that_fails_is_reported_with_the_reason(channels: int, kind: str) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise ValueError(f"these {images.shape[1]} channels are not for me")

    message = rf"not run on .* 32 x 32 px {kind} images: ValueError: these {channels} channels are"
    with pytest.raises(ModelError, match=message):
        trace(nn.Sequential(Broken()), SIZE, channels)


VOLUMES = {
    "Conv3d": lambda: nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
    ),
    "MaxPool3d": lambda: nn.Sequential(nn.Flatten(3), nn.MaxPool3d(2), nn.Conv2d(3, 4, 3)),
    "BatchNorm3d": lambda: nn.Sequential(nn.BatchNorm3d(3), nn.Flatten(), nn.Linear(4, 2)),
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_networks_for_volumes_are_refused_as_such(kind: str) -> None:
    message = rf"works on volumes or videos \(it has layers as {kind}\).* single images"
    with pytest.raises(ModelError, match=message):
        trace(VOLUMES[kind](), SIZE)


class Frame(nn.Module):
    """Turns one image into a volume."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 4, stride=4)
        self.volume = nn.Conv3d(6, 6, 1)
        self.fc = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        volume = self.volume(self.features(images)[:, :, None])
        scores: Tensor = self.fc(volume.mean((2, 3, 4)))
        return scores


def test_a_network_that_takes_images_may_work_on_volumes_inside() -> None:
    record = trace(Frame(), SIZE)
    assert [call.name for call, _ in record.maps(2)] == ["features"]


def test_invalid_scores_are_refused_when_requested() -> None:
    record = trace(nn.Sequential(nn.Conv2d(3, 6, 3)), SIZE)
    assert [call.name for call in record.calls] == ["0"]
    with pytest.raises(ModelError, match=re.escape("returns a tensor of shape (2, 6, 30, 30)")):
        _ = record.classes
