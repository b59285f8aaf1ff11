"""``precision="auto"``: half precision where the hardware has it and the maps stay the same."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from effcam import Comparison, compare, compare_dataset
from effcam.cam import precision_choice
from effcam.demo import scenes
from effcam.errors import ArgumentError

SIZE = 64


def has(monkeypatch: pytest.MonkeyPatch, *, bf16: bool) -> None:
    monkeypatch.setattr(precision_choice, "has_bf16", lambda _: bf16)


def run(net: nn.Module | str, images: int = 3) -> Comparison:
    models = {"net": net} if isinstance(net, nn.Module) else [net]
    return compare(scenes(images, size=SIZE), models, target=None, precision="auto", progress=False)


def test_maps_that_stay_the_same_run_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, bf16=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run("demo_alexnet", 10)
    assert found.facts[0].precision == "bf16"
    assert found.facts[0].record()["precision"] == "bf16"
    assert found.settings.precision == "auto"
    half = compare(scenes(1, size=SIZE), ["demo_alexnet"], precision="bf16", progress=False)
    single = compare(scenes(1, size=SIZE), ["demo_alexnet"], progress=False)
    assert found[0, 0].probability == pytest.approx(half[0, 0].probability, abs=1e-6)
    assert found[0, 0].probability != pytest.approx(single[0, 0].probability, abs=1e-9)


def test_a_processor_without_bf16_runs_in_fp32_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, bf16=False)
    with pytest.warns(UserWarning, match="fp32: cpu has no instructions for bf16"):
        found = run("demo_alexnet")
    assert found.facts[0].precision == "fp32"


def test_maps_that_change_are_computed_in_fp32_and_one_warning_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has(monkeypatch, bf16=True)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.Tanh(), nn.Conv2d(16, 3, 1))
    net.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
    with torch.no_grad():  # small differences of large values, which bf16 rounds away
        net[0].weight.mul_(1e-3)
        net[0].bias.add_(1)
        net[2].weight.copy_(net[2].weight - net[2].weight.mean(1, keepdim=True))
    with pytest.warns(UserWarning, match="net: precision='auto' computes in fp32: ") as caught:
        found = run(net)
    assert len(caught) == 1
    assert found.facts[0].precision == "fp32"
    own = compare(scenes(3, size=SIZE), {"net": net}, target=None, progress=False)
    assert (found[0, 0].heatmap == own[0, 0].heatmap).all()
    assert {each.dtype for each in net.parameters()} == {torch.float32}


class Single(nn.Module):
    """A network with an operation that torch does not have in bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 8, 8), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        if features.dtype == torch.bfloat16:
            raise RuntimeError("\"fft_r2c\" not implemented for 'BFloat16'")
        scores: Tensor = self.fc(features.relu().mean((2, 3)))
        return scores


def test_a_network_that_fails_in_bf16_runs_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, bf16=True)
    with pytest.warns(UserWarning, match="in fp32: in bf16 it fails: .*fft_r2c.* not implemented"):
        found = run(Single())
    assert found.facts[0].precision == "fp32"


def test_earlier_versions_of_torch_are_asked_in_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert precision_choice.has_bf16(torch.device("cpu"))


def test_the_real_processor_is_asked() -> None:
    found = precision_choice.has_bf16(torch.device("cpu"))
    known = torch.cpu.get_capabilities()
    assert found == any(known.get(name, False) for name in known if name.endswith("bf16"))
    assert not precision_choice.has_bf16(torch.device("meta"))


def test_a_run_on_disk_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="decided on the first images of each model"):
        compare_dataset(scenes(1, size=SIZE), ["demo_alexnet"], tmp_path / "run", precision="auto")  # type: ignore[arg-type]


def test_the_first_images_that_can_be_read_decide(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    has(monkeypatch, bf16=True)
    for at in range(9):
        (tmp_path / f"a{at}.jpg").write_bytes(b"no image")
    (scene,) = scenes(1, size=SIZE)
    scene.image.save(tmp_path / "z.png")
    checked: list[int] = []
    compared = precision_choice._difference

    def count(single: Any, half: Any) -> str:
        checked.append(len(single))
        return compared(single, half)

    monkeypatch.setattr(precision_choice, "_difference", count)
    found = compare(tmp_path, ["demo_alexnet"], precision="auto", on_error="skip", progress=False)
    assert checked == [1]
    assert found.facts[0].precision == "bf16"
