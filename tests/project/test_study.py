"""The study of figures: its truth in closed form, and what its page says of known networks."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from effcam.demo import scenes
from effcam.metrics.faithfulness_run import DEFAULT_FIGURES

ROOT = Path(__file__).parents[2]
SIDE = 64


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def analysis() -> ModuleType:
    return import_module("study_analysis")


@pytest.fixture
def measuring() -> ModuleType:
    return import_module("study_truth")


# the truth of a map


def truth(
    measuring: ModuleType, heat: Any, effects: tuple[float, float], of: str = "overlap"
) -> float:
    made = scenes(1, seed=3, size=SIDE)
    named = {"object": np.array(effects[:1]), "distractors": np.array(effects[1:])}
    heats = np.asarray(heat, np.float32)[None]
    (found,) = measuring.truth_of(heats, made, named, measuring.TRUTHS[of])
    return float(found)


def test_the_order_of_heat_is_that_of_a_classifier_of_pixels(measuring: ModuleType) -> None:
    (scene,) = scenes(1, seed=3, size=SIDE)
    own, other = (part.mask for part in scene.parts)
    heat = np.random.default_rng(0).random((SIDE, SIDE)) + 0.3 * own
    for effects, weights in (((4, 0), (1, 0)), ((3, 1), (0.75, 0.25)), ((4, -3), (1, 0))):
        wanted = sum(
            weight * roc_auc_score(mask.ravel(), heat.ravel())
            for weight, mask in zip(weights, (own, other), strict=True)
        )
        assert truth(measuring, heat, effects, "order") == pytest.approx(wanted)
    # How heat is scaled or spread does not matter.
    assert truth(measuring, heat**5, (3, 1), "order") == pytest.approx(
        truth(measuring, heat, (3, 1), "order")
    )
    assert truth(measuring, np.ones((SIDE, SIDE)), (4, 0), "order") == pytest.approx(0.5)


def test_truth_is_the_overlap_of_heat_and_effects(measuring: ModuleType) -> None:
    (scene,) = scenes(1, seed=3, size=SIDE)
    own, other = (part.mask.astype(float) for part in scene.parts)
    assert truth(measuring, own, (4, 0)) == pytest.approx(1)
    assert truth(measuring, other, (4, 0)) == pytest.approx(0)
    assert truth(measuring, own, (3, 1)) == pytest.approx(0.75)
    both = own / own.sum() + other / other.sum()
    assert truth(measuring, both, (2, 2)) == pytest.approx(1)
    even = np.ones_like(own)
    assert truth(measuring, even, (4, 0)) == pytest.approx(own.mean())
    # A part that speaks against the class is none that the map should show.
    assert truth(measuring, own, (4, -3)) == pytest.approx(1)


def test_truth_is_unknown_without_an_effect_or_without_heat(measuring: ModuleType) -> None:
    even = np.ones((SIDE, SIDE))
    assert np.isnan(truth(measuring, even, (0.2, -1)))
    assert np.isnan(truth(measuring, even * 0, (4, 0)))
    assert np.isnan(truth(measuring, even * np.nan, (4, 0)))


def test_a_coarser_grid_keeps_the_heat_in_place() -> None:
    maps = import_module("study_heats")
    side = maps.SIDE
    heat = np.zeros((1, side, side), np.float32)
    heat[0, : side // 4, : side // 4] = 1
    found = maps.coarsened(heat, 2)[0]
    assert found.max() == 1
    assert found[: side // 2, : side // 2].sum() > 0.9 * found.sum()


# what is said of networks


def network(analysis: ModuleType, kind: str, quality: float, *, family: str, seed: int = 0) -> Any:
    """Return a network whose figures follow the truth, but for some of them.

    Single deletion is the truth, deletion its opposite, insertion is constant.
    """
    methods = [*analysis.METHODS, "random map", "edges", "centre"]
    truths = {name: [quality + at / 100] * 4 for at, name in enumerate(methods)}
    figures = {
        name: {
            "single deletion": values,
            # Less is better: this says that the best map is the worst.
            "deletion": values,
            "insertion": [0.5] * 4,
        }
        for name, values in truths.items()
    }
    missing = {name: [None] * 4 for name in analysis.FIGURES}
    found = {
        "accuracy": 0.5,
        "effects": {"object": [2.0] * 4, "distractors": [0.0, 1.0, 2.0, -1.0]},
        "overlap": truths,
        "order": truths,
        "figures": {name: missing | own for name, own in figures.items()},
        "views": {
            "grid": figures["gradcam"],
            "input size": {"single deletion": [1 - quality] * 4},
            "padding": figures["gradcam"],
        },
    }
    return analysis.Measured(kind, family, seed, False, found)


@pytest.fixture
def networks(analysis: ModuleType) -> list[Any]:
    families = ("resnet", "densenet", "alexnet", "efficientnet_b0", "efficientnet_b3")
    return [
        network(analysis, kind, 0.1 + 0.1 * at + 0.03 * seed - lower, family=family, seed=seed)
        for kind, lower in (("clean", 0), ("shortcut", 0.09), ("linear", 0))
        for at, family in enumerate(families)
        for seed in (0, 1, 2)
    ]


def test_a_figure_that_is_the_truth_follows_it(analysis: ModuleType, networks: list[Any]) -> None:
    for across in (analysis.across_methods, analysis.across_networks, analysis.across_seeds):
        assert across(networks, "single deletion", "order").value == pytest.approx(1)
        assert across(networks, "deletion", "overlap").value == pytest.approx(-1)
        assert across(networks, "insertion", "overlap").value == pytest.approx(0)
        assert np.isnan(across(networks, "ROAD", "order").value)


def test_a_shortcut_learner_is_seen_by_a_figure_that_falls(
    analysis: ModuleType, networks: list[Any]
) -> None:
    assert analysis.sees_shortcut(networks, "single deletion").value == 1
    assert analysis.sees_shortcut(networks, "deletion").value == 0
    assert analysis.sees_shortcut(networks, "insertion").value == 0.5
    found = analysis.sees_shortcut(networks, "single deletion")
    assert found.count == 15
    # 15 of 15: a figure that misses a fifth of all pairs does so once in 30 tries.
    assert 0.75 < found.low < 0.85


def test_a_map_that_knows_nothing_is_preferred_where_its_figure_is_better(
    analysis: ModuleType, networks: list[Any]
) -> None:
    assert analysis.prefers(networks, "single deletion", "edges").value == 1
    assert analysis.prefers(networks, "deletion", "edges").value == 0
    assert analysis.prefers(networks, "insertion", "edges").value == 0.5


def test_an_order_is_counted_as_changed_only_where_it_changes(
    analysis: ModuleType, networks: list[Any]
) -> None:
    assert analysis.flips(networks, "single deletion", "grid").value == 0
    assert analysis.flips(networks, "single deletion", "input size").value > 0.3
    assert analysis.flips(networks, "single deletion", "grid").count == 9


def test_the_page_has_every_figure_and_scores_its_predictions(networks: list[Any]) -> None:
    text = import_module("study_page").page(networks, 4)
    for name in import_module("study_figures").FIGURES:
        assert text.count(f"| {name} |") == 2
    assert "single deletion follows both truths across methods most closely (overlap 1.00" in text
    # No network was trained with patches deleted, and no figure knows the object's place.
    assert text.count("Not measured.") == 2
    assert "45 networks" in text
    assert "nan" not in text


def test_the_scoreboard_measures_what_the_study_chose() -> None:
    text = (ROOT / "docs" / "explanation" / "which_figure.md").read_text("utf-8")
    (choice,) = re.findall(r"below 50 %\):\s(.+?)\. The others", text, re.DOTALL)
    found = {*re.findall(r"`(\w+)`", choice), "randomisation", "grid_pointing_game"}
    assert found == set(DEFAULT_FIGURES)


# all of it


@pytest.mark.slow
def test_the_quick_study_runs_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "study.py"), "--quick"]
    command += ["--folder", str(tmp_path / "study"), "--page", str(tmp_path / "page.md")]
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "9 of 9: " in first.stderr
    text = (tmp_path / "page.md").read_text("utf-8")
    assert "## Two predictions" in text
    assert "9 networks" in text
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "of 9" not in again.stderr
    assert (tmp_path / "page.md").read_text("utf-8") == text
