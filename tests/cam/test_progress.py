from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import pytest
from tqdm import tqdm

from effcam.cam.progress import is_watched, progress_bar


def play(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, shell: object) -> None:
    monkeypatch.setattr(
        sys, "stderr", SimpleNamespace(isatty=lambda: terminal, write=str, flush=int)
    )
    ipython = None if shell is None else SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)


KERNEL = SimpleNamespace(kernel=object())
SHELL_ALONE = SimpleNamespace()


@pytest.mark.parametrize(
    ("terminal", "shell", "watched"),
    [
        (True, None, True),
        (False, None, False),
        (False, KERNEL, True),
        (False, SHELL_ALONE, False),
        (True, SHELL_ALONE, True),
    ],
)
def test_a_terminal_and_a_notebook_are_watched(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, shell: object, watched: bool
) -> None:
    play(monkeypatch, terminal=terminal, shell=shell)
    assert is_watched() is watched


@pytest.mark.parametrize("asked", [True, False])
def test_an_explicit_choice_is_kept(monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:
    play(monkeypatch, terminal=not asked, shell=None)
    with progress_bar(3, asked) as bar:
        assert isinstance(bar, tqdm) is asked


@pytest.mark.parametrize("watched", [True, False])
def test_a_bar_is_shown_on_a_terminal_and_in_a_notebook(
    monkeypatch: pytest.MonkeyPatch, watched: bool
) -> None:
    play(monkeypatch, terminal=watched, shell=None)
    with progress_bar(3) as bar:
        assert isinstance(bar, tqdm) is watched


def test_a_hidden_bar_waits_for_no_lock() -> None:
    """A lock that a thread holds while the process forks stays locked in the child."""
    done = threading.Event()

    def count() -> None:
        with progress_bar(3, False) as bar:
            bar.set_description("counting")
            bar.update(3)
        done.set()

    with tqdm.get_lock():
        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        assert done.wait(60)
    thread.join()
