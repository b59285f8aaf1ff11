"""Attention of families of timm: found, and mapped where a change of the image confirms it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.sweep, pytest.mark.slow]

TOOLS = Path(__file__).parents[2] / "tools"
FOLLOWED = {
    "vit_tiny_patch16_224": 12,
    "swin_tiny_patch4_window7_224": 12,
    "swinv2_cr_tiny_224": 12,
    "pvt_v2_b0": 8,
    "twins_svt_small": 18,
    "hiera_tiny_224": 12,
    "maxvit_nano_rw_256": 14,
    "coatnet_nano_rw_224": 9,
    "convit_tiny": 12,
    "mobilevit_xxs": 9,
    "efficientvit_m0": 24,
    "cait_xxs24_224": 26,
}
"""The number of attention layers, all of which are mapped."""
WITHOUT = ("resnet18", "mixer_s16_224", "coat_lite_tiny", "mobilevitv2_050", "efficientvit_b0")
CHANNELS = ("xcit_nano_12_p16_224", "edgenext_xx_small")


@pytest.mark.parametrize("name", FOLLOWED)
def test_places_are_confirmed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    row = importlib.import_module("attention_sweep").run("timm", name)
    assert row.problem == ""
    assert (row.layers, row.mapped, row.checked) == (str(FOLLOWED[name]),) * 3
    assert "attention" in row.legrad
    assert "refused" not in row.legrad


@pytest.mark.parametrize("name", WITHOUT)
def test_networks_without_attention_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    row = importlib.import_module("attention_sweep").run("timm", name)
    assert row.layers == "0"
    for method in (row.legrad, row.rollout, row.chefer):
        assert method == "no attention"


@pytest.mark.parametrize("name", CHANNELS)
def test_attention_between_channels_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    row = importlib.import_module("attention_sweep").run("timm", name)
    for method in (row.legrad, row.rollout, row.chefer):
        assert "as channels do" in method
