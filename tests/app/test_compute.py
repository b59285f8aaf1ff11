"""A comparison as a visitor asked for it, its files, and the code that makes the same."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import effcam
from effcam.app.compute import Made, make
from effcam.app.incoming import Asked
from effcam.app.limits import Limits
from effcam.app.store import VARIABLE, Store
from effcam.app.worker import Ticket
from effcam.demo.models import WEIGHTS
from effcam.errors import ArgumentError, EffcamError, ImageError, WeightsError


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    opened = Store(minutes=1)
    yield opened
    opened.close()


def put(store: Store, name: str, number: int = 0) -> Path:
    path = store.folder / f"{number}" / name
    path.parent.mkdir()
    pixels = np.random.default_rng(number).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def made(store: Store, asked: Asked, limits: Limits | None = None) -> Made:
    ticket: Ticket[Made] = Ticket("one", lambda _: (_ for _ in ()).throw(AssertionError))
    return make(asked, limits or Limits(), store, ticket)


def test_the_code_makes_the_same(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = (put(store, "cat.png"), put(store, "cat.png", 1))
    weights = store.folder / "2" / "mine.safetensors"
    weights.parent.mkdir()
    shutil.copy(WEIGHTS / "demo_resnet.safetensors", weights)
    result = made(
        store,
        Asked(
            photos=photos,
            models=("demo_alexnet",),
            checkpoints=(weights,),
            architecture="demo_resnet",
            method="layercam",
            target="bone",
        ),
    )
    with Image.open(result.animation) as picture:
        assert getattr(picture, "n_frames", 1) == 2
    with Image.open(result.picture) as picture:
        assert picture.format == "PNG"
    assert "2 photos, 2 models, layercam" in result.title
    report = result.report.read_text(encoding="utf-8")
    for text in (report, result.code):
        assert str(store.folder) not in text
        assert "cat (2).png" in text
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(photos[0], home / "cat.png")
    shutil.copy(photos[1], home / "cat (2).png")
    shutil.copy(weights, home)
    monkeypatch.chdir(home)
    names: dict[str, effcam.Comparison] = {}
    exec(result.code, names)  # noqa: S102  # this code is what is tested
    again = names["comparison"]
    assert again.columns == ("demo_alexnet", "mine")
    # Batches of another size change the last digits of maps.
    pictures = [
        np.asarray(Image.open(path).convert("RGB"), int)
        for path in (again.save("a.png"), result.picture)
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 2
    assert Path("effcam.gif").is_file()


def test_a_result_says_that_demo_models_know_no_photos(store: Store) -> None:
    result = made(store, Asked(photos=(put(store, "cat.png"),), models=("demo_resnet",)))
    assert [note[:16] for note in result.notes] == ["Demo models only"]
    assert ">demo_resnet<" in result.report.read_text(encoding="utf-8")
    assert "'demo_resnet'" in result.code


def test_scenes_need_no_files(store: Store) -> None:
    result = made(store, Asked(scenes=1, models=("demo_resnet",)))
    assert "effcam.demo.scenes(1, seed=0)" in result.code
    assert result.title.startswith("1 scene, 1 model, gradcam, in ")
    assert result.notes == ()


def test_frames_count_as_photos(store: Store) -> None:
    path = store.folder / "0" / "many.gif"
    path.parent.mkdir()
    frames = [Image.new("RGB", (32, 32), (at * 40, 0, 0)) for at in range(5)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    asked = Asked(photos=(path,), models=("demo_resnet",))
    with pytest.raises(ArgumentError, match="more than 4 images"):
        made(store, asked, Limits(photos=4))
    assert "5 photos" in made(store, asked).title


def test_errors_name_no_folder(store: Store) -> None:
    import torch

    words = store.folder / "0" / "words.jpg"
    words.parent.mkdir()
    words.write_text("no picture")
    held = store.folder / "1" / "mine.pth"
    held.parent.mkdir()
    torch.save(datetime.date(2026, 1, 1), held)
    cases: list[tuple[Asked, type[EffcamError], str]] = [
        (Asked(photos=(words,), models=("demo_resnet",)), ImageError, "image 'words.jpg'"),
        (
            Asked(scenes=1, checkpoints=(held,), architecture="demo_resnet"),
            WeightsError,
            r"checkpoint 'mine.pth' holds more than tensors \(datetime.date\)",
        ),
    ]
    for asked, kind, said in cases:
        with pytest.raises(kind, match=said) as refused:
            made(store, asked)
        assert str(store.folder) not in str(refused.value)
