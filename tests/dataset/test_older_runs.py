"""Runs that release 0.1 began: it had no placement among the settings, and no frame of a map."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effcam import DatasetRun, ModelSpec, Preprocess, compare, compare_dataset, open_run
from effcam.errors import OutputError
from tests.nets import ColourNet

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq

from effcam.comparison.parquet import encode, schema

SPEC = ModelSpec(
    "blocks",
    constructor=ColourNet,
    preprocess=Preprocess(size=32, resize=32, mean=0, std=1),
    labels=["red", "green", "blue"],
)
COUNT = 5


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(COUNT):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 30 + 5 * seed, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def older(photos: Path, tmp_path: Path) -> Path:
    """A complete run in the format of release 0.1."""
    out = tmp_path / "run"
    go_on(photos, out, placement="even")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["format"] = 2
    del manifest["settings"]["placement"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    known = {key: manifest[key] for key in ("settings", "models", "images", "listed")}
    identity = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
    for path in shards(out):
        table = pq.read_table(path)
        notes = json.loads(table.schema.metadata[b"effcam"]) | {"run": identity}
        fields = [each for each in schema(notes) if not each.name.startswith("frame_")]
        columns = [table.column(each.name).combine_chunks() for each in fields]
        older = pa.table(columns, schema=pa.schema(fields, schema(notes).metadata))
        path.write_bytes(encode(older))
    return out


def go_on(photos: Path, out: Path, placement: str) -> DatasetRun:
    return compare_dataset(
        photos,
        SPEC,
        out,
        shard_size=2,
        placement=placement,  # type: ignore[arg-type]
        progress=False,
    )


def shards(out: Path) -> list[Path]:
    return sorted(out.glob("shards/*/*.parquet"))


def test_they_can_be_read(older: Path, photos: Path) -> None:
    run = open_run(older)
    assert run.complete
    expected = compare(photos, SPEC, placement="even", progress=False)
    found = run.comparison()
    for one, other in zip(found, expected, strict=True):
        assert (one.canvas, one.frame) == (other.canvas, other.frame)
        np.testing.assert_allclose(one.heatmap, other.heatmap, rtol=1e-3)
    assert run.table().column("frame_right").equals(run.table(["canvas_right"]).column(0))
    assert str(run.summary())


def test_they_are_continued_in_their_own_placement(older: Path, photos: Path) -> None:
    first, second, third = shards(older)
    kept = {path: path.read_bytes() for path in (first, third)}
    second.unlink()
    assert go_on(photos, older, "even").complete
    assert {path: path.read_bytes() for path in (first, third)} == kept
    assert len(open_run(older).comparison()) == COUNT
    second.unlink()
    with pytest.raises(OutputError, match="placement was even, is pitch"):
        go_on(photos, older, "pitch")


def test_a_damaged_shard_of_theirs_is_replaced(older: Path, photos: Path) -> None:
    first, *_ = shards(older)
    damaged = first.read_bytes()[:-20] + bytes(12) + first.read_bytes()[-8:]
    first.write_bytes(damaged)
    go_on(photos, older, "even")
    assert first.read_bytes() != damaged
    assert len(open_run(older).comparison()) == COUNT
