"""Runs on disk: their content, how they resume, and that nothing is lost."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from effcam import (
    Comparison,
    DatasetRun,
    EffcamError,
    ModelSpec,
    Preprocess,
    compare,
    compare_dataset,
    load_model,
    open_run,
)
from effcam.errors import (
    AnnotationError,
    ArgumentError,
    CellError,
    ImageError,
    ModelError,
    OutputError,
    TargetError,
    UnknownModelError,
    WeightsError,
)
from tests.nets import ColourNet
from tests.tiers import core

pytest.importorskip("pyarrow")

from effcam.dataset.progress import finishing
from effcam.dataset.shards import key_of

COUNT, SHARD = 11, 4
PLAIN = Preprocess(size=32, resize=32, mean=0, std=1)


SPEC = ModelSpec("blocks", constructor=ColourNet, preprocess=PLAIN, labels=["red", "green", "blue"])
MODELS = {"soft": replace(SPEC, options={"gain": 1.0}), "hard": SPEC}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def write_photos(folder: Path) -> Path:
    """Return a folder of photos, one of which is not an image."""
    folder.mkdir()
    for seed in range(COUNT):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 30 + 5 * seed, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    (folder / "7.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def run(photos: Path, out: Any, models: Any = MODELS, **options: Any) -> DatasetRun:
    return compare_dataset(
        photos, models, out, **{"shard_size": SHARD, "progress": False, **options}
    )


def shards(out: Path) -> dict[str, bytes]:
    """Return the content of every shard by name."""
    found = sorted((out / "shards").rglob("*.parquet"))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def rows(comparison: Comparison) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if k != "grid"} for row in comparison.table()]


# Content of a run


@pytest.mark.parametrize("method", ["gradcam", ["gradcam", "layercam"]])
def test_a_run_holds_the_results_of_compare(photos: Path, out: Path, method: Any) -> None:
    found = run(photos, out, method=method)
    expected = compare(photos, MODELS, method=method, on_error="skip", progress=False)
    assert found.columns == expected.columns
    whole = found.comparison()
    assert [image.name for image in whole.images] == [image.name for image in expected.images]
    assert whole.skipped == expected.skipped
    for mine, theirs in zip(whole.table(), expected.table(), strict=True):
        assert mine == pytest.approx(theirs)
    for mine, theirs in zip(whole.cells, expected.cells, strict=True):  # type: ignore[assignment]
        assert mine.heatmap == pytest.approx(theirs.heatmap, abs=0.01)  # type: ignore[attr-defined]
        assert mine.model_label == theirs.model_label  # type: ignore[attr-defined]
    assert whole.agreement() == pytest.approx(expected.agreement(), abs=0.01)
    assert found.agreement() == pytest.approx(whole.agreement())
    names = [image.name for image in whole.most_disagreed(3).images]
    assert [image.name for image in found.most_disagreed(3).images] == names
    assert whole.grid().size == expected.grid().size


def test_rows_can_be_read_without_effcam(photos: Path, out: Path) -> None:
    found = run(photos, out)
    table = found.table()
    assert len(table) == len(found) == 2 * COUNT
    polars = pytest.importorskip("polars")
    assert len(polars.read_parquet(out / "shards/**/*.parquet")) == 2 * COUNT
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(out / "shards")
    assert len(frame) == 2 * COUNT
    assert frame["error"].notna().sum() == 2
    duckdb = pytest.importorskip("duckdb")
    counted = duckdb.sql(f"select count(*) from '{out}/shards/*/*.parquet'")  # noqa: S608
    assert counted.fetchall() == [(2 * COUNT,)]


def test_iterating_gives_the_shards_model_by_model(photos: Path, out: Path) -> None:
    found = list(run(photos, out))
    assert [len(table) for table in found] == 2 * [4, 4, 3]
    assert [set(table["column"].to_pylist()) for table in found] == 3 * [{"soft"}] + 3 * [{"hard"}]


def test_the_summary_is_that_of_all_images(photos: Path, out: Path) -> None:
    found = run(photos, out)
    labels = {f"{seed}.png": seed % 3 for seed in range(COUNT)}
    mine = found.summary(labels=labels, fair=False)
    theirs = found.comparison().summary(labels=labels, fair=False)
    for measure in mine.measures:
        assert measure.values == pytest.approx(theirs.measure(measure.figure.key).values)
    listed = found.summary(labels=[seed % 3 for seed in range(COUNT)], fair=False)
    assert str(listed) == str(mine)
    assert "accuracy" not in str(found.summary())


def annotations(masks: Path) -> dict[str, Any]:
    """Return boxes, masks and labels of most of the photos."""
    masks.mkdir()
    boxes: dict[str, Any] = {}
    for seed in range(COUNT - 1):
        boxes[f"{seed}.png"] = (2 + seed, 3, 20 + seed, 24)
        mask = np.zeros((40, 30 + 5 * seed), np.uint8)
        mask[5:25, 4 : 20 + seed] = 255
        Image.fromarray(mask).save(masks / f"{seed}.png")
    del boxes["2.png"]
    return {
        "boxes": boxes,
        "masks": masks,
        "labels": {f"{seed}.png": seed % 3 for seed in range(COUNT)},
    }


@pytest.fixture(scope="module")
def of_demo_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetRun, Comparison]:
    """Return a run of two demo models, and the comparison of the same images in memory."""
    folder = tmp_path_factory.mktemp("demo models")
    photos = write_photos(folder / "photos")
    models = {"resnet": "demo_resnet", "alexnet": "demo_alexnet"}
    compared = compare(photos, models, on_error="skip", progress=False)
    return run(photos, folder / "run", models), compared


@pytest.mark.parametrize("kinds", [["boxes"], ["masks"], ["boxes", "masks", "labels"]])
@pytest.mark.parametrize("fair", [False, None])
def test_the_summary_is_that_of_a_comparison_in_memory(
    of_demo_models: tuple[DatasetRun, Comparison],
    tmp_path: Path,
    kinds: list[str],
    fair: bool | None,
) -> None:
    every = annotations(tmp_path / "masks")
    known = {kind: every[kind] for kind in kinds}
    found, compared = of_demo_models
    mine = found.summary(**known, fair=fair)
    theirs = compared.summary(**known, fair=fair)
    assert (mine.images, mine.used) == (theirs.images, theirs.used)
    figures = [measure.figure.key for measure in mine.measures]
    # A run does not measure time.
    expected = [measure.figure.key for measure in theirs.measures]
    assert figures == [key for key in expected if key != "seconds"]
    assert ("max_box_acc" in figures) == ("boxes" in kinds and mine.used > 1)
    for measure in mine.measures:
        same = theirs.measure(measure.figure.key)
        # A run keeps maps in 16 bits.
        assert measure.values == pytest.approx(same.values, abs=2e-3, rel=2e-3, nan_ok=True)
        assert measure.baselines == pytest.approx(same.baselines, nan_ok=True)
        assert measure.counts.tolist() == same.counts.tolist()
    exact = found.comparison().summary(**known, fair=fair)
    for measure in mine.measures:
        same = exact.measure(measure.figure.key)
        assert measure.values == pytest.approx(same.values, rel=1e-12, nan_ok=True)


def test_boxes_that_do_not_fit_are_refused(photos: Path, out: Path) -> None:
    found = run(photos, out)
    with pytest.raises(AnnotationError, match=r"no boxes for any of the 11 images: they are for"):
        found.summary(boxes={"x": (0, 0, 4, 4)})
    with pytest.raises(AnnotationError, match=r"image '1\.png': the box .* lies outside"):
        found.summary(boxes={"1.png": (900, 0, 950, 4)})


def test_labels_that_do_not_fit_are_refused(photos: Path, out: Path) -> None:
    found = run(photos, out)
    with pytest.raises(AnnotationError, match="no labels for any of the 11 images"):
        found.summary(labels={"other.png": 1})
    with pytest.raises(ArgumentError, match="the number of labels is 2, that of images 11"):
        found.summary(labels=[1, 2])
    with pytest.raises(TargetError, match="purple"):
        found.summary(labels={"1.png": "purple"})


def test_pictures_of_a_chosen_few(photos: Path, out: Path) -> None:
    found = run(photos, out).comparison(["10.png", 0, "7.png", -2])
    assert [image.name for image in found.images] == ["10.png", "0.png", "9.png"]
    assert [skipped.image for skipped in found.skipped] == ["7.png"]
    with pytest.raises(CellError, match=r"no image is called '1.pgn'. Did you mean '1.png'"):
        open_run(out).comparison(["1.pgn"])
    with pytest.raises(CellError, match="image 11 is out of range: there are 11"):
        open_run(out).comparison([11])
    with pytest.raises(ImageError, match=r"none of these images could be read: image '7.png'"):
        open_run(out).comparison(["7.png"])


def test_a_run_describes_itself(photos: Path, out: Path) -> None:
    run(photos, out, target="green", view="whole", size=64)
    found = open_run(str(out))
    assert found.complete
    assert found.images == COUNT
    assert found.columns == ("soft", "hard")
    assert [facts.name for facts in found.facts] == ["blocks", "blocks"]
    assert found.facts[0].find_class("blue") == 2
    assert (found.settings["target"], found.settings["size"]) == ("green", 64)
    assert "11 images, columns soft, hard, complete" in repr(found)
    assert set(found.table(["label"])["label"].to_pylist()) == {"green", None}
    with pytest.raises(ArgumentError, match="the table has no 'labels'"):
        found.table(["labels"])


def test_errors_are_rows(photos: Path, out: Path) -> None:
    found = run(photos, out)
    (name, reason), *others = found.errors().items()
    assert (name, others) == ("7.png", [])
    assert reason == "image '7.png': the file is not an image that can be read"
    images = found.table(["image"])["image"].to_pylist()
    assert images[:COUNT] == images[COUNT:] == [f"{seed}.png" for seed in range(COUNT)]


def test_a_file_that_is_missing_is_a_row(photos: Path, out: Path) -> None:
    found = compare_dataset([photos / "1.png", photos / "gone.png"], SPEC, out, progress=False)
    assert found.errors() == {"gone.png": "image 'gone.png': the file does not exist"}


def test_a_name_that_is_not_utf8_is_read_and_reported(photos: Path, out: Path) -> None:
    name = "caf\udce9\n<b>.png"
    shutil.copy(photos / "1.png", photos / name)
    found = run(photos, out)
    assert "caf\\udce9\n<b>.png" in found.table(["image"])["image"].to_pylist()
    assert list(found.errors()) == ["7.png"]
    assert found.comparison([COUNT]).grid()


def test_one_target_an_image(photos: Path, out: Path) -> None:
    targets = ["red", 2, *["green"] * (COUNT - 2)]
    found = run(photos, out, target=targets)
    named = found.table(["target"])["target"].to_pylist()
    assert named[:4] == [0, 2, 1, 1]
    run(photos, out, target=targets)
    with pytest.raises(OutputError, match=r"image '1.png' has changed"):
        run(photos, out, target=["red", 1, *["green"] * (COUNT - 2)])


def test_labels_like_paths_are_no_paths(photos: Path, out: Path) -> None:
    found = run(photos, out, {"../../a b": SPEC, "../../a c": SPEC})
    assert found.columns == ("../../a b", "../../a c")
    assert {path.parent.parent for path in out.rglob("*.parquet")} == {out / "shards", out.parent}
    assert len(found) == 2 * COUNT


def test_a_model_and_a_module_run_too(photos: Path, out: Path) -> None:
    module = ColourNet()
    found = run(photos, out, {"module": module, "model": load_model(module, preprocess=PLAIN)})
    assert len(found) == 2 * COUNT
    run(photos, out, {"module": module, "model": load_model(module, preprocess=PLAIN)})
    with torch.no_grad():
        module.head.weight.mul_(2)
    with pytest.raises(OutputError, match=r"module: weights was .*, is .*; model: weights was"):
        run(photos, out, {"module": module, "model": load_model(module, preprocess=PLAIN)})


# Resuming


def test_a_finished_run_does_nothing(
    photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(photos, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr("effcam.dataset.local.Worker", None)
    assert run(photos, out).complete
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert after.keys() == before.keys()
    lock = out / ".lock"
    assert {**after, lock: 0} == {**before, lock: 0}


def test_the_same_run_twice_is_the_same_bytes(photos: Path, out: Path, tmp_path: Path) -> None:
    run(photos, out)
    run(photos, tmp_path / "other")
    assert shards(out) == shards(tmp_path / "other")
    for name in ("manifest.json", "images.parquet", "models/00.json"):
        assert (out / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"method": "layercam"}, "method was gradcam, is layercam"),
        ({"target": 1}, "target was None, is 1"),
        ({"view": "whole"}, "view was model, is whole"),
        ({"size": 64}, "size was None, is 64"),
        ({"precision": "bf16"}, "precision was fp32, is bf16"),
        ({"decoding": "reduced"}, "decoding was exact, is reduced"),
        ({"shard_size": 5}, "shard_size was 4, is 5"),
        ({"models": {"soft": SPEC, "hard": SPEC}}, "soft: options was .*1.0.*, is {}"),
        ({"models": {"hard": SPEC}}, "models were soft, hard, are hard"),
        ({"models": {**MODELS, "hard": replace(SPEC, labels=["r", "g", "b"])}}, "hard: labels was"),
        (
            {"models": {**MODELS, "hard": replace(SPEC, target_layer="features.0")}},
            "hard: target_layer was features, is features.0",
        ),
    ],
)
def test_other_settings_are_refused_with_the_difference(
    photos: Path, out: Path, options: dict[str, Any], difference: str
) -> None:
    run(photos, out)
    before = shards(out)
    with pytest.raises(OutputError, match=difference) as caught:
        run(photos, out, **options)
    assert "overwrite=True" in str(caught.value)
    assert shards(out) == before
    assert run(photos, out, **options, overwrite=True).complete
    assert shards(out) != before


def test_other_weights_are_refused(photos: Path, out: Path, tmp_path: Path) -> None:
    files = []
    for gain in (1.0, 2.0):
        files.append(tmp_path / "weights.pt")
        torch.save(ColourNet(gain).state_dict(), files[-1])
        model = replace(SPEC, checkpoint=files[-1])
        if gain == 1:
            run(photos, out, model)
            run(photos, out, model)
    with pytest.raises(OutputError, match=r"blocks: weights was [0-9a-f]+, is [0-9a-f]+"):
        run(photos, out, model)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda folder: (folder / "0.png").unlink(), "image '0.png' is gone"),
        (lambda folder: shutil.copy(folder / "0.png", folder / "0a.png"), "image '0a.png' is new"),
        (
            lambda folder: [shutil.copy(folder / "0.png", folder / f"x{n}.png") for n in range(5)],
            r"5 images are new \('x0.png', 'x1.png', 'x2.png', ...\)",
        ),
        (lambda folder: os.utime(folder / "9.png", (1, 1)), "image '9.png' has changed"),
        (
            lambda folder: (
                shutil.copy(folder / "10.png", folder / "9.png"),
                os.utime(folder / "8.png", (1, 1)),
            ),
            r"2 images have changed \('8.png', '9.png'\)",
        ),
    ],
)
def test_changed_images_are_refused(
    photos: Path, out: Path, change: Callable[[Path], object], difference: str
) -> None:
    run(photos, out)
    change(photos)
    with pytest.raises(OutputError, match=difference):
        run(photos, out)


def test_another_order_is_refused(photos: Path, out: Path) -> None:
    files = [photos / "1.png", photos / "2.png"]
    compare_dataset(files, SPEC, out, progress=False)
    with pytest.raises(OutputError, match="the images are in another order"):
        compare_dataset(files[::-1], SPEC, out, progress=False)


def test_other_versions_warn_and_resume(photos: Path, out: Path) -> None:
    run(photos, out)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match=r"torch was 1.0, is "):
        assert run(photos, out).complete


def test_batch_size_and_device_may_change(photos: Path, out: Path) -> None:
    run(photos, out)
    before = shards(out)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(photos, out, batch_size=1, device="cpu").complete
    assert shards(out) == before


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_an_incomplete_shard_is_written_again(photos: Path, out: Path, keep: int) -> None:
    run(photos, out)
    before = shards(out)
    torn = out / sorted(before)[2]
    torn.write_bytes(torn.read_bytes()[:keep])
    assert run(photos, out).complete
    assert shards(out) == before


def test_a_shard_of_another_run_is_written_again(photos: Path, out: Path, tmp_path: Path) -> None:
    run(photos, out)
    before = shards(out)
    run(photos, tmp_path / "other", target=1)
    name = min(before)
    shutil.copy(tmp_path / "other" / name, out / name)
    run(photos, out)
    assert shards(out) == before


def test_an_unfinished_run_can_be_read(photos: Path, out: Path) -> None:
    run(photos, out)
    for name in list(shards(out))[-1:]:
        (out / name).unlink()
    found = open_run(out)
    assert not found.complete
    assert len(found) == 2 * COUNT - 3
    assert found.summary().images == 7  # of two shards, without the bad one
    with pytest.raises(OutputError, match="hard has not run yet on all of these images"):
        found.comparison()
    assert len(found.comparison(range(4))) == 8


# Errors


def test_more_errors_than_allowed_stop_the_run(photos: Path, out: Path) -> None:
    (photos / "3.png").write_bytes(b"")
    with pytest.raises(
        ImageError, match=r"2 images cannot be read, more than max_errors=1 .*3.png"
    ):
        run(photos, out, max_errors=1)
    kept = shards(out)
    assert kept
    with pytest.raises(ImageError, match="more than max_errors=1"):
        run(photos, out, max_errors=1)
    found = run(photos, out, max_errors=2)
    assert len(found.errors()) == 2
    assert {name: shards(out)[name] for name in kept} == kept


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": "consensus"}, TargetError, "a dataset has no consensus"),
        ({"target": "purple"}, TargetError, "purple"),
        ({"target": [1, 2]}, ArgumentError, "there are 2 targets, and more images"),
        ({"target": [1] * 12}, ArgumentError, "there are 12 targets, and 11 images"),
        ({"shard_size": 0}, ArgumentError, "shard_size must be a whole number from 1"),
        ({"max_errors": -1}, ArgumentError, "max_errors must be a whole number from 0"),
        ({"batch_size": 0}, ArgumentError, "batch_size"),
        ({"view": "all"}, ArgumentError, "view must be"),
        ({"decoding": "fast"}, ArgumentError, "decoding must be"),
        ({"precision": "fp8"}, ArgumentError, "fp8"),
        ({"method": "cam"}, ArgumentError, "no method is called 'cam'"),
        ({"backend": "dask"}, ArgumentError, "backend must be 'local' or 'ray'"),
        ({"workers": 2}, ArgumentError, "workers has no meaning without backend='ray'"),
        ({"address": "auto"}, ArgumentError, "address has no meaning"),
        ({"models": "resnet5"}, UnknownModelError, "resnet50"),
    ],
)
def test_mistakes_are_refused(
    photos: Path, out: Path, options: dict[str, Any], error: type[EffcamError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(photos, out, **options)
    assert not shards(out)


def test_images_from_memory_are_refused(out: Path) -> None:
    with pytest.raises(ArgumentError, match="is not a file"):
        run(np.zeros((8, 8, 3), np.uint8), out)  # type: ignore[arg-type]


def test_no_images_are_refused(out: Path) -> None:
    with pytest.raises(ImageError, match="there are no images"):
        compare_dataset([], SPEC, out, progress=False)
    assert not (out / "manifest.json").exists()


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"has no run of effcam: there is no manifest.json"):
        open_run(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(OutputError, match="is not a manifest of a run"):
        open_run(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 99, "versions": {"effcam": "7.0"}}')
    with pytest.raises(OutputError, match=r"was written by effcam 7.0"):
        open_run(tmp_path)


def test_overwriting_keeps_files_of_others(photos: Path, out: Path) -> None:
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    run(photos, out)
    run(photos, out, target=1, overwrite=True)
    assert (out / "mine.txt").read_text() == "keep me"


def test_a_broken_shard_is_named_when_it_is_read(photos: Path, out: Path) -> None:
    found = run(photos, out)
    name = next(iter(shards(out)))
    (out / name).write_bytes(b"PAR1")
    with pytest.raises(
        OutputError, match=f"the shard .*{name}.* is broken: run the command that made"
    ):
        found.table()


def damaged(content: bytes, how: str) -> bytes:
    found = bytearray(content)
    if how == "a bit of a page":
        found[last_byte_of(content, "heatmap.list.element")] ^= 4
    if how == "a bit of the metadata":
        at = found.index(b"half_mass_area", len(found) // 2)
        found[at] ^= 1
    return b"" if how == "no bytes" else bytes(found)


def last_byte_of(content: bytes, column: str) -> int:
    """Return where the last page of a column ends: its header has no checksum, its values do."""
    from pyarrow import parquet

    group = parquet.ParquetFile(io.BytesIO(content)).metadata.row_group(0)
    (chunk,) = (
        each
        for each in map(group.column, range(group.num_columns))
        if each.path_in_schema == column
    )
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    return int(first + chunk.total_compressed_size - 1)


@pytest.mark.parametrize("how", ["a bit of a page", "a bit of the metadata", "no bytes"])
def test_a_damaged_shard_is_named_when_read_and_made_again(
    photos: Path, out: Path, how: str
) -> None:
    found = run(photos, out, {"hard": SPEC})
    before = shards(out)
    name = list(before)[1]
    (out / name).write_bytes(damaged(before[name], how))
    if how != "a bit of the metadata":  # which effcam does not use
        with pytest.raises(OutputError, match=f"the shard .*{name}.* is broken"):
            open_run(out).table()
    assert run(photos, out, {"hard": SPEC}).complete
    assert shards(out) == before
    assert found.table().num_rows == COUNT


def test_every_flipped_byte_of_a_shard_is_found(photos: Path, out: Path) -> None:
    found = run(photos, out, {"hard": SPEC})
    content = (out / next(iter(shards(out)))).read_bytes()
    key = key_of(found.manifest, 0, 0, [f"{seed}.png" for seed in range(SHARD)])
    assert key.read_intact(content).num_rows == SHARD
    for at in np.random.default_rng(0).permutation(len(content))[:40]:
        flipped = bytearray(content)
        flipped[at] ^= 16
        with pytest.raises(OutputError):
            key.read_intact(bytes(flipped))


def test_a_copied_shard_is_named_when_read_and_made_again(
    photos: Path, out: Path, tmp_path: Path
) -> None:
    run(photos, out)
    before = shards(out)
    other = tmp_path / "other photos"
    write_photos(other)
    shutil.copy(other / "0.png", other / "1.png")
    run(other, tmp_path / "other")
    soft, hard = list(before)[:3], list(before)[3:]
    copies = {
        "it is a copy of shard 1": (out / hard[1], out / hard[0]),
        "its rows are not those of hard": (out / soft[1], out / hard[1]),
        "it belongs to another run": (tmp_path / "other" / hard[2], out / hard[2]),
    }
    for reason, (source, target) in copies.items():
        kept = target.read_bytes()
        shutil.copy(source, target)
        with pytest.raises(OutputError, match=reason):
            open_run(out).table(["label"])
        assert run(photos, out).complete
        assert target.read_bytes() == kept, reason


@pytest.mark.parametrize("keep", [0, 100, -1, None])
def test_a_damaged_list_of_images_is_named_and_written_again(
    photos: Path, out: Path, keep: int | None
) -> None:
    run(photos, out, {"hard": SPEC})
    file = out / "images.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:keep] if keep is not None else whole[:60] + b"x" + whole[61:])
    with pytest.raises(OutputError, match=r"the list of images .*images\.parquet' is broken"):
        open_run(out).summary()
    os.utime(photos / "9.png", (1, 1))
    with pytest.raises(OutputError, match=r"is broken.*the images differ from those .*overwrite"):
        run(photos, out, {"hard": SPEC})


def test_a_damaged_list_of_the_same_images_is_written_again(photos: Path, out: Path) -> None:
    run(photos, out, {"hard": SPEC})
    file = out / "images.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    before = shards(out)
    assert run(photos, out, {"hard": SPEC}).complete
    assert (file.read_bytes(), shards(out)) == (whole, before)


def test_the_list_of_another_run_is_refused(photos: Path, out: Path, tmp_path: Path) -> None:
    found = run(photos, out, {"hard": SPEC})
    os.utime(photos / "9.png", (1, 1))
    run(photos, tmp_path / "other", {"hard": SPEC})
    shutil.copy(tmp_path / "other" / "images.parquet", out)
    with pytest.raises(OutputError, match="is broken: it is that of other images"):
        found.comparison([0])


def test_lost_facts_are_written_again(photos: Path, out: Path) -> None:
    found = run(photos, out, {"hard": SPEC})
    file = out / "models" / "00.json"
    whole = file.read_bytes()
    for content in (b"", whole[:-9]):
        file.write_bytes(content)
        with pytest.raises(OutputError, match=r"00\.json' is broken"):
            _ = found.facts
        run(photos, out, {"hard": SPEC})
        assert file.read_bytes() == whole


def test_a_model_file_that_is_gone_stops_only_a_run_that_needs_it(
    photos: Path, out: Path, tmp_path: Path
) -> None:
    file = tmp_path / "weights.pt"
    torch.save(ColourNet().state_dict(), file)
    model = replace(SPEC, checkpoint=file)
    run(photos, out, model)
    file.unlink()
    with pytest.raises(WeightsError, match=r"weights\.pt"):
        run(photos, out, model)
    found = open_run(out)
    assert found.complete
    assert found.summary().images == COUNT - 1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("fotos", "image '.*fotos' does not exist"),
        ("photos/gone.png", r"image '.*gone\.png' does not exist"),
        ("*.tiff", r"no image file matches '.*\*\.tiff'"),
        (["photos", "fotos"], "image '.*fotos' does not exist"),
        (["photos/a.png", "photos/b.png"], r"none of 2 images exists: image '.*a\.png'"),
        ("empty", "folder '.*empty' has no images"),
    ],
)
def test_misspelt_images_are_refused_and_leave_an_earlier_run(
    photos: Path, out: Path, images: Any, message: str
) -> None:
    run(photos, out, {"hard": SPEC})
    before = shards(out)
    (photos.parent / "empty").mkdir()
    several = [images] if isinstance(images, str) else images
    given = [photos.parent / each for each in several]
    with pytest.raises(ImageError, match=message):
        run(given if len(given) > 1 else given[0], out, {"hard": SPEC}, overwrite=True)  # type: ignore[arg-type]
    assert shards(out) == before
    assert open_run(out).complete


def test_a_model_that_cannot_be_compared_is_not_resumed(photos: Path, out: Path) -> None:
    class Locked(ColourNet):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            with self.lock:
                return super().forward(images)

    model = load_model(Locked(), preprocess=PLAIN)
    with pytest.warns(UserWarning, match="cannot be resumed .*'lock' of the module has a lock"):
        assert run(photos, out, model).complete
    with pytest.raises(OutputError, match="nobody can check whether it is the same model"):
        run(photos, out, model)


def test_an_error_of_a_model_names_it_and_stops_the_run(photos: Path, out: Path) -> None:
    class Picky(ColourNet):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.device.type != "meta" and images.std() > 0.1:
                raise KeyError("stem")
            return super().forward(images)

    with pytest.raises(ModelError, match=r"Picky: the model failed .*: KeyError: 'stem'"):
        run(photos, out, load_model(Picky(), preprocess=PLAIN))


# At an address instead of a folder


def test_an_address_holds_a_run(photos: Path) -> None:
    place = f"memory://{photos.as_posix().replace('/', '-')}/run"
    found = run(photos, place)
    assert run(photos, place).complete
    assert open_run(place).comparison(["1.png"]).images[0].name == "1.png"
    assert len(found) == 2 * COUNT


def test_the_rows_at_an_address_are_those_of_a_folder(photos: Path, out: Path) -> None:
    place = f"memory://{out.as_posix().replace('/', '-')}"
    assert run(photos, place).table().equals(run(photos, out).table())


def test_an_address_of_this_machine_is_a_folder(photos: Path, out: Path) -> None:
    assert run(photos, f"file://{out}").complete
    assert run(photos, out).complete


def test_an_unknown_address_is_refused(photos: Path) -> None:
    with pytest.raises(OutputError, match="'nowhere://bucket/run' cannot be reached"):
        run(photos, "nowhere://bucket/run")


# Real interruptions: kill -9, Ctrl-C, a full disk, a second process

HEAD = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
import torch
torch.set_num_threads(1)
from pathlib import Path
from effcam import compare_dataset, open_run
from effcam.errors import EffcamError
sys.path[:0] = {paths!r}
from test_dataset import MODELS, SHARD, run, shards
photos, out = Path({photos!r}), Path({out!r})
"""


def script(photos: Path, out: Path, text: str) -> list[str]:
    here = Path(__file__)
    paths = [str(here.parent), str(here.parents[2])]  # the second one has the package `tests`
    head = HEAD.format(paths=paths, photos=str(photos), out=str(out))
    return [sys.executable, "-c", head + textwrap.dedent(text)]


@pytest.mark.slow
@pytest.mark.parametrize("stride", core([1, 9], {9}))
def test_killed_at_any_step_a_run_resumes_to_the_same_rows(
    photos: Path, out: Path, stride: int
) -> None:
    """Kill the process at each n-th call by which a file gets onto the disk."""
    text = """
    import shutil, signal
    STEPS = (os, "open"), (os, "fsync"), (Path, "replace"), (Path, "write_bytes")

    def killed_at(step):
        calls = 0
        def counted(real):
            def call(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)
            return call
        for owner, name in STEPS:
            setattr(owner, name, counted(getattr(owner, name)))

    # What is loaded late is there before any fork.
    run(photos, out.with_name("undisturbed"))
    expected = shards(out.with_name("undisturbed"))
    step = 1 - STRIDE
    while True:
        step += STRIDE
        child = os.fork()
        if not child:
            killed_at(step)
            run(photos, out)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
        assert shards(out).items() <= expected.items(), step
        again = os.fork()
        if not again:
            run(photos, out)
            os._exit(0)
        assert os.waitpid(again, 0)[1] == 0, step
        assert shards(out) == expected, step
        assert not list(out.rglob(".effcam-*")), step
        shutil.rmtree(out)
    print(step)
    """
    done = subprocess.run(
        script(photos, out, text.replace("STRIDE", str(stride))),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # The list of images, the manifest, two models, six shards: some steps each.
    assert int(done.stdout) > 30


def _wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_ctrl_c_finishes_the_current_shard(photos: Path, out: Path) -> None:
    """Send Ctrl-C to the command line, like a user."""
    argv = ["dataset", str(photos), "-m", "resnet18", "--weights", "none", "--size", "64"]
    argv += ["--shard-size", "2", "-o", str(out), "--batch-size", "1"]
    program = f"""
    import effcam.cam.run, time
    real = effcam.cam.run._cells
    def slow(*args):
        time.sleep(0.3)
        return real(*args)
    effcam.cam.run._cells = slow
    from effcam.cli import main
    sys.exit(main({argv!r}))
    """
    process = subprocess.Popen(
        script(photos, out, program), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _wait_for(lambda: len(shards(out)) >= 2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "finishing the current shard; press Ctrl-C again to stop at once" in told
    assert "shards are written in" in told
    assert "run the same command again to resume" in told
    assert "Traceback" not in told
    written = len(shards(out))
    assert 2 <= written < 6
    assert f"{written} of 6 shards" in told
    assert not list(out.rglob(".effcam-*"))
    found = compare_dataset(
        photos,
        ModelSpec("resnet18", pretrained=False),
        out,
        size=64,
        shard_size=2,
        progress=False,
    )
    assert found.complete


def test_a_second_ctrl_c_stops_at_once() -> None:
    told: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with finishing(told.append) as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        assert len(told) == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_works_in_another_thread(photos: Path, out: Path) -> None:
    found: list[DatasetRun] = []
    thread = threading.Thread(target=lambda: found.append(run(photos, out)))
    thread.start()
    thread.join(60)
    assert found[0].complete


@pytest.mark.slow
def test_a_second_process_is_kept_out(photos: Path, out: Path) -> None:
    text = """
    from effcam.dataset.storage import Store
    with Store.at(out).locked("manifest.json"):
        print("locked", flush=True)
        sys.stdin.readline()
    """
    process = subprocess.Popen(
        script(photos, out, text), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(OutputError, match="another process uses"):
        run(photos, out)
    # The lock is released, however the run ends.
    process.kill()
    process.communicate()
    assert run(photos, out).complete


def _mounted(photos: Path, out: Path, options: str, text: str) -> str:
    """Run a script with a separate file system mounted at the run's folder."""
    out.mkdir()
    tool = shutil.which("unshare")
    mount = f'mount -t tmpfs {options} tmpfs {out} && exec "$@"'
    inner = [tool or "", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if (
        tool is None
        or subprocess.run([*inner, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this system does not allow users to mount a file system")
    done = subprocess.run(
        [*inner, *script(photos, out, text)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_loses_nothing(photos: Path, out: Path) -> None:
    told = _mounted(
        photos,
        out,
        "-o size=64k",
        """
        try:
            run(photos, out)
        except EffcamError as error:
            print(type(error).__name__, error)
        kept = shards(out)
        print(len(kept))
        assert not list(out.rglob(".effcam-*"))
        os.system(f"mount -o remount,size=2m {out}")
        assert run(photos, out).complete
        assert kept.items() <= shards(out).items()
        """,
    )
    error, kept = told.splitlines()
    assert error.startswith("OutputError cannot write ")
    assert "No space left on device" in error
    assert 0 < int(kept) < 6


@pytest.mark.slow
def test_a_read_only_folder_is_an_error(photos: Path, out: Path) -> None:
    told = _mounted(
        photos,
        out,
        "-o ro",
        """
        try:
            run(photos, out)
        except EffcamError as error:
            print(type(error).__name__, error)
        """,
    )
    assert told.startswith("OutputError cannot write ")
    assert "Read-only file system" in told


@pytest.mark.slow
def test_a_finished_run_is_used_on_a_read_only_disk(photos: Path, out: Path) -> None:
    told = _mounted(
        photos,
        out,
        "-o size=2m",
        """
        run(photos, out)
        os.system(f"mount -o remount,ro {out}")
        found = open_run(out)
        print(found.complete, found.summary().images, len(found.table()), len(found.errors()))
        print(run(photos, out).complete)
        try:
            run(photos, out, target=1, overwrite=True)
        except EffcamError as error:
            print(type(error).__name__, error)
        """,
    )
    first, again, error = told.splitlines()
    assert (first, again) == ("True 10 22 1", "True")
    assert error.startswith("OutputError cannot write ")


# Progress


def test_without_a_terminal_progress_is_printed_in_lines(
    photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("effcam.dataset.progress.EVERY", 0.0)
    run(photos, out, progress=None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("effcam: 22 of 22 images (100.0 %), ")
    assert "images/s" in lines[-1]
    assert lines[-1].endswith("1 bad")
    run(photos, out, overwrite=True, progress=False)
    assert capsys.readouterr().err == ""
    (out / max(shards(out))).unlink()
    run(photos, out, progress=None)
    lines = capsys.readouterr().err.splitlines()
    # The images of an earlier call count as done.
    assert lines[-1].startswith("effcam: 22 of 22 images (100.0 %), ")
