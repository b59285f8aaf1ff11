"""Hostile checkpoints: each loads or is refused in one line, quickly, and runs no code.

Each is read in a process with limits, which protects the machine if a check fails.
"""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save as save_safe
from safetensors.torch import save_file
from torch import nn
from torch.serialization import MAGIC_NUMBER, PROTOCOL_VERSION

from effcam.errors import ArgumentError, EffcamError, ModelError, WeightsError
from effcam.models.checkpoint import WRAPPERS, read_checkpoint
from effcam.models.checkpoint_settings import SETTINGS
from effcam.models.state_dict import fit, select
from effcam.text import one_line
from tests.tiers import core

MEBIBYTE = 2**20
MOST = 256 * MEBIBYTE
"""What any of these files may take at its peak; those that are bombs would take gigabytes."""

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux tells it"
    ),
]


@pytest.fixture(scope="module")
def worker(fuzz: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a process that loads files, in a folder where nothing else may be written."""
    found = fuzz.Worker(tmp_path_factory.mktemp("work"), seconds=40)
    yield found
    found.stop()


@pytest.fixture
def put(worker: Any) -> Iterator[Callable[[str, bytes], Path]]:
    """Return a function that writes a file into the worker's folder."""

    def write(name: str, data: bytes) -> Path:
        path: Path = worker.folder / name
        path.write_bytes(data)
        return path

    yield write
    for each in worker.folder.iterdir():
        each.unlink()


def outcome(worker: Any, path: Path, kind: str = "checkpoint", most: int = MOST) -> Any:
    """Return the result of a file, which must be quick, small and in one line."""
    found = worker.load(kind, path)
    assert found.fault == ""
    assert found.taken < most
    assert len(found.message) < 1500
    return found


def refusal(worker: Any, path: Path, **options: Any) -> str:
    """Return the reason why a file is refused; fail if it is not."""
    found = outcome(worker, path, **options)
    assert found.outcome == "WeightsError"
    return str(found.message)


# pickles by instruction, as torch.save would never write them


def string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def named(path: str, at: int = -1) -> bytes:
    """A dotted name, split from its module at one of the dots."""
    parts = path.split(".")
    return f"c{'.'.join(parts[:at])}\n{'.'.join(parts[at:])}\n".encode()


def together(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def call(path: str, *parts: bytes, at: int = -1) -> bytes:
    return named(path, at) + together(*parts) + b"R"


def mapping(*parts: bytes) -> bytes:
    return b"}(" + b"".join(parts) + b"u"


def storage(zipped: bool, count: int = 20, key: str = "0") -> bytes:
    end = () if zipped else (b"N",)
    kind = named("torch.FloatStorage")
    return together(string("storage"), kind, string(key), string("cpu"), number(count), *end) + b"Q"


def view(
    zipped: bool, size: Any = (4, 5), stride: Any = (5, 1), offset: int = 0, **more: Any
) -> bytes:
    places = (together(*map(number, size)), together(*map(number, stride)))
    hooks = call("collections.OrderedDict")
    parts = (storage(zipped, **more), number(offset), *places, b"\x89", hooks)
    return call("torch._utils._rebuild_tensor_v2", *parts)


def file_of(content: bytes, zipped: bool) -> bytes:
    """Return a file as torch.save writes it, with another pickle."""
    program = b"\x80\x02" + content + b"."
    numbers = np.arange(20, dtype=np.float32).tobytes()
    if zipped:
        return archive({"a/data.pkl": program, "a/byteorder": b"little", "a/data/0": numbers})
    info = {"protocol_version": PROTOCOL_VERSION, "little_endian": True, "type_sizes": {}}
    heads = (pickle.dumps(each, protocol=2) for each in (MAGIC_NUMBER, PROTOCOL_VERSION, info))
    keys = pickle.dumps(["0"], protocol=2)
    return b"".join((*heads, program, keys, struct.pack("<q", 20), numbers))


def archive(records: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as written:
        for name, data in {**records, "a/version": b"3\n"}.items():
            written.writestr(name, data)
    return file.getvalue()


both = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


@both
def test_a_hand_written_pickle_loads(zipped: bool, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(file_of(mapping(string("w"), view(zipped)), zipped))
    expected = torch.arange(20.0).reshape(4, 5)
    assert torch.equal(read_checkpoint(tmp_path / "a.pt").state["w"], expected)
    assert torch.equal(torch.load(tmp_path / "a.pt")["w"], expected)


# code


class Runs:
    """Runs a command when it is unpickled: it writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


class Evaluates:
    """Calls a builtin that evaluates text."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('pathlib').Path('ran').touch()",)


class Executes:
    """Calls a builtin that executes text, deep in an argument."""

    def __reduce__(self) -> tuple[Any, ...]:
        return collections.OrderedDict, ([("x", Evaluates())],)


class Identified:
    """Pickled as a persistent identifier for torch, with code in it."""


class Identifying(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return ("storage", Evaluates(), "0", "cpu", 3) if isinstance(obj, Identified) else None


STATE = {"w": torch.ones(2, 3)}
CONTENTS = {
    "alone": Runs(),
    "beside": {"state_dict": STATE, "more": Runs()},
    "as a weight": {"w": Evaluates()},
    "as a key": {Runs(): STATE["w"]},
    "nested": {"state_dict": STATE, "loops": {"fit": [{"callbacks": (1, {"a": Executes()})}]}},
    "hyperparameters": {"state_dict": STATE, "hyper_parameters": {"labels": [Evaluates()]}},
    "numpy": {"state_dict": STATE, "more": np.array([Runs(), Evaluates()], dtype=object)},
}


def torch_zip(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def torch_legacy(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def torch_tar(content: object) -> bytes:
    """The file format of torch until 2017, whose pickle runs before any storage is read."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as written:
        for name in ("storages", "tensors", "pickle"):
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            written.addfile(info, io.BytesIO(data))
    return file.getvalue()


CONTAINERS: dict[str, Callable[[object], bytes]] = {
    "zip": torch_zip,
    "legacy": torch_legacy,
    "tar": torch_tar,
    **{
        f"pickle {each}": lambda content, each=each: pickle.dumps(content, each)
        for each in (0, 2, 4)
    },
}


@pytest.mark.core
def test_the_hostile_files_run_code_under_plain_unpickling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for content in CONTENTS.values():
        pickle.loads(pickle.dumps(content))  # noqa: S301
        Path("ran").unlink()
        for container in ("zip", "legacy"):
            torch.load(io.BytesIO(CONTAINERS[container](content)), weights_only=False)
            Path("ran").unlink()


@pytest.mark.parametrize("suffix", core(["pt", "pth", "bin", "ckpt", "safetensors"], {"pt"}))
@pytest.mark.parametrize("container", CONTAINERS)
def test_code_is_not_run(
    worker: Any, put: Callable[[str, bytes], Path], container: str, suffix: str
) -> None:
    for content in CONTENTS.values():
        # The worker reports any new file in its folder.
        found = outcome(worker, put(f"a.{suffix}", CONTAINERS[container](content)))
        assert found.outcome == "WeightsError"


def test_code_in_an_identifier_is_not_run(worker: Any, put: Callable[[str, bytes], Path]) -> None:
    file = io.BytesIO()
    Identifying(file, protocol=2).dump({"w": Identified(), "more": STATE["w"].tolist()})
    data = archive({"a/data.pkl": file.getvalue(), "a/byteorder": b"little"})
    refusal(worker, put("a.pt", data))


def test_code_in_a_torchscript_archive_is_not_run(
    worker: Any, put: Callable[[str, bytes], Path]
) -> None:
    records = {
        "a/constants.pkl": pickle.dumps(Runs(), protocol=2),
        "a/data.pkl": pickle.dumps(Runs(), protocol=2),
        "a/code/__torch__.py": b"import os\nos.system('touch ran')\n",
    }
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        message = refusal(worker, put("a.pt", archive(records, method=method)))
        assert "holds more than tensors (TorchScript) and was not opened" in message


def test_a_file_as_torch_wrote_them_until_2017(
    worker: Any, put: Callable[[str, bytes], Path]
) -> None:
    message = refusal(worker, put("a.pt", torch_tar(STATE)))
    assert "holds more than tensors (tar) and was not opened" in message


@both
@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "builtins.getattr", "torch.load", "torch.hub.load"]
)
@pytest.mark.parametrize("function", ["torch._tensor._rebuild_from_type_v2", "torch.Tensor"])
def test_functions_of_torch_get_no_function_to_call(
    worker: Any, put: Callable[[str, bytes], Path], name: str, function: str, zipped: bool
) -> None:
    given = (named(name), named("torch.Tensor"), together(string("touch ran")), b"}")
    content = mapping(string("w"), view(zipped), string("x"), call(function, *given))
    found = outcome(worker, put("a.pt", file_of(content, zipped)))
    assert found.outcome == "WeightsError"


@both
def test_attributes_of_a_dict_or_a_tensor_are_not_used(zipped: bool, tmp_path: Path) -> None:
    own = b"".join(string(name) + number(1) for name in ("get", "items", "keys", "values"))
    filled = call("collections.OrderedDict") + b"(" + string("w") + view(zipped) + b"u"
    content = filled + b"}(" + own + b"ub"
    (tmp_path / "a.pt").write_bytes(file_of(content, zipped))
    assert read_checkpoint(tmp_path / "a.pt").state["w"].shape == (4, 5)
    own = b"".join(string(name) + number(1) for name in ("is_floating_point", "detach", "clone"))
    hooks = call("collections.OrderedDict")
    parts = (view(zipped), b"\x88", hooks, b"}(" + own + b"u")
    content = mapping(string("w"), call("torch._utils._rebuild_parameter_with_state", *parts))
    (tmp_path / "a.pt").write_bytes(file_of(content, zipped))
    (tensor,) = read_checkpoint(tmp_path / "a.pt").state.values()
    assert (type(tensor), vars(tensor)) == (torch.Tensor, {})


# memory and time


def bomb(size: int, name: str) -> bytes:
    """Return an archive with one compressed record of very many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = block * (size // 2**24) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    records = {
        "a/data.pkl": (0, file_of(mapping(string("w"), view(True)), True)),
        "a/byteorder": (0, b"little"),
        "a/version": (0, b"3\n"),
        "a/data/0": (0, bytes(80)),
    } | {name: (8, packed)}
    body, directory = b"", b""
    for each, (method, data) in records.items():
        full = size if method else len(data)
        rest = struct.pack("<HHHHIIIHH", 0, method, 0, 33, 0, len(data), full, len(each), 0)
        place = struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        directory += b"PK\x01\x02\x14\0\x14\0" + rest + place + each.encode()
        body += b"PK\x03\x04\x14\0" + rest + each.encode() + data
    end = struct.pack("<HHHHIIH", 0, 0, 4, 4, len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


@pytest.mark.parametrize(
    "record", core(["data.pkl", "byteorder", "version", "data/0"], {"data.pkl"})
)
def test_an_archive_that_inflates_to_gigabytes(
    worker: Any, put: Callable[[str, bytes], Path], record: str
) -> None:
    data = bomb(3 * 2**30, f"a/{record}")
    assert len(data) < 4 * MEBIBYTE
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert sum(each.file_size for each in opened.infolist()) > 3 * 2**30
    assert "is a compressed archive" in refusal(worker, put("a.pt", data))


def test_a_compressed_archive_is_not_read_as_uncompressed(tmp_path: Path) -> None:
    # torch maps the file, and would read the compressed bytes as weights.
    whole = torch_zip(STATE)
    with zipfile.ZipFile(io.BytesIO(whole)) as opened:
        records = {each.filename: opened.read(each) for each in opened.infolist()}
    file = tmp_path / "a.pt"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for name, data in records.items():
            written.writestr(name, data)
    with pytest.raises(WeightsError, match=r"is a compressed archive, which torch\.save does not"):
        read_checkpoint(file)


def test_archives_that_readers_interpret_differently(tmp_path: Path) -> None:
    whole = archive({"a/data.pkl": b"\x80\x02}.", "a/byteorder": b"little"})
    decoy = archive({"b/data.pkl": b"\x80\x02]."})
    entry = zipfile.ZipInfo("a/data/0")
    overlapping = bytearray(whole)
    at = overlapping.rindex(b"PK\x01\x02")
    overlapping[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    assert entry.file_size == 0
    for data in (decoy + whole, whole[:-1], bytes(overlapping)):
        (tmp_path / "a.pt").write_bytes(data)
        with pytest.raises(WeightsError, match=r"^checkpoint '.*a\.pt' cannot be read: "):
            read_checkpoint(tmp_path / "a.pt")


def chain(first: bytes, link: Callable[[bytes], bytes], count: int) -> bytes:
    """Return a value that holds another twice, which holds another twice, and so on."""
    program = first + b"q\0"
    for index in range(1, count):
        program += link(b"h" + bytes([index - 1])) + b"q" + bytes([index])
    return program


def encoded(count: int, codec: str = "hex") -> bytes:
    value = call("_codecs.encode", string("abcd" * 250), string("latin1"))
    for _ in range(count):
        value = call("_codecs.encode", value, string(codec))
    return value


BOMBS = {
    "bytes": call("builtins.bytearray", number(3 * 2**30)),
    "codes": encoded(24),
    "other codes": encoded(70, "base64"),
    "tuples in a key": mapping(chain(b")", lambda each: together(each, each), 60), number(1)),
    "tuples in a set": call(
        "builtins.set", b"](" + chain(b")", lambda each: together(each, each), 60) + b"e"
    ),
    "tuples in a counter": call(
        "collections.Counter", b"](" + chain(b")", lambda each: together(each, each), 60) + b"e"
    ),
}


@both
@pytest.mark.parametrize("kind", core(BOMBS, {"bytes"}))
def test_a_pickle_that_grows_while_it_is_read(
    worker: Any, put: Callable[[str, bytes], Path], kind: str, zipped: bool
) -> None:
    content = mapping(string("w"), view(zipped), string("x"), BOMBS[kind])
    data = file_of(content, zipped)
    assert len(data) < 20_000
    assert re.search(
        "far more memory or time|any amount of memory", refusal(worker, put("a.pt", data))
    )


@both
@pytest.mark.parametrize("at", [-1, -2])
def test_a_view_that_is_copied_to_its_full_size(
    worker: Any, put: Callable[[str, bytes], Path], zipped: bool, at: int
) -> None:
    wide = view(zipped, size=(2**29,), stride=(0,))
    parts = (wide, named("torch.float64"), string("cpu"), b"\x89")
    path = "torch._utils._rebuild_device_tensor_from_cpu_tensor"
    content = mapping(string("w"), call(path, *parts, at=at))
    message = refusal(worker, put("a.pt", file_of(content, zipped)))
    assert "any amount of memory (torch._utils._rebuild_device" in message


SHAPES: dict[str, dict[str, Any]] = {
    "strides of 0": {"size": (2**40,), "stride": (0,)},
    "a large size": {"size": (2**40,), "stride": (1,)},
    "a size that is laid out": {"size": (2**28,), "stride": (1,)},
    "a far offset": {"offset": 10**7},
    "a negative offset": {"offset": -1},
    "a negative stride": {"stride": (-5, 1)},
    "a large stride": {"stride": (2**62, 2**62)},
    "a negative size": {"size": (-4, 5)},
    "an overflowing size": {"size": (2**62, 2**62)},
    "more than 64 bits": {"size": (2**64, 5)},
    "a large storage": {"count": 2**28, "size": (2**28,), "stride": (1,)},
    "a negative storage": {"count": -20},
    "a storage that is not there": {"key": "7"},
}


@both
@pytest.mark.parametrize("kind", core(SHAPES, {"a large size"}))
def test_absurd_shapes(
    worker: Any, put: Callable[[str, bytes], Path], kind: str, zipped: bool
) -> None:
    content = mapping(string("w"), view(zipped, **SHAPES[kind]))
    message = refusal(worker, put("a.pt", file_of(content, zipped)))
    assert re.match(r"checkpoint '.*a\.pt' cannot be (used: 'w' of shape .|read: .)", message)


@both
def test_memory_that_nothing_fills_is_no_weight(zipped: bool, tmp_path: Path) -> None:
    # torch allocates memory by the stated size, and does not fill it.
    for given in ({"offset": 1000}, {"size": (40, 50)}, {"count": 10_000, "size": (10_000,)}):
        stride = (1,) * len(given.get("size", (4, 5)))
        content = mapping(string("w"), view(zipped, **{"stride": stride, **given}))
        (tmp_path / "a.pt").write_bytes(file_of(content, zipped))
        with pytest.raises(WeightsError, match=r"declares \d+ bytes, but|cannot be read"):
            read_checkpoint(tmp_path / "a.pt")


def odd_tensors() -> dict[str, torch.Tensor]:
    with warnings.catch_warnings(action="ignore"):  # sparse, nested and quantised are in beta
        indices, values = torch.tensor([[0, 1]]), torch.ones(2)
        return {
            "complex": torch.ones(2, 3, dtype=torch.complex64),
            "quantised": torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8),
            "sparse": torch.sparse_coo_tensor(indices, values, (2,)),
            "rows": torch.eye(3).to_sparse_csr(),
            "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
            "meta": torch.empty(2**40, device="meta"),
            "nan": torch.full((2, 3), float("nan")),
            "flags": torch.ones(2, 3, dtype=torch.bool),
            "half": torch.ones(2, 3, dtype=torch.bfloat16),
            "eighth": torch.ones(2, 3).to(torch.float8_e4m3fn),
        }


PLAIN = ("complex", "nan", "flags", "half", "eighth")
FITTING = ("nan", "half", "eighth")


@pytest.mark.parametrize("kind", odd_tensors())
def test_odd_tensors_are_weights_or_are_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    with warnings.catch_warnings(action="ignore"):
        file.write_bytes(torch_zip({"weight": odd_tensors()[kind]}))
    if kind not in PLAIN:
        with pytest.raises(WeightsError, match=r"is no plain tensor|cannot be read|more than tens"):
            read_checkpoint(file)
        return
    state = read_checkpoint(file).state
    linear = nn.Linear(3, 2, bias=False)
    if kind in FITTING:
        fit(state, linear, file="a.pt", model="mine")
        assert torch.equal(linear.weight.isnan(), state["weight"].float().isnan())
    else:
        with pytest.raises(
            WeightsError, match=r"1 of another type: weight torch\.\w+ for torch\.f"
        ):
            fit(state, linear, file="a.pt", model="mine")


def test_complex_numbers_are_not_cut_down_to_a_counter() -> None:
    module = nn.BatchNorm2d(2)
    state = module.state_dict() | {"num_batches_tracked": torch.tensor(1j)}
    with pytest.raises(WeightsError, match=r"another type: num_batches_tracked torch\.complex64"):
        fit(state, module, file="a.pt", model="mine")


class Picky(nn.Linear):
    def _load_from_state_dict(self, *_: Any) -> None:
        raise KeyError("weight\nof mine")


def test_a_module_that_does_not_take_its_weights() -> None:
    module = Picky(2, 2)
    with pytest.raises(WeightsError, match=r"^checkpoint 'a\.pt' cannot be loaded into mine: 'we"):
        fit(nn.Linear(2, 2).state_dict(), module, file="a.pt", model="mine")


# dicts


def test_a_thousand_nested_dicts(worker: Any, put: Callable[[str, bytes], Path]) -> None:
    for key in ("model", "config"):
        content = mapping(string("w"), view(True))
        for _ in range(1000):
            content = mapping(string(key), content)
        assert "holds no state dict" in refusal(worker, put("a.pt", file_of(content, True)))


@pytest.mark.parametrize("count", [20, 30])
def test_nested_dicts_are_searched_once(
    worker: Any, put: Callable[[str, bytes], Path], count: int
) -> None:
    content: dict[str, Any] = {"epoch": 3}
    for _ in range(count):
        content = dict.fromkeys((*WRAPPERS, *SETTINGS), content)
    assert "holds no state dict" in refusal(worker, put("a.pt", torch_zip(content)))
    content = {"w": torch.ones(2)}
    for _ in range(count):
        content = {"state_dict": content}
    assert "1 unexpected: w" in refusal(worker, put("a.pt", torch_zip(content)))


def test_dicts_that_contain_themselves(tmp_path: Path) -> None:
    content: dict[str, Any] = {"w": torch.ones(2)}
    content |= {"state_dict": content, "config": content, "hparams": {"cfg": content}}
    torch.save(content, tmp_path / "a.pt")
    assert list(read_checkpoint(tmp_path / "a.pt").state) == ["w"]


def test_a_hundred_thousand_names(worker: Any, put: Callable[[str, bytes], Path]) -> None:
    shared = b"".join((view(True), b"q\0"))
    names = b"".join(string(f"n{index}") + b"h\0" for index in range(10**5))
    content = mapping(string("first"), shared, names)
    found = refusal(worker, put("a.pt", file_of(content, True)), most=512 * MEBIBYTE)
    # Time and memory grow with their number only in proportion.
    assert "does not fit tiny: 8 missing" in found
    assert "100001 unexpected: first, n0, n1 and 99998 more" in found


NAMES = ["a\nb", "\x1b[31mred", "\ud800", "<script>alert(1)</script>", "", "x" * 10**6, "\u202e"]


@both
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_odd_names_are_reported_on_one_line(
    worker: Any, put: Callable[[str, bytes], Path], name: str, zipped: bool
) -> None:
    content = mapping(string(name), view(zipped))
    assert "1 unexpected: " in refusal(worker, put("a.pt", file_of(content, zipped)))
    content = mapping(string(name), mapping(string("w"), view(zipped)))
    assert "it holds " in refusal(worker, put("a.pt", file_of(content, zipped)))


def test_names_that_are_not_text(tmp_path: Path) -> None:
    # Integers, tuples, tensors and bytes are no names.
    content = {1: STATE["w"], (1, 2): STATE["w"], b"w": STATE["w"], None: 1, STATE["w"]: 1}
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"it holds 1, \(1, 2\), b'w'$|more than tensors"):
        read_checkpoint(tmp_path / "a.pt")


def test_names_of_many_parts_are_handled_fast() -> None:
    # A name with a million dots would be joined a million times.
    module = nn.Sequential(nn.Linear(2, 2))
    name = "." * 10**6
    assert list(select({name: torch.ones(2)}, module)) == [name]
    assert list(select({f"{name}0.weight": torch.ones(2, 2)}, module)) == ["0.weight"]


def test_a_prefix_that_does_not_end(worker: Any, put: Callable[[str, bytes], Path]) -> None:
    content = mapping(string("module." * 10**5 + "w"), view(True))
    assert "1 unexpected: module." in refusal(worker, put("a.pt", file_of(content, True)))


@pytest.mark.core
def test_a_text_for_a_message_is_one_line() -> None:
    assert one_line("a\nb\x1b[0m\ud800") == r"a\nb\x1b[0m\ud800"
    assert one_line("x" * 1000) == "x" * 200 + "..."


# safetensors


def safe(header: object, numbers: bytes = bytes(24), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} | changes


HEADERS: dict[str, bytes] = {
    "length 2^63": safe({"w": entry()}, length=2**63),
    "length 2^64 - 1": safe({"w": entry()}, length=2**64 - 1),
    "length beyond the file": safe({"w": entry()}, length=10**6),
    "no length": b"\1\2\3",
    "no header": safe(b"", b""),
    "no object": safe([1]),
    "half an object": safe(b'{"w": '),
    "no text": safe(b"\xff" * 64),
    "deep lists": safe(b"[" * 10**6 + b"]" * 10**6),
    "deep objects": safe(b'{"a":' * 10**5 + b"1" + b"}" * 10**5),
    "overlap": safe({"a": entry(), "b": entry()}),
    "a hole": safe(
        {"a": entry(shape=[1], data_offsets=[0, 4]), "b": entry(shape=[1], data_offsets=[8, 12])}
    ),
    "out of range": safe({"w": entry(data_offsets=[0, 10**12], shape=[10**12 // 4])}),
    "backwards": safe({"w": entry(data_offsets=[24, 0])}),
    "negative offsets": safe({"w": entry(data_offsets=[-24, 0])}),
    "unknown type": safe({"w": entry(dtype="F33")}),
    "negative shape": safe({"w": entry(shape=[-2, -3])}),
    "overflowing shape": safe({"w": entry(shape=[2**32, 2**32, 2**32])}),
    "product of 0": safe({"w": entry(shape=[2**63, 2, 0])}),
    "other shape": safe({"w": entry(shape=[2**40])}),
    "numbers as text": safe({"w": entry(shape=["2", "3"])}),
    "no shape": safe({"w": {"dtype": "F32"}}),
    "metadata of objects": safe({"__metadata__": {"a": {"b": 1}}, "w": entry()}),
    "trailing bytes": safe({"w": entry()}, bytes(10**6)),
    "a pickle": pickle.dumps({"w": Runs()}),
}


@pytest.mark.parametrize("kind", core(HEADERS, {"length beyond the file"}))
def test_headers_of_safetensors(worker: Any, put: Callable[[str, bytes], Path], kind: str) -> None:
    message = refusal(worker, put("a.safetensors", HEADERS[kind]))
    assert re.match(r"checkpoint '.*a\.safetensors' cannot be read: .", message)


def test_duplicate_names_in_safetensors(worker: Any, put: Callable[[str, bytes], Path]) -> None:
    text = json.dumps({"w": entry()})[:-1] + f', "w": {json.dumps(entry())}}}'
    refusal(worker, put("a.safetensors", safe(text.encode())))


def test_a_header_of_a_hundred_megabytes(worker: Any, put: Callable[[str, bytes], Path]) -> None:
    for size in (90 * 10**6, 110 * 10**6):
        text = b'{"__metadata__": {"a": "' + b"x" * size + b'"}}'
        refusal(worker, put("a.safetensors", safe(text, b"")), most=1024 * MEBIBYTE)


def test_safetensors_and_pickles_under_swapped_suffixes(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(save_safe(STATE))
    (tmp_path / "a.safetensors").write_bytes(torch_zip(STATE))
    for name in ("a.pt", "a.safetensors"):
        with pytest.raises(WeightsError, match=rf"^checkpoint '.*{name}' cannot be read: ."):
            read_checkpoint(tmp_path / name)


# other kinds of files


@pytest.mark.parametrize("container", core(["zip", "legacy", "safetensors"], {"zip"}))
def test_files_that_end_early(
    worker: Any, put: Callable[[str, bytes], Path], container: str, fuzz: ModuleType
) -> None:
    state = fuzz.tiny().state_dict()
    writers = {"zip": torch_zip, "legacy": torch_legacy, "safetensors": save_safe}
    whole = writers[container](state)
    name = "a.safetensors" if container == "safetensors" else "a.pt"
    assert outcome(worker, put(name, whole)).outcome == "loaded"
    for part in range(16):
        refusal(worker, put(name, whole[: len(whole) * part // 16]))


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.ckpt"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html><html><title>Sign in</title></html>" * 20,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        b"\x80\x02.",
        b"\x80\x02" + b"(" * 10**5,
        b"\x80\x02" + b"]q\0h\0a" * 1000 + b".",
        bytes(10**6),
        b"ustar" * 200,
    ],
    ids=range(10),
)
def test_files_that_are_not_checkpoints(
    worker: Any, put: Callable[[str, bytes], Path], name: str, data: bytes
) -> None:
    refusal(worker, put(name, data))


@pytest.mark.parametrize("suffix", core(["pt", "safetensors"], {"pt"}))
def test_pipes_devices_and_folders_are_not_waited_for(
    worker: Any, tmp_path: Path, suffix: str
) -> None:
    pipe, zeros, folder = (tmp_path / f"{name}.{suffix}" for name in ("pipe", "zeros", "folder"))
    os.mkfifo(pipe)
    zeros.symlink_to("/dev/zero")
    folder.mkdir()
    for path in (pipe, zeros):
        assert refusal(worker, path).endswith("is a pipe or a device: expected a file")
    assert refusal(worker, folder).endswith("is a folder: expected a file")
    loop = tmp_path / f"loop.{suffix}"
    loop.symlink_to(loop)
    for path in (loop, Path("x" * 300), Path("~nobody-of-that-name/a.pt"), tmp_path / "a\0.pt"):
        refusal(worker, path)


# labels


LISTS: dict[str, object] = {
    "no texts": [1, 2.0, None],
    "nested": [["a"], ["b"]],
    "themselves": {"config": {"config": {"labels": [["x"]]}}},
    "long": ["x" * 10**6] * 3,
    "many": [f"class {index}" for index in range(10**5)],
    "a text": "abc",
    "infinite indices": {float("inf"): "a", float("nan"): "b"},
    "large indices": {10**400: "a", -1: "b"},
    "a number": 10**400,
    "empty": [],
}


@pytest.mark.parametrize("kind", LISTS)
def test_odd_labels_are_labels_or_none(kind: str, tmp_path: Path) -> None:
    names = LISTS[kind]
    torch.save({"state_dict": STATE, "class_names": names}, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt").labels
    assert found == (tuple(names) if kind in ("long", "many") else None)  # type: ignore[arg-type]
    if kind not in ("infinite indices", "large indices", "a number"):  # json cannot write these
        save_file(STATE, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps({"label_names": names}))
        assert read_checkpoint(tmp_path / "model.safetensors").labels == found


def test_labels_are_text_as_it_is_and_can_be_written(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", "\ud800half", "a\nb"]
    torch.save({"state_dict": STATE, "class_names": names}, tmp_path / "a.pt")
    labels = read_checkpoint(tmp_path / "a.pt").labels
    assert labels == ("<script>alert(1)</script>", "?half", "a\nb")
    assert "".join(labels).encode("utf-8")


CONFIGS = (
    b"[" * 10**6,
    b'{"config":' * 10**5,
    b"\xff",
    b"1" * 10**5,
    b"null",
    b'{"labels": 1e999}',
)


@pytest.mark.parametrize("data", CONFIGS, ids=range(len(CONFIGS)))
def test_an_odd_config_beside_the_weights_is_passed_over(data: bytes, tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes(data)
    assert read_checkpoint(tmp_path / "model.safetensors").labels is None


def test_a_config_that_does_not_end_is_not_read(
    worker: Any, put: Callable[[str, bytes], Path], fuzz: ModuleType
) -> None:
    file = put("model.safetensors", save_safe(fuzz.tiny().state_dict()))
    config = file.parent / "config.json"
    for make in (lambda: os.mkfifo(config), lambda: config.symlink_to("/dev/zero")):
        make()
        assert outcome(worker, file).outcome == "loaded"
        config.unlink()
    with config.open("wb") as stream:
        stream.truncate(2**33)
    assert outcome(worker, file).outcome == "loaded"


# folders


@pytest.fixture(scope="module")
def net() -> bytes:
    """The weights of a small timm network with three classes."""
    return save_safe(timm.create_model("test_resnet", num_classes=3).state_dict())


def configured(put: Callable[[str, bytes], Path], net: bytes, config: object) -> Path:
    put("model.safetensors", net)
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    return put("config.json", text).parent


def described(**changes: Any) -> dict[str, Any]:
    return {"architecture": "test_resnet", "num_classes": 3} | changes


def test_a_folder_as_it_should_be_loads(
    worker: Any, put: Callable[[str, bytes], Path], net: bytes
) -> None:
    folder = configured(put, net, described(label_names=["a", "<b>", "c"]))
    assert outcome(worker, folder, "folder").outcome == "loaded"


@pytest.mark.parametrize(
    "data",
    [b"", b"[" * 10**6, b'{"a":' * 10**5, b"\xff\xfe", b"1" * 10**5, b"[]", b"null", b"<html>"],
    ids=range(8),
)
def test_invalid_configurations_are_refused(
    worker: Any, put: Callable[[str, bytes], Path], net: bytes, data: bytes
) -> None:
    found = outcome(worker, configured(put, net, data), "folder")
    assert found.outcome in ("WeightsError", "ModelError")


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "x" * 10**6},
        {"architecture": "../../evil"},
        {"architecture": "a\nb"},
        {"architecture": [["x" * 10**5]] * 100},
        {"num_classes": 10**30},
        {"num_classes": 10**9},
        {"num_classes": -1},
        {"num_classes": True},
        {"model_args": {"num_classes": 10**9}},
        {"pretrained_cfg": {"input_size": [3, 10**9, 10**9]}},
        {"pretrained_cfg": {"input_size": [3, 0, -1]}},
        {"pretrained_cfg": {"input_size": ["x" * 10**6]}},
        {"pretrained_cfg": {"crop_pct": 0.0001}},
        {"pretrained_cfg": {"crop_pct": float("nan")}},
        {"pretrained_cfg": {"crop_pct": [1]}},
        {"pretrained_cfg": {"mean": ["a", "b", "c"]}},
        {"pretrained_cfg": {"std": [0, 0, 0]}},
        {"pretrained_cfg": {"std": 3}},
        {"pretrained_cfg": {"interpolation": {}}},
        {"pretrained_cfg": {"crop_mode": "a\nb"}},
        {"pretrained_cfg": {"fixed_input_size": True}, "model_args": {"img_size": [1, 2, 3]}},
        {"pretrained_cfg": {"fixed_input_size": True}, "model_args": {"img_size": "big"}},
        {"model_args": {"checkpoint_path": "/dev/zero"}},
        {"model_args": {"pretrained_cfg_overlay": {"url": "http://127.0.0.1:9/x"}}},
        {"model_args": {"pretrained": False}},
        {"model_args": {"num\x7fclasses": 3}},
        {"model_args": {"no_such_argument": 3}},
    ],
    ids=range(27),
)
def test_configurations_with_absurd_values(
    worker: Any, put: Callable[[str, bytes], Path], net: bytes, changes: dict[str, Any]
) -> None:
    found = outcome(worker, configured(put, net, described(**changes)), "folder")
    assert found.outcome in ("ModelError", "ArgumentError")


def test_a_configuration_names_no_other_weights(
    worker: Any, put: Callable[[str, bytes], Path], net: bytes
) -> None:
    other = {"url": "http://127.0.0.1:9/x.pt", "file": "/dev/zero", "hf_hub_id": "me/other"}
    more = {"source": "hf-hub", "state_dict": {"a": 1}, "custom_load": True}
    folder = configured(put, net, described(pretrained_cfg=other | more))
    assert outcome(worker, folder, "folder").outcome == "loaded"


@pytest.mark.core
def test_code_in_a_folders_weights_is_not_run(
    worker: Any, put: Callable[[str, bytes], Path]
) -> None:
    put("config.json", json.dumps(described()).encode())
    for container in CONTAINERS.values():
        file = put("pytorch_model.bin", container(CONTENTS["beside"]))
        refusal(worker, file.parent, kind="folder")


def test_a_configuration_that_does_not_end(
    worker: Any, put: Callable[[str, bytes], Path], net: bytes, tmp_path: Path
) -> None:
    put("model.safetensors", net)
    config = worker.folder / "config.json"
    for make in (lambda: os.mkfifo(config), lambda: config.symlink_to("/dev/zero")):
        make()
        assert "holds no config.json" in refusal(worker, worker.folder, kind="folder")
        config.unlink()
    with config.open("wb") as stream:
        stream.truncate(2**33)
    assert "is larger than" in refusal(worker, worker.folder, kind="folder")
    for path in (tmp_path / ("x" * 300), Path("~nobody-of-that-name")):
        refusal(worker, path, kind="folder")


@pytest.mark.core
def test_every_refusal_is_an_effcam_error() -> None:
    assert all(issubclass(each, EffcamError) for each in (WeightsError, ModelError, ArgumentError))
