from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from effcam.progress import is_watched, progress_bar


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
def test_who_asks_gets_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:
    play(monkeypatch, terminal=not asked, shell=None)
    with progress_bar(3, asked) as bar:
        assert bar.disable is not asked


@pytest.mark.parametrize("watched", [True, False])
def test_a_bar_is_shown_where_somebody_watches(
    monkeypatch: pytest.MonkeyPatch, watched: bool
) -> None:
    play(monkeypatch, terminal=watched, shell=None)
    with progress_bar(3) as bar:
        assert bar.disable is not watched
