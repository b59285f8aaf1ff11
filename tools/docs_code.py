"""Run the code of the documentation page by page, as a reader would.

``python tools/docs_code.py docs/howto/large.md`` runs that page, and every page if none is named.
A page runs in a folder with the files that it uses (`prepare`), its blocks in order and in one
namespace. Published models are built without their weights (`standing_in`), so that no network is
needed. Comments before a block control it:

- ``<!-- run: code -->`` runs code that readers have themselves, such as ``my_module``;
- ``<!-- folder: empty -->`` starts the page in an empty folder;
- ``<!-- weights: missing -->`` makes published weights unavailable from there on;
- ``<!-- fails: words -->`` expects the next block to raise an error with these words;
- ``<!-- skip: reason -->`` skips the next block; tests/project/test_docs_code.py lists which.
"""

from __future__ import annotations

import contextlib
import csv
import doctest
import functools
import io
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("models.md", "architectures.md")
LANGUAGES = {
    "python": "python",
    "pycon": "doctest",
    "doctest": "doctest",
    "sql": "sql",
    **dict.fromkeys(("console", "bash", "sh", "shell"), "console"),
}
MARK = re.compile(r"<!-- (run|folder|weights|fails|skip):\s+(.*?)\s*-->", re.DOTALL)
FENCE = re.compile(r"^( *)(`{3,}|:{3,}) *(.*)$")
INSTALLERS = r"(\S*/)?(pip|python3?|uv|pipx|conda|apt(-get)?|brew)"
INSTALLS = re.compile(rf"(\.|source) \S*activate|{INSTALLERS} .*\b(install|venv)\b")
SHELL = set("&;<>$`~")
"""Characters that need a shell; without them effcam runs in this process, in pipes too."""
TOOLS = ("git", "jq")
"""Programs that may be missing: commands with a missing one are skipped."""
DEVICE = ('device="cuda"', 'device="cpu"')
LARGEST = 96
"""The input size in px of published models that accept any size."""
HIDE = "import os; os.environ['EFFCAM_DOCS_HIDDEN'] = '1'"
"""Removes the stand-ins for published weights until the page ends."""
SCENES = 8
"""The most demo scenes of a page."""
NO_MODELS = {"--version", "completion", "info"}
"""Arguments of effcam that load no models: they start without stand-ins, which takes seconds."""
LIMITS = {"README.md": 2, "right_thing.md": 6, "own_method.md": 12}
"""The same for some pages: fewer for faithfulness, which needs forty passes each."""
CATEGORIES = (
    *("009.bear", "038.chimp", "251.airplanes-101", "158.penguin", "190.snake"),
    *("024.butterfly", "151.ostrich"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page.

    Attributes:
        page: The file.
        line: The number of its first line, from 1.
        kind: ``"python"``, ``"doctest"``, ``"console"`` or ``"sql"``.
        text: The text between the fences.
        skip: The reason to skip it; empty to run it.
        fails: The words of its error; empty if it must succeed.
    """

    page: Path
    line: int
    kind: str
    text: str
    skip: str = ""
    fails: str = ""


@dataclass
class Page:
    """The blocks of a page, and whether it starts in an empty folder."""

    path: Path
    blocks: list[Block] = field(default_factory=list)
    empty: bool = False


class CommandError(Exception):
    """A command failed, or succeeded although an error was expected."""


class BlockError(Exception):
    """A block of the documentation failed, or succeeded although an error was expected."""


def pages() -> list[Path]:
    """Return the README and every written page of the documentation."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    written = [path for path in found if path.name not in GENERATED and "_build" not in path.parts]
    return [ROOT / "README.md", ROOT / "docs" / "llms.txt", *written]


def read(path: Path) -> Page:
    """Return the blocks of a page in order."""
    page = Page(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    marks: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("<!-- "):
            end = next(each for each in range(at, len(lines)) if "-->" in lines[each])
            found = MARK.fullmatch("\n".join(lines[at : end + 1]))
            if found and found[1] == "run":
                page.blocks.append(Block(path, at + 1, "python", textwrap.dedent(found[2])))
            elif found and found[1] == "folder":
                page.empty = True
            elif found and found[1] == "weights":
                page.blocks.append(Block(path, at + 1, "python", HIDE))
            elif found:
                marks[found[1]] = " ".join(found[2].split())
            at = end
        elif fence := FENCE.match(line):
            end = next(
                each for each in range(at + 1, len(lines)) if lines[each].strip() == fence[2]
            )
            text = textwrap.dedent("\n".join(lines[at + 1 : end]))
            kind = LANGUAGES.get(fence[3].strip())
            if kind == "python" and text.startswith(">>> "):
                kind = "doctest"
            if kind:
                page.blocks.append(Block(path, at + 2, kind, text, **marks))
            marks = {}
            at = end
        at += 1
    return page


def run(page: Page, folder: Path) -> None:
    """Prepare a folder, and run the blocks of a page in it.

    Raises:
        BlockError: If a block fails, or succeeds although an error is expected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, Any] = {"__name__": "__main__"}
    caches = folder.parent / f"{folder.name}-caches"
    most = LIMITS.get(page.path.name, SCENES)
    with contextlib.chdir(folder), standing_in(caches, most):
        if not page.empty:
            prepare(folder)
        sys.path.insert(0, str(folder))
        try:
            for block in page.blocks:
                if not block.skip:
                    _run_block(block, names)
        finally:
            sys.path.remove(str(folder))


def _run_block(block: Block, names: dict[str, Any]) -> None:
    runners = {"python": _python, "doctest": _doctest, "console": _console, "sql": _sql}
    try:
        runners[block.kind](block, names)
    except BaseException as error:
        if block.fails and block.fails in " ".join(str(error).split()):
            return
        at = f"{block.page.relative_to(ROOT)}:{block.line}"
        raise BlockError(f"{at}: {type(error).__name__}: {error}") from error
    if block.fails:
        raise BlockError(f"{block.page.relative_to(ROOT)}:{block.line}: it was to fail")


def _python(block: Block, names: dict[str, Any]) -> None:
    padded = "\n" * (block.line - 1) + block.text.replace(*DEVICE)
    exec(compile(padded, str(block.page), "exec"), names)  # noqa: S102 - the pages are our own


def _doctest(block: Block, names: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(
        block.text, names, block.page.name, str(block.page), block.line - 1
    )
    said = io.StringIO()
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    runner.run(test, out=said.write, clear_globs=False)
    names |= test.globs
    if runner.failures:
        raise AssertionError(said.getvalue())


def _sql(block: Block, names: dict[str, Any]) -> None:
    del names
    import duckdb

    with duckdb.connect() as connection:
        connection.sql(block.text).fetchall()


def _console(block: Block, names: dict[str, Any]) -> None:
    del names
    for command, error in commands(block.text):
        try:
            _command(command)
        except CommandError as failed:
            if not error or error not in " ".join(str(failed).split()):
                raise
        else:
            if error:
                raise CommandError(f"{command} was to fail: {error}")


def commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a block without installations, each with its error if shown.

    Commands follow prompts. Without prompts, a script is one command; otherwise each line is one.
    """
    joined = re.sub(r"(?: *\\|(?<=\|))\n\s*(?:> )?", " ", text).splitlines()
    if not any(line.startswith("$ ") for line in joined):
        if re.search(r"^(if|for|while) ", text, re.MULTILINE):
            return [(text, "")]
        joined = [f"$ {line}" for line in joined if line.strip() and not line.startswith("#")]
    found: list[tuple[str, str]] = []
    for line in joined:
        if line.startswith("$ "):
            # The installed package is under test.
            steps = [step.strip() for step in line[2:].split(" && ")]
            found += [(re.sub(r"^\S*/effcam ", "effcam ", step), "") for step in steps]
        elif line.startswith("effcam: error: "):
            found[-1] = (found[-1][0], line)
    return [(command, error) for command, error in found if not INSTALLS.match(command)]


def _command(command: str) -> None:
    if any(re.search(rf"\b{tool} ", command) and not shutil.which(tool) for tool in TOOLS):
        return
    if SHELL & set(command.partition("| jq ")[0]):
        _shell(command)
        return
    told = b""
    for stage in re.split(r" \| (?=\w+ )", command):
        told = _stage(stage, told)


def _stage(command: str, told: bytes) -> bytes:
    """Run one command of a pipe on the output of the one before, and return its output."""
    variables, call = re.fullmatch(r"((?:[A-Z_]+=\S+ +)*)(.*)", command, re.DOTALL).groups()
    if not call.startswith("effcam "):
        return _shell(command, told)
    given = dict(each.split("=", 1) for each in variables.split())
    with mock.patch.dict(os.environ, given):
        return _effcam(shlex.split(call, comments=True)[1:], told)


def _effcam(arguments: Sequence[str], told: bytes) -> bytes:
    """Run effcam's command line in this process, and return its output."""
    from effcam.cli import main

    printed, said = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(told))),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
    ):
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse
            code = int(ended.code or 0)
    if code:
        raise CommandError(f"effcam {shlex.join(arguments)} ended with {code}: {said.getvalue()}")
    return printed.getvalue().encode()


def _shell(command: str, told: bytes = b"") -> bytes:
    """Run a command in a shell, where ``effcam`` is this file, and return its output."""
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in (("effcam", [__file__, "effcam"]), ("python", [])):
            file = Path(folder, name)
            file.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *arguments])} "$@"\n')
            file.chmod(0o755)
        sources = os.pathsep.join(filter(None, [str(ROOT / "src"), os.getenv("PYTHONPATH")]))
        path = os.pathsep.join([folder, os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],  # noqa: S607 - the pages say "bash"
            env={**os.environ, "PATH": path, "PYTHONPATH": sources},
            input=told,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-2000:]
        raise CommandError(f"{command} ended with {done.returncode}: {said}")
    return done.stdout


@contextlib.contextmanager
def standing_in(caches: Path, most: int = SCENES) -> Iterator[None]:
    """Make published models load without weights and with small inputs, and draw few scenes.

    Their facts are those with the weights. ``local-dir:`` models and checkpoint files are read as
    usual.
    """
    import huggingface_hub.constants

    from effcam import demo
    from effcam.cli import demo_folder
    from effcam.models import built_module, downloads, spec_source
    from effcam.models.downloads import PublishedWeights
    from effcam.models.lookup import KINDS
    from effcam.models.stored_architecture import StoredArchitecture

    caches.mkdir(parents=True, exist_ok=True)
    _write_hub(caches)
    find, scenes, of_module = PublishedWeights.find, demo.scenes, spec_source.module_preprocess

    def find_stand_in(self: PublishedWeights) -> Path | None:
        if self.files == ("config.json",) or "EFFCAM_DOCS_HIDDEN" in os.environ:
            return find(self)
        name = re.sub(r"\W", "-", self.repository) if self.repository else Path(self.url).name
        file = caches / f"{name}.pth"
        file.write_text(self.name)
        return file

    def stand_in_for(build: Any) -> Any:
        def build_stand_in(architecture: Any, *, pretrained: bool, options: Any) -> Any:
            if architecture.library == "local-dir" or not pretrained:
                return build(architecture, pretrained=pretrained, options=options)
            return _built(build, architecture, tuple(options.items()))

        return build_stand_in

    def no_host(host: str) -> str:
        del host
        return "Temporary failure in name resolution"

    def smaller(preprocess: Any) -> Any:
        size = tuple(min(side, LARGEST) for side in preprocess.size)
        return replace(preprocess, size=size, resize=tuple(round(side / 0.875) for side in size))

    def smaller_for(own: Any) -> Any:
        def published(architecture: Any) -> Any:
            found = own(architecture)
            return found if architecture.size_option() else smaller(found)

        return published

    def of_module_smaller(module: Any) -> Any:
        found = of_module(module)
        if found is None or module.pretrained_cfg.get("fixed_input_size"):
            return found
        return smaller(found)

    def few_scenes(n: int = 1, *options: Any, **named: Any) -> Any:
        return scenes(min(n, most), *options, **named)

    patches = [
        patch
        for kind in (*KINDS.values(), StoredArchitecture)
        for patch in (
            mock.patch.object(kind, "build", stand_in_for(kind.build)),
            mock.patch.object(kind, "preprocess", smaller_for(kind.preprocess)),
        )
    ]
    patches += [
        mock.patch.object(PublishedWeights, "find", find_stand_in),
        mock.patch.object(downloads, "_refusal", no_host),
        mock.patch.object(spec_source, "module_preprocess", of_module_smaller),
        mock.patch.object(built_module, "module_preprocess", of_module_smaller),
        mock.patch.object(spec_source, "skip_init", contextlib.nullcontext),
        mock.patch.object(demo, "scenes", few_scenes),
        mock.patch.object(demo_folder, "scenes", few_scenes),
        mock.patch.object(huggingface_hub.constants, "HF_HUB_CACHE", str(caches / "hub")),
        mock.patch.dict(
            os.environ,
            {
                "EFFCAM_DOCS_CACHES": str(caches),
                "HOME": str(_home(caches)),
                "MPLBACKEND": "Agg",
            },
        ),
    ]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield


@functools.lru_cache(maxsize=12)
def _built(build: Any, architecture: Any, options: tuple[tuple[str, Any], ...]) -> Any:
    """Return a module with random weights, shared by pages: initialisation takes seconds."""
    return build(architecture, pretrained=False, options=dict(options))


def _home(caches: Path) -> Path:
    """Return a home folder with the folders for completion scripts."""
    home = caches / "home"
    for place in (".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"):
        (home / place).mkdir(parents=True, exist_ok=True)
    return home


def _write_hub(caches: Path) -> None:
    """Write the files of a model in the hub's cache, except its weights."""
    folder = caches / "hub" / "models--timm--resnet50.a1_in1k"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text(json.dumps({"architecture": "resnet50"}))


def prepare(folder: Path) -> None:
    """Write the files that pages use into a folder: photos, annotations, checkpoints.

    ``photos/`` has two pictures and one folder for each of two classes; ``boxes.json``,
    ``labels.csv`` and ``masks/`` annotate them. ``imagenet/val`` and ``256_ObjectCategories`` are
    trees with one folder per class; ``cat.jpg``, ``dog.jpg`` and ``clip.mp4`` are single files.
    ``best.pt`` is an EfficientNet-B0 of two classes, ``checkpoints/flowers`` a model saved by timm.
    """
    import imageio.v3 as iio
    import numpy as np

    from effcam.demo import scenes

    drawn = [next(scene for scene in scenes(8, seed=seed, size=160)) for seed in range(4)]
    boxes, labels = {}, []
    places = ("photos/001.jpg", "photos/002.jpg", "photos/bear/1.jpg", "photos/ostrich/1.jpg")
    (folder / "masks").mkdir()
    from PIL import Image

    for name, scene in zip(places, drawn, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scene.image.save(path, quality=92)
        known = name.removeprefix("photos/")
        boxes[known] = [scene.box.as_tuple()]
        labels.append((known, scene.target))
        mask = folder / "masks" / Path(known).with_suffix(".png")
        mask.parent.mkdir(exist_ok=True)
        Image.fromarray(scene.mask).save(mask)
    others = ["imagenet/val/a/1.jpg", "imagenet/val/b/7.jpg", "cat.jpg", "dog.jpg"]
    others += [f"256_ObjectCategories/{category}/1.jpg" for category in CATEGORIES]
    for name, scene in zip(others, itertools.cycle(drawn)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scene.image.save(path, quality=92)
        if name.startswith("imagenet"):
            boxes[name] = [scene.box.as_tuple()]
            labels.append((name, scene.target))
    for scene in scenes(8, seed=1):
        boxes[scene.name] = [scene.box.as_tuple()]
        labels.append((scene.name, scene.target))
    (folder / "boxes.json").write_text(json.dumps(boxes))
    pixels = np.asarray(drawn[0].image)
    frames = np.stack([np.roll(pixels, 4 * at, 1) for at in range(12)])
    iio.imwrite(folder / "clip.mp4", frames, plugin="pyav", codec="libx264", fps=12)
    # Indices are valid for any model.
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label"), *labels])
    _write_checkpoints(folder)


def _write_checkpoints(folder: Path) -> None:
    import timm
    import torch

    small = timm.create_model("efficientnet_b0", num_classes=2)
    torch.save({"state_dict": small.state_dict()}, folder / "best.pt")
    stored = folder / "checkpoints" / "flowers"
    stored.mkdir(parents=True)
    torch.save(timm.create_model("test_resnet").state_dict(), stored / "pytorch_model.bin")
    (stored / "config.json").write_text(json.dumps({"architecture": "test_resnet"}))


def main(arguments: Sequence[str]) -> int:
    """Run the named pages, or all; ``effcam ...`` runs effcam's command line."""
    if arguments[:1] == ["effcam"]:
        from effcam.cli.program import main as effcam

        if NO_MODELS & set(arguments[1:2]):
            return effcam(arguments[1:])
        with standing_in(Path(os.environ["EFFCAM_DOCS_CACHES"])):
            return effcam(arguments[1:])
    failed = 0
    for path in [Path(each).resolve() for each in arguments] or pages():
        page, started = read(path), time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                run(page, Path(folder) / "page")
            except BlockError as error:
                failed += 1
                print(error)
        seconds = time.monotonic() - started
        print(f"{path.relative_to(ROOT)}: {len(page.blocks)} blocks, {seconds:.1f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    sys.exit(main(sys.argv[1:]))
