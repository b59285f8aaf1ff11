"""A trace on pictures shows what one on meta tensors does, and is taken where it is quicker."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import effcam
from effcam.demo.models import MODELS
from effcam.models import traced_layers
from effcam.models.tracing import flops, pitch, trace
from effcam.models.tracing import runners as how
from effcam.models.tracing.cache import StructureCache
from effcam.models.tracing.runners import FEW_PRODUCTS, run_on_meta, run_on_pictures, runners
from tests.tiers import core


def imported(monkeypatch: pytest.MonkeyPatch, *, compiler: bool) -> None:
    """Let the compiler seem to be imported, or not."""
    monkeypatch.setattr(how, "DYNAMO", "sys" if compiler else "no_such_module")


def test_small_networks_run_on_pictures_unless_the_compiler_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported(monkeypatch, compiler=False)
    assert runners(FEW_PRODUCTS) == (run_on_pictures, run_on_meta)
    assert runners(2 * FEW_PRODUCTS) == (run_on_meta, run_on_pictures)
    imported(monkeypatch, compiler=True)
    assert runners(0) == (run_on_meta, run_on_pictures)


@pytest.mark.sweep
@pytest.mark.parametrize("name", core(MODELS.values(), every=3))
def test_both_ways_show_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for order in ((run_on_meta, run_on_pictures), (run_on_pictures, run_on_meta)):
        for module in (trace, flops):
            monkeypatch.setattr(module, "runners", lambda _, order=order: order)
        for module, cache in ((traced_layers, "TRACED"), (flops, "COSTS"), (pitch, "PITCHES")):
            monkeypatch.setattr(module, cache, StructureCache())
        model = effcam.load_model(name, device="cpu")
        size, layer = model.preprocess.size, model.layer
        found.append(
            (
                model.target_layers,
                model.layers(),
                flops.find_cost(model.module, size),
                pitch.find_pitch(model.module, layer, size, 3),
            )
        )
    assert found[0] == found[1]
    assert found[0][3] is not None


class Reads(nn.Module):
    """It reads a number, which meta tensors do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 4, 4)
        self.head = nn.Linear(8, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.body(images)
        if float(maps.sum()) == 0.5:
            maps = -maps
        return self.head(maps.mean((2, 3)))


@pytest.mark.parametrize("compiler", [False, True])
def test_a_network_that_reads_numbers_has_one_pitch(
    compiler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not depend on what the process has imported."""
    imported(monkeypatch, compiler=compiler)
    record = trace.trace_cheaply(Reads(), (64, 64), 3, 1e6)
    assert next(call.map.shape for call in record.calls if call.name == "body") == (2, 8, 16, 16)
    with pytest.raises(effcam.errors.ModelError, match="cannot be traced"):
        trace.trace_cheaply(Reads(), (64, 64), 3, 2 * FEW_PRODUCTS)
