"""The files of the live page: what is an upload, and when it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from effcam.app.store import VARIABLE, Store
from effcam.errors import ArgumentError


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    opened = Store(minutes=1)
    yield opened
    opened.close()


def put(store: Store, name: str = "a.jpg", folder: str = "0123") -> Path:
    """An upload, as Gradio writes it."""
    path = store.folder / folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"content")
    return path


def test_gradio_gets_its_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(minutes=1)
    assert os.environ[VARIABLE] == str(store.folder)
    with pytest.raises(ArgumentError, match="open already in this process"):
        Store(minutes=1)
    put(store)
    store.close()
    store.close()
    assert VARIABLE not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_uploads_alone_are_read(store: Store, tmp_path: Path) -> None:
    path = put(store)
    assert store.upload(str(path), "one") == path
    outside = tmp_path / "b.jpg"
    outside.write_bytes(b"content")
    link = store.folder / "4567" / "link.jpg"
    link.parent.mkdir()
    link.symlink_to(outside)
    above = store.folder / "0123" / ".." / ".." / "b.jpg"
    for other in (outside, link, above, store.folder / "runs" / "a.jpg", path.parent, "", None, 1):
        given = str(other) if isinstance(other, Path) else other
        with pytest.raises(ArgumentError, match="upload"):
            store.upload(given, "one")


def test_paths_in_what_the_browser_sends(store: Store) -> None:
    inside = {"path": str(put(store))}
    assert store.holds_all_paths([inside, 1, "text", None, {"meta": [inside]}])
    for path in ("/etc/hostname", "https://example.com/a.jpg", f"{store.folder}/../a", "a\0b", 1):
        assert not store.holds_all_paths(["text", {"deep": [inside, {"path": path}]}])


def test_files_go_with_their_visitor(store: Store) -> None:
    shared, own = put(store, folder="1"), put(store, folder="2")
    for path, visitor in ((shared, "one"), (shared, "two"), (own, "one")):
        store.upload(str(path), visitor)
    with store.run("one") as run:
        linked = store.link(own, run / "photos")
        store.forget("one")
        assert linked.read_bytes() == b"content"
        assert not own.exists()
        assert shared.exists()
    assert not run.exists()
    store.forget("two")
    assert not shared.exists()


def test_a_new_comparison_replaces_the_results_of_the_last(store: Store) -> None:
    with store.run("one") as first:
        pass
    with store.run("two") as other:
        pass
    upload = put(store)
    store.upload(str(upload), "one")
    store.forget_runs("one")
    assert not first.exists()
    assert other.exists()
    assert upload.exists()


def test_old_files_go_but_not_those_in_use(store: Store) -> None:
    old = put(store)
    with store.run("one") as run:
        store.sweep()
        assert old.exists()
        store.sweep(time.time() + 61)
        assert run.exists()
        assert not old.exists()
    store.sweep(time.time() + 61)
    assert not run.exists()
    with pytest.raises(ArgumentError, match=r"a\.jpg is no longer here"):
        store.upload(str(old), "one")
