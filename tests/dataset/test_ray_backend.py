"""Runs on a Ray cluster: rows equal those of a local run, whatever dies; nothing is left behind."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from effcam import DatasetRun, ModelSpec, Preprocess, compare_dataset, load_model
from effcam.errors import (
    ArgumentError,
    EffcamError,
    ImageError,
    ModelError,
    OutputError,
    TargetError,
)
from effcam.models.sources import resolve
from tests import nets
from tests.nets import ColourNet

pytest.importorskip("pyarrow")
pytest.importorskip("ray.data")

import ray
from ray.cluster_utils import Cluster

from effcam.dataset import ray_backend, ray_worker
from effcam.dataset.manifest import Manifest
from effcam.dataset.ray_lease import Lease
from effcam.dataset.ray_placement import WorkerPlan, plan_workers
from effcam.dataset.shards import Outcome, Plan
from effcam.dataset.storage import Store

pytestmark = [
    pytest.mark.ray,
    # Ray Data copies its settings, and with them those that it itself calls deprecated.
    pytest.mark.filterwarnings("ignore:`use_\\w+` is deprecated:DeprecationWarning"),
    # Ray leaves the processes of its nodes to their reaper, and the files that they log to open.
    pytest.mark.filterwarnings("ignore:subprocess \\d+ is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    # Ray says what a later release will do about GPUs of workers that ask for none.
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
]

COUNT, SHARD = 48, 4
MEMORY = 80 * 2**20
PATIENCE = 600
PLAIN = Preprocess(size=64, resize=64, mean=0, std=1)
SMALL: dict[str, Any] = {"view": "whole", "size": 64, "shard_size": SHARD, "progress": False}


class Slow(ColourNet):
    """A slow net."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return super().forward(images)


def colours(seconds: float = 0.0) -> Any:
    return load_model(Slow(seconds), preprocess=PLAIN, labels=["red", "green", "blue"])


@pytest.fixture(autouse=True)
def no_waiting_for_ever() -> Iterator[None]:
    """Turn a hang into a failure."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"it took more than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute here as workers do, which have one CPU: else sums may differ in the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    """Start a cluster of one node with one CPU, without connecting to it."""
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Workers cannot import these modules, so their definitions are pickled by value.
        for module in (nets, sys.modules[__name__]):
            ray.cloudpickle.register_pickle_by_value(module)
        started = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "object_store_memory": MEMORY,
                "include_dashboard": False,
                # A dead node is detected after 2 s, not after 15.
                "_system_config": {
                    "health_check_initial_delay_ms": 0,
                    "health_check_period_ms": 500,
                    "health_check_failure_threshold": 4,
                },
            },
        )
        yield started
        ray.shutdown()
        started.shutdown()
        for module in (nets, sys.modules[__name__]):
            ray.cloudpickle.unregister_pickle_by_value(module)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def connected(head: Cluster) -> Iterator[Cluster]:
    """Connect to the cluster."""
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(head.address, log_to_driver=False, logging_level=logging.ERROR)
    yield head
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(COUNT):
        pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed:02d}.png")
    return folder


@pytest.fixture
def few(photos: Path, tmp_path: Path) -> Path:
    """Return twelve of the photos: three shards."""
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(photos.iterdir())[:12]:
        shutil.copy2(path, folder)
    return folder


def on_ray(images: Any, models: Any, out: Path, **options: Any) -> DatasetRun:
    return compare_dataset(images, models, out, backend="ray", **(SMALL | options))


def shards(out: Path) -> dict[str, bytes]:
    folder = out / "shards"
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*.parquet")}


def left_behind(out: Path) -> list[str]:
    return [each.name for each in out.rglob(".*") if each.name != ".lock"]


def until(reached: Callable[[], object], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


# how many workers fit, without a cluster


@pytest.mark.core
@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        ([(1, 0)], {}, WorkerPlan(1, 0.9, 0, 1)),
        ([(2, 0)], {}, WorkerPlan(1, 1.8, 0, 2)),
        ([(2, 0)], {"workers": 2}, WorkerPlan(2, 0.9, 0, 1)),
        ([(1, 0)] * 3, {}, WorkerPlan(3, 0.9, 0, 1)),
        ([(0, 0), (4, 0), (4, 0)], {}, WorkerPlan(2, 3.6, 0, 4)),
        ([(16, 0), (4, 0)], {"workers": 2}, WorkerPlan(2, 7.2, 0, 8)),
        ([(8, 2), (8, 1)], {}, WorkerPlan(3, 3.6, 1, 4)),
        ([(8, 1)], {"gpus": 0.5}, WorkerPlan(2, 3.6, 0.5, 4)),
        ([(8, 1)], {"gpus": 0.1}, WorkerPlan(10, 0.72, 0.1, 1)),
        ([(8, 2)], {"gpus": 0}, WorkerPlan(1, 7.2, 0, 8)),
        ([(0, 2)], {}, WorkerPlan(2, 0, 1, 1)),
    ],
)
def test_workers_take_what_the_cluster_has(nodes: Any, asked: Any, expected: WorkerPlan) -> None:
    assert plan_workers(nodes, 100, **asked) == expected


@pytest.mark.core
def test_there_are_no_more_workers_than_shards() -> None:
    assert plan_workers([(8, 0)] * 9, 2).workers == 2


@pytest.mark.core
def test_too_many_workers_warn() -> None:
    with pytest.warns(
        UserWarning, match=r"room for 2 of the 4 requested workers: 1 node with 8 CPUs"
    ):
        assert plan_workers([(8, 2)], 100, workers=4, gpus=1).workers == 2


@pytest.mark.core
@pytest.mark.parametrize(
    ("nodes", "gpus", "told"),
    [
        ([(4, 0)], 1, "no node of the cluster has 1 GPUs: 1 node with 4 CPUs and 0 GPUs"),
        ([(4, 1), (4, 1)], 2, "no node of the cluster has 2 GPUs"),
        ([(4, 8)], 1.5, "whole number above 1"),
        ([(0, 0)], None, "no node of the cluster has a CPU"),
        ([], None, "no node of the cluster has a CPU"),
    ],
)
def test_missing_resources_are_refused(nodes: Any, gpus: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        plan_workers(nodes, 10, gpus=gpus)


# the lease, without a cluster


@pytest.mark.core
def test_a_lease_is_given_once_and_ends(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    (tmp_path / ".ray-of-a-run-that-was-killed").mkdir()
    with Lease.granted(store) as lease:
        assert [each.name for each in tmp_path.iterdir()] == [lease.name]
        assert lease.may_start
        assert lease.is_valid
        assert [lease.claim(0, 7), lease.claim(0, 7), lease.claim(1, 7)] == [0, 1, 0]
        lease.finish()
        assert not lease.may_start
        assert lease.is_valid
    assert not lease.is_valid
    assert not list(tmp_path.iterdir())


# before there is a cluster


@pytest.mark.core
def test_without_ray_the_error_names_the_package(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OutputError, match=r"pip install 'effcam\[ray\]'"):
        on_ray(few, colours(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_without_a_cluster_is_an_error(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    # Ray would wait for minutes.
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was asked"))
    with pytest.raises(OutputError, match=f"no Ray cluster answers at '{address}'"):
        on_ray(few, colours(), tmp_path / "out", address=address)
    assert not ray.is_initialized()


def test_an_invalid_address_is_an_error(few: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="'here:there' is not an address of a Ray cluster"):
        on_ray(few, colours(), tmp_path / "out", address="here:there")


# on one node of one CPU


def test_by_address_on_one_cpu(head: Cluster, few: Path, tmp_path: Path) -> None:
    handler, known = signal.getsignal(signal.SIGTERM), dict(os.environ)
    address = f"127.0.0.1:{head.address.rpartition(':')[2]}"
    with pytest.warns(UserWarning, match="room for 1 of the 5 requested workers"):
        run = on_ray(few, colours(), tmp_path / "out", address=address, workers=5)
    assert run.complete
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert dict(os.environ) == known
    assert not left_behind(tmp_path / "out")


@pytest.mark.usefixtures("connected")
def test_a_run_goes_on_from_ray_to_here_and_back(few: Path, tmp_path: Path) -> None:
    models = {"one": colours(), "two": ModelSpec("mobilenetv3_small_050", pretrained=False)}
    out = tmp_path / "out"
    compare_dataset(few, models, out, **SMALL)
    whole = shards(out)
    for name in [name for name in whole if not name.endswith("0.parquet")]:
        (out / "shards" / name).unlink()
    kept = {each: each.stat().st_mtime_ns for each in (out / "shards").rglob("*.parquet")}
    assert on_ray(few, models, out).complete
    assert shards(out) == whole
    assert all(path.stat().st_mtime_ns == state for path, state in kept.items())
    next((out / "shards").rglob("*1.parquet")).unlink()
    assert compare_dataset(few, models, out, **SMALL).complete
    assert shards(out) == whole


@pytest.mark.usefixtures("connected")
def test_an_error_of_a_worker_arrives_as_it_is(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wanted = ["red"] * 4 + ["mauve"] * 8
    with pytest.raises(TargetError, match="mauve"):
        on_ray(few, colours(), out, target=wanted)
    assert len(shards(out)) == 1
    assert not left_behind(out)
    until(lambda: ray.available_resources().get("CPU") == 1)


@pytest.mark.usefixtures("connected")
def test_more_errors_than_allowed_stop_the_run(few: Path, tmp_path: Path) -> None:
    for path in sorted(few.iterdir())[:3]:
        path.write_bytes(b"no image")
    out = tmp_path / "out"
    with pytest.raises(ImageError, match="3 images cannot be read, more than max_errors=2"):
        on_ray(few, colours(0.5), out, max_errors=2)
    assert 0 < len(shards(out)) < 3
    assert [name for name in left_behind(out) if name.startswith(".ray-")] == []
    until(lambda: ray.available_resources().get("CPU") == 1)


@pytest.mark.usefixtures("connected")
def test_options_that_contradict_the_cluster_are_refused(few: Path, tmp_path: Path) -> None:
    for options, told in [
        ({"address": "127.0.0.1:1"}, "Ray is connected to .* already"),
        ({"num_gpus": 1}, "no node of the cluster has 1 GPUs"),
        ({"device": "cuda"}, "device='cuda' needs GPUs"),
        ({"device": "mps"}, "device must be 'cuda' or 'cpu'"),
    ]:
        with pytest.raises(ArgumentError, match=told):
            on_ray(few, colours(), tmp_path / "out", **options)


# a worker, here


@pytest.fixture
def planned(few: Path, tmp_path: Path) -> Plan:
    """Return a run of three shards, none of which is written."""
    model, out = colours(), tmp_path / "out"
    compare_dataset(few, {"colours": model}, out, **SMALL)
    shutil.rmtree(out / "shards")
    store = Store.at(out)
    manifest = Manifest.read(store)
    assert manifest is not None
    return Plan(store, manifest, {"colours": resolve(model)}, 2, "cpu")


def ask(plan: Plan, lease: Lease, number: int = 0) -> Any:
    hand = ray_worker.ShardWorker(ray.put(ray_backend._pack(plan)), lease, 1)
    return pickle.loads(hand({"model": 0, "number": number})["result"])  # noqa: S301  # it is ours


@pytest.mark.usefixtures("connected")
def test_a_worker_writes_the_missing_shards(planned: Plan) -> None:
    with Lease.granted(planned.store) as lease:
        assert ask(planned, lease) == Outcome(0, 0, SHARD, {})
        (made,) = Path(planned.store.address, "shards").rglob("*.parquet")
        state = made.stat().st_mtime_ns
        assert ask(planned, lease) == Outcome(0, 0, SHARD, {})
        assert made.stat().st_mtime_ns == state
        lease.finish()
        assert ask(planned, lease, 1) is None
    assert ask(planned, lease, 1) is None


@pytest.mark.usefixtures("connected")
def test_a_worker_stops_when_its_run_is_over(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_worker, "LEASE_CHECK", 0)
    monkeypatch.setattr(Lease, "may_start", True)
    lease = Lease(planned.store, ".ray-gone")
    assert ask(planned, lease) is None
    assert not shards(Path(planned.store.address))


@pytest.mark.usefixtures("connected")
def test_a_shard_that_kills_workers_is_an_error(planned: Plan) -> None:
    with Lease.granted(planned.store) as lease:
        for _ in range(ray_worker.ATTEMPTS):
            lease.claim(0, 0)
        told = ask(planned, lease)
    assert isinstance(told, ModelError)
    assert "colours: 4 workers died one after another at the same 4 images" in str(told)


@pytest.mark.usefixtures("connected")
def test_a_node_that_does_not_see_the_run_is_an_error(planned: Plan, tmp_path: Path) -> None:
    blind = replace(planned, store=Store.at(tmp_path / "elsewhere"))
    told = ask(blind, Lease(blind.store, ".ray-gone"))
    assert isinstance(told, OutputError)
    assert "does not see the run" in str(told)


@pytest.mark.usefixtures("connected")
def test_a_node_that_does_not_see_the_images_is_an_error(planned: Plan, few: Path) -> None:
    shutil.rmtree(few)
    with Lease.granted(planned.store) as lease:
        told = ask(planned, lease)
    assert isinstance(told, OutputError)
    assert "00.png' nor another image of its shard" in str(told)


@pytest.mark.usefixtures("connected")
def test_a_model_that_cannot_be_sent_is_an_error(planned: Plan) -> None:
    model = colours()
    model.module.lock = threading.Lock()
    with pytest.raises(ModelError, match="cannot be sent to other processes"):
        ray_backend._pack(replace(planned, columns={"colours": model}))


# several nodes


@pytest.mark.core
def test_two_workers_write_the_rows_of_a_local_run(
    connected: Cluster, few: Path, tmp_path: Path
) -> None:
    here, out = tmp_path / "here", tmp_path / "out"
    compare_dataset(few, colours(), here, **SMALL)
    node = connected.add_node(num_cpus=1, object_store_memory=MEMORY)
    try:
        run = on_ray(few, colours(), out, workers=2)
    finally:
        connected.remove_node(node)
    assert run.complete
    assert shards(out) == shards(here)
    assert not left_behind(out)


def test_a_node_dies_and_the_rows_are_those_of_a_local_run(
    connected: Cluster, photos: Path, tmp_path: Path
) -> None:
    models = {
        "one": colours(0.2),
        "two": ModelSpec("two", constructor=Slow, options={"seconds": 0.2}, preprocess=PLAIN),
    }
    here, out = tmp_path / "here", tmp_path / "out"
    compare_dataset(photos, models, here, **SMALL)
    settings = vars(ray.data.DataContext.get_current()).copy()
    nodes = [connected.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(2)]
    there: list[int] = []

    def kill() -> None:
        until(lambda: len(shards(out)) >= 3)
        connected.remove_node(nodes[0], allow_graceful=False)
        there.append(len(shards(out)))

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run = on_ray(photos, models, out)
    finally:
        killer.join(600)
        connected.remove_node(nodes[1])
    assert there
    assert there[0] < 2 * COUNT / SHARD
    assert run.complete
    assert shards(out) == shards(here)
    assert not left_behind(out)
    after = vars(ray.data.DataContext.get_current())
    assert {key: value for key, value in after.items() if settings[key] != value} == {}
    assert ray.get(ray.remote(num_cpus=1)(lambda: 42).remote(), timeout=30) == 42


# Ctrl-C, in another process

SCRIPT = """
    import sys, time, torch
    from torch import nn
    from effcam import compare_dataset, load_model

    class Slow(nn.Sequential):
        def forward(self, images):
            time.sleep(0.1)
            return super().forward(images)

    if __name__ == "__main__":
        torch.set_num_threads(1)
        layers = nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        compare_dataset(
            sys.argv[1], load_model(Slow(*layers)), sys.argv[2], view="whole", size=64,
            shard_size=1, backend="ray", workers=1, address="local",
        )
"""


def test_ctrl_c_finishes_the_current_shards(photos: Path, tmp_path: Path) -> None:
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(textwrap.dedent(SCRIPT))
    with subprocess.Popen(
        [sys.executable, str(script), str(photos), str(out)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            until(lambda: shards(out))
            # As a terminal does: to all processes of the group.
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode in (1, 130, -signal.SIGINT), errors
    assert "finishing the current shard" in errors
    found = len(shards(out))
    assert f"interrupted: {found} of {COUNT} shards are written" in errors
    assert 0 < found < COUNT
    assert not left_behind(out)


@pytest.mark.core
def test_errors_survive_pickling() -> None:
    for kind in EffcamError.__subclasses__():
        back = pickle.loads(pickle.dumps(kind("what it is")))  # noqa: S301  # it is ours
        assert type(back) is kind
        assert str(back) == "what it is"
