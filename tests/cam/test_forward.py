"""Errors of a network's own code, whatever their type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from effcam import Preprocess, compare, load_model, metrics
from effcam.cam.progress import progress_bar
from effcam.errors import ModelError, WeightsError
from tests.nets import ColourNet

PLAIN = Preprocess(size=32, resize=32, mean=0, std=1)
PHOTO = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


class OwnError(Exception):
    """An exception of the network's package."""


class Failing(ColourNet):
    """A network that raises an error once it runs on images of numbers."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.ready = False

    def forward(self, images: Tensor) -> Tensor:
        if self.ready and images.device.type != "meta":
            raise self.error
        return super().forward(images)


def failing(error: BaseException) -> Any:
    net = Failing(error)
    model = load_model(net, preprocess=PLAIN)
    net.ready = True
    return model


RUNS: dict[str, Callable[[Any], object]] = {
    "compare": lambda model: compare(PHOTO, model, progress=False),
    "skip": lambda model: compare(PHOTO, model, on_error="skip", progress=False),
    "consensus": lambda model: compare(PHOTO, model, target="consensus", progress=False),
    "scorecam": lambda model: compare(PHOTO, model, method="scorecam", progress=False),
    "sanity": lambda model: metrics.sanity_check(PHOTO, model),
}
ERRORS = [
    (ValueError("no such size"), "ValueError: no such size"),
    (KeyError("stem"), "KeyError: 'stem'"),
    (AssertionError(), "AssertionError$"),
    (TypeError("wrong type"), "TypeError: wrong type"),
    (IndexError("out of range"), "IndexError: out of range"),
    (StopIteration(), "StopIteration$"),
    (OwnError("broken"), "OwnError: broken"),
    (RuntimeError("size mismatch"), r"\): size mismatch$"),
    (OSError(2, "no file"), r"FileNotFoundError: .* no file"),
]


@pytest.mark.parametrize(("error", "message"), ERRORS)
def test_an_error_of_any_type_names_the_model_and_the_cause(error: Exception, message: str) -> None:
    with pytest.raises(ModelError, match=rf"^Failing: .*{message}") as caught:
        compare(PHOTO, failing(error), progress=False)
    causes = [caught.value]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)  # type: ignore[arg-type]
    assert causes[-1] is error


@pytest.mark.parametrize("way", RUNS)
def test_it_is_an_error_of_the_model_in_all_that_run_it(way: str) -> None:
    with pytest.raises(ModelError, match=r"^Failing: .*KeyError: 'stem'"):
        RUNS[way](failing(KeyError("stem")))


def test_faithfulness_names_the_model_too() -> None:
    model = failing(KeyError("stem"))
    model.module.ready = False
    found = compare(PHOTO, model, progress=False)
    model.module.ready = True
    with pytest.raises(ModelError, match=r"^Failing: .*KeyError: 'stem'"):
        metrics.faithfulness(found, model, progress=False)


def test_an_error_in_the_backward_pass_is_one_of_the_model() -> None:
    class Scores(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, scores: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
            return scores.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            raise ValueError("no gradient")

    class Net(ColourNet):
        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = Scores.apply(super().forward(images))
            return scores

    with pytest.raises(ModelError, match=r"Net: no gradient .* 'features': ValueError: no gra"):
        compare(PHOTO, load_model(Net(), preprocess=PLAIN), progress=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), WeightsError("gone")])
def test_what_is_no_error_of_the_network_is_left_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        compare(PHOTO, failing(error), progress=False)
    assert caught.value is error


def test_memory_that_runs_out_halves_the_batch() -> None:
    class Large(ColourNet):
        def forward(self, images: Tensor) -> Tensor:
            if images.device.type != "meta" and len(images) > 1:
                raise MemoryError
            return super().forward(images)

    model = load_model(Large(), preprocess=PLAIN)
    with pytest.warns(UserWarning, match="not enough memory for 2 images"):
        assert len(compare([PHOTO, PHOTO], model, progress=False)) == 2


@pytest.mark.parametrize("target", [None, "consensus"])
def test_progress_counts_the_images_that_are_skipped_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str | None
) -> None:
    files = [tmp_path / f"{at}.png" for at in range(5)]
    for file in files:
        file.write_bytes(b"no image")
    counted: list[int] = []
    totals: list[int] = []

    class Bar:
        def update(self, n: int) -> None:
            counted.append(n)

        def set_description(self, _: str) -> None: ...

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

    def shown(total: int, _asked: object) -> Bar:
        totals.append(total)
        return Bar()

    assert progress_bar
    monkeypatch.setattr("effcam.api.progress_bar", shown)
    models: dict[str, nn.Module] = {"one": ColourNet(), "two": ColourNet(2.0)}
    compare(
        [*files[:2], PHOTO, files[2], PHOTO, *files[3:]],
        {name: load_model(net, preprocess=PLAIN) for name, net in models.items()},
        target=target,
        batch_size=1,
        on_error="skip",
    )
    assert totals == [7 * 2 * (2 if target else 1)]
    assert sum(counted) == totals[0]
