"""``tools/zoo``: the judgement of maps that uses none of effcam's rules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def zoo() -> Iterator[SimpleNamespace]:
    names = ("calls", "causal", "families", "gradcam", "judge", "maps", "page", "probes", "scores",
             "trap_nets", "entries")  # fmt: skip
    sys.path.insert(0, str(TOOLS))
    try:
        yield SimpleNamespace(**{name: import_module(f"zoo.{name}") for name in names})
    finally:
        sys.path.remove(str(TOOLS))


def judged(zoo: SimpleNamespace, network: Any, **options: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    entry = zoo.entries.Entry(package="none", name="x", build=lambda: network, size=64, **options)
    found: dict[str, Any] = zoo.judge.judge(entry)
    return found


def test_there_are_enough_classifiers_and_every_package_is_pinned(zoo: SimpleNamespace) -> None:
    families = zoo.families.FAMILIES
    entries = [entry for family in families for entry in family.entries()]
    keys = [(entry.package, entry.name) for entry in entries]
    assert len(set(keys)) == len(keys) >= 60
    pins = [package.pin for family in families for package in family.packages]
    assert len(pins) >= 15
    assert all(pin.count("==") == 1 for pin in pins)
    named = {package.name for family in families for package in family.packages}
    assert {entry.package for entry in entries} - named == {"torch", "none"}


@pytest.mark.parametrize(
    ("order", "least", "most"),
    [
        (lambda maps: maps, 0.95, 1.0),
        (lambda maps: maps.transpose(2, 3), 0.4, 0.6),
        (lambda maps: maps.flip(3), 0.0, 0.1),
        (lambda maps: maps.flatten(2)[:, :, torch.randperm(64)].unflatten(2, (8, 8)), 0.1, 0.45),
        (lambda maps: maps.mean((2, 3), keepdim=True).expand(maps.shape), 0.2, 0.3),
    ],
    ids=["as it is", "transposed", "mirrored", "shuffled", "the same everywhere"],
)
def test_cells_that_lie_elsewhere_are_seen(
    zoo: SimpleNamespace, order: Any, least: float, most: float
) -> None:
    torch.manual_seed(0)
    scene = zoo.probes.with_object(zoo.probes.pictures(1, 64, 3, 4)[0])
    maps = nn.functional.avg_pool2d(scene, 8)
    assert least <= zoo.maps.in_place(order(maps)) <= most


def test_what_goes_past_a_branch_is_measured(zoo: SimpleNamespace) -> None:
    torch.manual_seed(0)
    network = zoo.trap_nets.Branches("sum")
    subject = zoo.causal.Subject.prepare(network, 64, 3, "", frozen=False)
    subject.record()
    reading = zoo.maps.Reading("NCHW", 8)
    stem, a, b = (((name, 0), reading) for name in ("stem", "a", "b"))
    assert subject.past([stem]) < 1e-5
    assert subject.past([a, b]) < 1e-5
    assert subject.past([a]) > 0.1
    assert subject.past([b]) > 0.1


def test_grad_cam_by_hand_is_cam_for_a_pooled_map(zoo: SimpleNamespace) -> None:
    torch.manual_seed(0)
    body, fc = nn.Conv2d(3, 6, 8, 8), nn.Linear(6, 4)
    network = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc)
    image = torch.rand(1, 3, 64, 64)
    held = [(("0", 0), zoo.maps.Reading("NCHW", 8))]
    found = zoo.gradcam.grad_cam(network, image, held, 2, "")
    cam = (fc.weight[2, :, None, None] * body(image)[0]).sum(0).clamp(min=0) / 64
    torch.testing.assert_close(found.float(), cam.detach())


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (lambda s: s, "logits"),
        (lambda s: s.relu() / 100, "logits"),
        (lambda s: s.softmax(1), "probabilities"),
        (lambda s: s.log_softmax(1), "log-probabilities"),
        (lambda s: s.sigmoid(), "independent probabilities"),
    ],
)
def test_scores_are_known_by_their_values(zoo: SimpleNamespace, end: Any, kind: str) -> None:
    scores = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    assert zoo.scores.kind_of_scores(end(scores)) == kind


def test_a_plain_network_is_right(zoo: SimpleNamespace) -> None:
    found = judged(zoo, zoo.trap_nets.Body())
    assert found["verdict"] == "right", found["remarks"]
    assert found["layer"] == "block"
    assert found["past"] < 1e-5
    assert found["difference"] < 1e-5


def test_a_wrong_choice_is_named(zoo: SimpleNamespace) -> None:
    found = judged(zoo, zoo.trap_nets.Body(), layer="stem")
    assert found["verdict"] == "SILENTLY WRONG"
    assert found["remarks"] == ["the right layer is stem"]


def test_a_map_where_none_is_right_is_wrong(zoo: SimpleNamespace) -> None:
    found = judged(zoo, zoo.trap_nets.Body(), refusal="something else")
    assert found["verdict"] == "SILENTLY WRONG"


def test_the_table_has_a_row_for_each_finding(zoo: SimpleNamespace, tmp_path: Path) -> None:
    rows = [judged(zoo, zoo.trap_nets.Body()), judged(zoo, zoo.trap_nets.Body(), layer="stem")]
    path = tmp_path / "page.md"
    zoo.page.write_page(path, rows, {"effcam": "1", "torch": "2", "timm": "3"})
    lines = [line for line in path.read_text("utf-8").splitlines() if line.startswith("| none")]
    assert [line.endswith("SILENTLY WRONG |") for line in lines] == [True, False]
