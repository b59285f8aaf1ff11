"""A network that is shown during its training, in a loop of torch alone."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import effcam
from effcam.errors import ArgumentError, EffcamError, ImageError, ModelError, OutputError
from effcam.integrations.watch import Watch
from tests.integrations.training import (
    IMAGES,
    NAMES,
    SIDE,
    TRANSFORM,
    Net,
    assert_same,
    everything,
    loader,
    seed_all,
)


def watch(folder: Path | None, images: Any = IMAGES, **options: Any) -> Watch:
    usual: dict[str, Any] = {"preprocess": TRANSFORM, "class_names": NAMES}
    return Watch(images, folder, **(usual | options))


def train(shown: Watch | None, epochs: int = 9, **start: Any) -> list[tuple[str, Any]]:
    """Train for 54 steps, and return all that is left."""
    seed_all()
    net = Net().train()
    optimizer = torch.optim.AdamW([each for each in net.parameters() if each.requires_grad])
    if shown:
        shown.start(net, **start)
    batches, step = loader(), 0
    for epoch in range(epochs):
        for images, labels in batches:
            loss = nn.functional.cross_entropy(net(images), labels)
            loss.backward()  # gradients are there when it is shown
            optimizer.step()
            step += 1
            if shown:
                shown.step_end(step, {"loss": loss}, epoch=epoch)
            if step % 2:
                optimizer.zero_grad()
        if shown:
            shown.epoch_end(epoch, {"loss": loss}, step=step)
    if shown:
        shown.end()
    left = list(everything(net, optimizer))
    assert batches.generator is not None
    return [*left, ("loader", batches.generator.get_state())]


@pytest.fixture(scope="module")
def plain() -> list[tuple[str, Any]]:
    return train(None)


def test_training_is_left_as_it_is(plain: list[tuple[str, Any]], tmp_path: Path) -> None:
    shown = watch(tmp_path, every_n_epochs=4)
    assert_same(train(shown), plain)
    assert shown.comparison.columns == ("epoch 0", "epoch 4", "epoch 8")


def test_training_is_left_as_it_is_between_steps(
    plain: list[tuple[str, Any]], tmp_path: Path
) -> None:
    shown = watch(tmp_path, every_n_steps=25, method="gradcam++", target=1)
    assert_same(train(shown), plain)
    assert shown.comparison.columns == ("step 25", "step 50", "step 54")
    stages = [facts.training for facts in shown.comparison.facts]
    assert [(stage.epoch, stage.step) for stage in stages if stage] == [(4, 25), (8, 50), (8, 54)]


def test_the_two_trainings_would_show_a_difference(plain: list[tuple[str, Any]]) -> None:
    other = train(None, epochs=8)
    with pytest.raises(AssertionError):
        assert_same(other, plain)


def test_files(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "effcam"
    shown = watch(folder, every_n_epochs=1)
    train(shown, epochs=3)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("latest.png", "predictions.csv", "figures.csv", "history.npz"),
        *("epochs.gif", "timeline.png"),
    }
    with Image.open(folder / "epochs.gif") as film:
        assert film.n_frames == 3  # type: ignore[attr-defined]
    with (folder / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["column"], row["image"]) for row in rows[:4]] == [
        ("epoch 0", "scene 1"), ("epoch 1", "scene 1"), ("epoch 2", "scene 1"),
        ("epoch 0", "scene 2"),
    ]  # fmt: skip
    with (folder / "figures.csv").open() as stream:
        figures = list(csv.DictReader(stream))
    assert [row["step"] for row in figures] == ["6", "12", "18"]
    assert all(0 < float(row["gini"]) < 1 and float(row["loss"]) > 0 for row in figures)
    assert "parameters_n" not in figures[0]


def test_maps_are_those_of_the_network_then(tmp_path: Path) -> None:
    net = Net().train()
    shown = watch(tmp_path, every_n_epochs=1)
    shown.start(net)
    for epoch in range(2):
        with torch.no_grad():
            net.head.weight.add_(torch.randn_like(net.head.weight))
        shown.epoch_end(epoch)
        model = effcam.load_model(net, preprocess=TRANSFORM, labels=NAMES)
        now = effcam.compare(IMAGES, model, progress=False)
        for row in range(2):
            one, other = shown.comparison[row, f"epoch {epoch}"], now[row, 0]
            assert (one.predicted_label, one.state) == (other.predicted_label, other.state)
            assert torch.equal(torch.tensor(one.heatmap), torch.tensor(other.heatmap))


def test_annotations_are_kept(tmp_path: Path) -> None:
    picture = Image.effect_noise((40, 40), 90).convert("RGB")
    shown = watch(tmp_path, [picture], every_n_epochs=1, boxes=[(4, 4, 20, 20)], labels=["clover"])
    shown.start(Net())
    shown.epoch_end(0)
    shown.epoch_end(1)
    summary = shown.comparison.summary(fair=False)
    assert {"accuracy", "energy_pointing_game"} <= {each.figure.key for each in summary.measures}


def test_metrics_that_come_later(tmp_path: Path) -> None:
    shown = watch(tmp_path, every_n_epochs=1)
    shown.start(Net())
    shown.epoch_end(0, {"loss": torch.tensor(2.0), "name": "x", "many": torch.ones(2)}, step=6)
    shown.add_metrics({"val": 0.5}, step=6)
    shown.add_metrics({"val": 0.7}, step=7)
    (facts,) = shown.comparison.facts
    assert facts.training is not None
    assert facts.training.metrics == {"loss": 2.0, "val": 0.5}


def test_the_default_says_which_epochs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0  # each look at the clock
        return now

    shown = watch(tmp_path, epochs=20, clock=clock)
    shown.start(Net())
    for epoch in range(20):
        now += 50
        shown.epoch_end(epoch)
    shown.end()
    columns = shown.comparison.columns
    assert (columns[0], columns[-1]) == ("epoch 0", "epoch 19")
    told = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("effcam shows Net on 2 images, at ") for line in told)
    assert any("photos become inputs of 24 x 24 px" in line for line in told)
    assert f"effcam showed the network {len(columns)} times" in told[-1]


def test_an_assumed_transform_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown = Watch(IMAGES, tmp_path, every_n_epochs=1, class_names=NAMES)
    net = Net().train()
    shown.start(net)
    net(torch.rand(1, 3, SIDE, SIDE))
    warned = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warned) == 2
    assert "nothing states how photos become inputs" in warned[0]
    assert "its inputs have 24 x 24 px, those shown 224 x 224" in warned[1]
    assert "values from" in warned[1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"images": []}, EffcamError, "no images"),
        ({"images": "missing.jpg"}, ImageError, "missing.jpg"),
        ({"method": "nonsense"}, ArgumentError, "nonsense"),
        ({"method": ["gradcam", "layercam"]}, ArgumentError, "one method and one target"),
        ({"target": {"a": 0, "b": 1}}, ArgumentError, "one method and one target"),
        ({"target": [0, 1, 2]}, EffcamError, "3"),
        ({"batch_size": 0}, ArgumentError, "batch_size"),
        ({"epochs": 0}, ArgumentError, "epochs"),
        ({"boxes": [(0, 0, 1, 1)]}, ArgumentError, "2"),
        ({"every_n_steps": 0}, ArgumentError, "every_n_steps"),
    ],
)
def test_wrong_arguments_fail_at_once(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    given = {"images": IMAGES} | options
    with pytest.raises(error, match=message):
        watch(tmp_path, **given)


@pytest.mark.parametrize(
    ("options", "start", "error", "message"),
    [
        ({"target": 10}, {}, EffcamError, "class 10 is out of range"),
        ({"class_names": ("one", "two")}, {}, ArgumentError, "has 10 classes"),
        ({"target_layer": "nonsense"}, {}, EffcamError, "nonsense"),
        ({"preprocess": "crop"}, {}, ArgumentError, "preprocess must be"),
        ({"log_to": [3]}, {}, ArgumentError, "cannot log to 3"),
        ({}, {"module": "nonsense"}, ArgumentError, "Net has no part 'nonsense'"),
        ({"labels": ["cat", "dog"]}, {}, EffcamError, "cat.*class_names= gives"),
    ],
)
def test_wrong_arguments_fail_before_the_training(
    options: dict[str, Any],
    start: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        watch(tmp_path, **options).start(Net(), **start)


def test_a_folder_is_needed_and_made(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="folder is needed"):
        watch(None).start(Net())
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="cannot make the folder"):
        watch(file / "effcam").start(Net())
    watch(None).start(Net(), folder=tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_lazy_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="lazy layers"):
        watch(tmp_path).start(nn.Sequential(nn.LazyConv2d(3, 3)))


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_an_image_that_is_gone_is_said_once(
    plain: list[tuple[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = tmp_path / "photo.png"
    Image.effect_noise((40, 40), 90).convert("RGB").save(photo)
    shown = watch(tmp_path / "out", [photo], every_n_epochs=1)
    shown_start = shown.start

    def start_and_lose(net: nn.Module, **options: Any) -> None:
        shown_start(net, **options)
        photo.unlink()

    shown.start = start_and_lose  # type: ignore[method-assign]
    assert_same(train(shown), plain)
    (warned,) = warnings_of(caplog)
    assert "could not show the network at epoch 0; the training goes on" in warned
    assert "photo.png" in warned
    assert not shown.comparison.columns


def _raise(_error: BaseException) -> Callable[..., None]:
    def fail(*_args: object, **_named: object) -> None:
        raise _error

    return fail


def test_a_full_disk_is_said_once_and_columns_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left on device")
    monkeypatch.setattr("effcam.integrations.results.Results.draw", _raise(full))
    shown = watch(tmp_path, every_n_epochs=1)
    train(shown, epochs=3)
    (warned,) = warnings_of(caplog)
    assert "could not write latest.png at epoch 0" in warned
    assert "No space left on device" in warned
    assert len(shown.comparison.columns) == 3
    assert (tmp_path / "epochs.gif").is_file()


def test_an_interrupt_is_not_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watch(tmp_path, every_n_epochs=1)
    shown.start(Net())
    monkeypatch.setattr("effcam.integrations.results.Results.draw", _raise(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        shown.epoch_end(0)


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    first = watch(tmp_path, every_n_epochs=1)
    train(first, epochs=2)
    state = first.state_dict()
    assert set(state) == {"history"}
    torch.save(state, tmp_path / "state.pt")
    second = watch(tmp_path / "again", every_n_epochs=1)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    second.start(Net())
    second.epoch_end(2, step=18)
    assert second.comparison.columns == ("epoch 0", "epoch 1", "epoch 2")


def test_a_training_goes_on_from_its_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(watch(tmp_path, every_n_epochs=1), epochs=3)
    second = watch(tmp_path, every_n_epochs=1)
    second.start(Net(), step=12)  # from the checkpoint before the last
    second.epoch_end(2, step=18)
    assert second.comparison.columns == ("epoch 0", "epoch 1", "epoch 2")
    new = watch(tmp_path, every_n_epochs=1)
    new.start(Net())
    assert not new.comparison.columns
    (warned,) = warnings_of(caplog)
    assert "replaces what an earlier training left in" in warned


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_a_broken_history_is_left(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "history.npz").write_bytes(content)
    shown = watch(tmp_path, every_n_epochs=1)
    shown.start(Net(), step=12)
    (warned,) = warnings_of(caplog)
    assert "does not go on with the earlier history: it cannot be read" in warned


def test_compiled_and_wrapped_networks(tmp_path: Path) -> None:
    net = Net().train()
    shown = watch(tmp_path, every_n_epochs=1)
    compiled = torch.compile(nn.DataParallel(net), backend="eager")
    shown.start(compiled)
    shown.epoch_end(0)
    plain = effcam.compare(
        IMAGES, effcam.load_model(net, preprocess=TRANSFORM, labels=NAMES), progress=False
    )
    assert torch.equal(
        torch.tensor(shown.comparison[0, 0].heatmap), torch.tensor(plain[0, 0].heatmap)
    )


@pytest.fixture
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        yield


@pytest.mark.usefixtures("autocast")
def test_autocast_and_inference_mode_of_the_loop(tmp_path: Path) -> None:
    with torch.inference_mode(False):
        net = Net()
    shown = watch(tmp_path, every_n_epochs=1)
    shown.start(net)
    shown.epoch_end(0)
    with torch.autocast("cpu", enabled=False):
        model = effcam.load_model(net, preprocess=TRANSFORM, labels=NAMES)
        plain = effcam.compare(IMAGES, model, progress=False)
    assert torch.equal(
        torch.tensor(shown.comparison[0, 0].heatmap), torch.tensor(plain[0, 0].heatmap)
    )


def test_labels_that_do_not_exclude_each_other(tmp_path: Path) -> None:
    shown = watch(tmp_path, scores="sigmoid")
    net = Net().eval()
    shown.start(net)
    shown.epoch_end(0)
    batch = torch.cat([TRANSFORM(each.image)[0][None] for each in IMAGES])
    for score, cell in zip(net(batch).detach().amax(1), shown.comparison.cells, strict=True):
        assert cell.probability == pytest.approx(float(score.sigmoid()), abs=1e-5)
    with pytest.raises(ArgumentError, match="scores must be"):
        watch(tmp_path, scores="logits")
