"""Checkpoints of a training on the command line: ``--checkpoints`` and ``--timeline``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from tests.cli.commands import Done, frames, rows

MINE = ("compare", "photos", "-m", "mine=timm:test_resnet", "--size", "64")


@pytest.fixture
def trained(photos: Path) -> Path:
    """Write three epochs as ``runs/epoch=N.ckpt`` beside the photos."""
    folder = photos.parent / "runs"
    folder.mkdir()
    for epoch in range(3):
        torch.manual_seed(epoch)
        state = timm.create_model("test_resnet", num_classes=3).state_dict()
        content = {
            "epoch": epoch,
            "state_dict": {f"net.{key}": each for key, each in state.items()},
        }
        torch.save(content, folder / f"epoch={epoch}.ckpt")
    return folder


@pytest.mark.usefixtures("trained")
def test_epochs_become_an_animation_and_a_chart(run: Callable[..., Done]) -> None:
    done = run(*MINE, "--checkpoints", "runs/*.ckpt", "-o", "a.csv", "-o", "a.gif", "--rows",
               "models", "--width", 64, "--timeline", "t.svg")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert [row["column"] for row in rows("a.csv")][:3] == ["epoch 0", "epoch 1", "epoch 2"]
    assert frames("a.gif") == 3
    assert ">epoch</text>" in Path("t.svg").read_text()
    assert "wrote t.svg (3 images x 3 columns)" in done.out


@pytest.mark.usefixtures("trained")
def test_a_timeline_alone_writes_no_picture_and_uses_the_labels(run: Callable[..., Done]) -> None:
    Path("labels.csv").write_text("image,label\n0.png,0\n1.png,1\n2.png,0\n")
    done = run(*MINE, "--checkpoints", "runs", "--labels", "labels.csv", "--timeline", "t.svg")
    assert (done.code, done.err) == (0, "")
    assert not Path("compare.gif").exists()
    assert "accuracy" in Path("t.svg").read_text()


@pytest.mark.usefixtures("trained")
def test_checkpoints_of_one_of_several_models(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    two = (*MINE, "-m", "other=test_vit", "--option", "mine:drop_rate=0.1")
    run(
        *two,
        "--checkpoints",
        "mine=runs/epoch=[12].ckpt",
        "--checkpoints",
        "mine=runs/epoch=0.ckpt",
    )
    assert list(asked["models"]) == ["mine epoch 0", "mine epoch 1", "mine epoch 2", "other"]
    first = asked["models"]["mine epoch 0"]
    assert (first.name, dict(first.options)) == ("timm:test_resnet", {"drop_rate": 0.1})


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--checkpoints", "runs/*.pt"], 1, r"no checkpoint matches 'runs/\*\.pt'; the folder"),
        (["-m", "test_vit", "--checkpoints", "runs"], 2, "'runs' does not say of which model"),
        (["--checkpoints", "runs", "--checkpoint", "mine=a.pt"], 2, "are both given for 'mine'"),
        (["--checkpoints", "runs", "--weights", "none"], 2, "no meaning with --weights none"),
        (["--checkpoints", "runs", "--timeline", "t.gif"], 1, r"unknown suffix '\.gif'"),
        (["--timeline", "t.png", "-o", "t.png"], 2, "names t.png twice"),
        (["--weights", "none", "--timeline", "t.png"], 2, "--timeline needs two or more models"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_what_is_impossible_is_one_line(
    run: Callable[..., Done], argv: list[str], code: int, message: str
) -> None:
    done = run(*MINE, *argv)
    assert done.code == code, done.err
    assert done.err.count("\n") == 1
    assert re.search(message, done.err), done.err
