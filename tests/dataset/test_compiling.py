"""``compile=``: that rows stay the same, where it pays off, and what is said and refused."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from effcam import DatasetRun, ModelSpec, Preprocess, compare_dataset
from effcam.cli import main
from effcam.dataset import compiling
from effcam.errors import ArgumentError, ModelError
from tests.dataset.test_dataset import COUNT, photos  # noqa: F401  # a fixture
from tests.models.test_compiled_body import Net, needs_compiler

pytest.importorskip("pyarrow")

SPEC = ModelSpec("timm:test_resnet", pretrained=False, preprocess=Preprocess(size=64))


class Body:
    """What `compile_body` returns: one part."""

    parts = ("stem",)
    undone = 0

    @property
    def failed(self) -> dict[str, str]:
        return {}

    def undo(self) -> None:
        self.undone += 1


def run(images: Path, out: Path, **options: Any) -> DatasetRun:
    torch.manual_seed(0)
    return compare_dataset(images, SPEC, out, batch_size=4, shard_size=8, **options)


@needs_compiler
def test_a_compiled_run_has_the_same_rows(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = run(photos, tmp_path / "plain", progress=False)
    compiled = run(photos, tmp_path / "compiled", compile=True)
    assert "timm:test_resnet is compiled: it took " in capsys.readouterr().err
    assert len(plain) == len(compiled) == COUNT
    for mine, other in zip(plain.comparison().cells, compiled.comparison().cells, strict=True):
        assert mine.heatmap == pytest.approx(other.heatmap, abs=0.01)  # they are stored in 8 bits
        assert mine.probability == pytest.approx(other.probability, abs=1e-5)


def test_auto_leaves_short_runs_as_they_are(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiling, "compile_body", None)  # it is not called
    run(photos, tmp_path / "run", compile="auto")
    told = capsys.readouterr().err
    assert "effcam: timm:test_resnet is not compiled: that pays off in longer runs only" in told


@pytest.mark.parametrize("asked", [True, "auto"])
def test_what_returns_something_else_is_undone(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    asked: Any,
) -> None:
    body = Body()

    def spoil(module: nn.Module, *_: object) -> Body:
        with torch.no_grad():
            next(module.parameters()).add_(1)
        return body

    monkeypatch.setattr(compiling, "compile_body", spoil)
    monkeypatch.setattr(compiling, "EXPECTED_SECONDS", 0)
    run(photos, tmp_path / "run", compile=asked)
    assert (
        "timm:test_resnet is not compiled: compiled, it returns something else"
        in capsys.readouterr().err
    )
    assert body.undone == 1


def test_auto_undoes_what_is_no_faster(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = Body()
    monkeypatch.setattr(compiling, "compile_body", lambda *_: body)
    monkeypatch.setattr(compiling, "EXPECTED_SECONDS", 0)
    monkeypatch.setattr(compiling, "GAIN", 0)
    run(photos, tmp_path / "run", compile="auto")
    assert "timm:test_resnet is not compiled: it is no faster compiled" in capsys.readouterr().err
    assert body.undone == 1


def test_without_a_compiler_auto_goes_on_and_true_is_an_error(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ModelError("torch's inductor cannot compile here")

    monkeypatch.setattr(compiling, "compile_body", refuse)
    monkeypatch.setattr(compiling, "EXPECTED_SECONDS", 0)
    assert run(photos, tmp_path / "run", compile="auto").complete
    assert (
        "timm:test_resnet is not compiled: torch's inductor cannot compile here"
        in capsys.readouterr().err
    )
    with pytest.raises(ModelError, match="timm:test_resnet: torch's inductor cannot compile here"):
        run(photos, tmp_path / "other", compile=True)


def test_code_is_made_for_batches_that_run(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    def count(_module: nn.Module, images: Tensor, _targets: object) -> Body:
        sizes.append(len(images))
        return Body()

    monkeypatch.setattr(compiling, "compile_body", count)
    for at, (batch, shard) in enumerate([(4, 8), (16, 3), (64, 64)]):
        options: Any = {"batch_size": batch, "shard_size": shard, "progress": False}
        compare_dataset(photos, SPEC, tmp_path / str(at), compile=True, **options)
    assert sizes == [4, 3, COUNT]


def test_auto_counts_the_batches_that_run_compiled(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []

    def note(_prepared: object, _pictures: object, batches: int, _asked: object) -> str:
        counted.append(batches)
        return "not compiled"

    monkeypatch.setattr(compiling, "_compile_if_long", note)
    options: Any = {"batch_size": 3, "shard_size": 8, "progress": False}
    compare_dataset(photos, SPEC, tmp_path / "run", compile="auto", **options)
    assert counted == [3]  # 3 + 3 + 2, and 3 of the rest


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "memory is too small for 4 im",
        ),
        (AssertionError("stride"), "not compiled: compiled, the model failed on a batch of shape"),
    ],
)
def test_code_that_fails_is_undone_and_the_run_goes_on(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    error: Exception,
    told: str,
) -> None:
    body = Body()

    def spoil(module: nn.Module, *_: object) -> Body:
        def fail(*_: object) -> None:
            raise error

        vars(module)["forward"] = fail
        body.undo = lambda: vars(module).pop("forward")  # type: ignore[method-assign]
        return body

    monkeypatch.setattr(compiling, "compile_body", spoil)
    assert run(photos, tmp_path / "run", compile=True).complete
    assert told in capsys.readouterr().err


def test_ctrl_c_while_a_model_is_compiled_is_no_error_of_the_compiler(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        raise ModelError("the compiler fails")

    monkeypatch.setattr(compiling, "compile_body", interrupt)
    with pytest.raises(KeyboardInterrupt, match="0 of 2 shards are written"):
        run(photos, tmp_path / "run", compile=True, progress=False)


def test_auto_says_of_which_methods_it_compiles_nothing(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiling, "compile_body", None)
    run(photos, tmp_path / "run", method=["gradcam", "fem"], compile="auto")
    told = "timm:test_resnet is not compiled: fem needs more than a pass to the target layer"
    assert told in capsys.readouterr().err


def test_a_module_of_the_user_is_not_compiled(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compare_dataset(photos, {"mine": Net().eval()}, tmp_path / "run", size=32, compile=True)
    assert (
        "mine is not compiled: only networks that are built by name are" in capsys.readouterr().err
    )


def test_methods_that_need_more_than_the_target_layer_are_refused(
    photos: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    for method in ("scorecam", "legrad", "smoothgrad", "fullgrad", "fem"):
        with pytest.raises(ArgumentError, match=f"which {method} does not"):
            run(photos, tmp_path / "run", method=method, compile=True)
    with pytest.raises(ArgumentError, match=r"compile must be True, False or 'auto', not 'yes'"):
        run(photos, tmp_path / "run", compile="yes")
    with pytest.raises(ArgumentError, match="compile must be True, False or 'auto', not array"):
        run(photos, tmp_path / "run", compile=np.ones(2))
    assert not (tmp_path / "run").exists()


def test_the_command_passes_it_on(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiling, "compile_body", None)
    command = ["dataset", str(photos), "-m", "test_resnet", "--weights", "none"]
    assert main([*command, "-o", str(tmp_path / "run"), "--compile", "auto"]) == 0
    assert "test_resnet is not compiled" in capsys.readouterr().err
