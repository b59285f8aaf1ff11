"""A short run of the fuzzer: the same files each time, and a proof that it finds errors."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tiers import core

TOOL = Path(__file__).parents[2] / "tools" / "fuzz.py"
CASES = 200

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux tells it"
)


@pytest.mark.hostile
def test_damaged_files_load_or_are_refused(fuzz: ModuleType, tmp_path: Path) -> None:
    report = fuzz.run(fuzz.KINDS, 0, keep=tmp_path / "kept", most=CASES)
    assert report.cases == CASES
    assert report.findings == [], str(report)
    assert not (tmp_path / "kept").exists()
    # Not every file may be refused at the first byte.
    for kind in ("image", "checkpoint"):
        assert report.outcomes[f"{kind}: loaded"]
    assert f"{CASES} cases in " in str(report)


def test_a_seed_gives_the_same_files(fuzz: ModuleType) -> None:
    first, again, other = (
        [data for _, _, data in itertools.islice(fuzz.cases(("images",), seed), 50)]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert sum(one != another for one, another in zip(first, other, strict=True)) > 40
    # A case does not depend on those before it.
    _, seed_file, data = next(itertools.islice(fuzz.cases(("images",), 3), 7, None))
    assert data == first[7] != seed_file.data


def test_there_is_a_seed_of_every_kind(fuzz: ModuleType) -> None:
    images = {seed.name.split()[0] for seed in fuzz.image_seeds()}
    assert {"BMP", "GIF", "JPEG", "PNG", "PPM", "TGA", "TIFF", "WEBP"} <= images
    names = {seed.name for seed in fuzz.checkpoint_seeds()}
    assert {"safetensors", "zip plain", "legacy plain", "zip payload", "config.json"} <= names


LOADERS = {
    "a wrong exception": ("def load(path): raise KeyError('x')", "KeyError: 'x'"),
    "two lines": ("def load(path): raise WeightsError('a\\nb')", "message of several lines"),
    "a long message": (
        "def load(path): raise WeightsError('a' * 10**6)",
        "message of 1000000 characters: 'aaa",
    ),
    "a crash": ("def load(path): os.kill(os.getpid(), 11)", "crash: exit code -11"),
    "a timeout": ("def load(path): time.sleep(60)", "timeout: more than 2 s"),
    "memory": ("def load(path): bytearray(1200 * 2**20)", "memory: 1"),
    "a file": ("def load(path): Path('ran').touch()", "wrote "),
    "an exit": ("def load(path): sys.exit(0)", "SystemExit: 0"),
}


@pytest.mark.slow
def test_the_seeds_are_the_same_in_another_process(fuzz: ModuleType) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(TOOL.parent)!r})\n"
        "import fuzz, zlib\n"
        "print([zlib.crc32(each.data) for make in MAKERS for each in make()])"
    ).replace("MAKERS", "(fuzz.image_seeds, fuzz.checkpoint_seeds)")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seeds = [*fuzz.image_seeds(), *fuzz.checkpoint_seeds()]
    assert json.loads(done.stdout) == [zlib.crc32(each.data) for each in seeds]


@pytest.mark.slow
@pytest.mark.parametrize("kind", core(list(LOADERS), {"a crash", "a file"}))
def test_each_way_to_break_is_found(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source, fault = LOADERS[kind]
    imports = "from effcam.errors import WeightsError"
    broken = f"{imports}\n{source}\nLOADERS['image'] = load\n"
    text = TOOL.read_text("utf-8").replace("import timm\n    import torch", "import torch")
    text = text.replace("    assert timm\n", "")
    tool = tmp_path / "tool.py"
    tool.write_text(
        text.replace('if __name__ == "__main__":', f'{broken}if __name__ == "__main__":')
    )
    monkeypatch.setattr(fuzz, "__file__", str(tool))
    folder = tmp_path / "work"
    folder.mkdir()
    worker: Any = fuzz.Worker(folder, seconds=2 if kind == "a timeout" else 20)
    try:
        seed = fuzz.Seed("any", "image", ".png", b"x")
        result = fuzz.load_case(worker, seed, b"x")
        assert fault in result.fault
        assert list(folder.iterdir()) == []
        name = fuzz.keep_case(tmp_path / "kept", "0-1", seed, b"x", result)
        assert (tmp_path / "kept" / name).read_bytes() == b"x"
        assert fault in (tmp_path / "kept" / f"{name}.txt").read_text("utf-8")
    finally:
        worker.stop()


def test_the_exit_code_says_whether_anything_was_found(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "--minutes", "0.001", "--keep", str(tmp_path)])
    for findings, code in (([], 0), ([("0-1.png", "KeyError")], 1)):
        report = fuzz.Report(3, 1.5, findings=findings)
        monkeypatch.setattr(fuzz, "run", lambda *_, report=report, **__: report)
        assert fuzz.main() == code
        assert capsys.readouterr().out.startswith(
            f"3 cases in 2 s, 2.0 cases/s\n{len(findings)} find"
        )
