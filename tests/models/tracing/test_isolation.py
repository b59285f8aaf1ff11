"""Comparisons beside other work: in threads, within training, in forked workers, repeated."""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from torch.utils.data import DataLoader, Dataset

from effcam import Comparison, ModelSpec, Preprocess, compare, load_model
from effcam.cam.explain import compute_cams, explaining
from effcam.errors import ImageError, LayerError, ModelError, TargetError
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageRef
from effcam.models.spec_source import SpecSource
from effcam.models.tracing.flops import COSTS, find_cost
from effcam.models.tracing.isolation import exclusive, untouched
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.trace import trace

SIZE = 64
PATIENCE = 60.0
"""After how many seconds what runs beside a test is taken to hang."""
SHORT = 0.3
"""For how many seconds a thread waits for what must not happen."""

PHOTOS = [np.random.default_rng(seed).random((48, 72, 3)) for seed in range(3)]


class Net(nn.Module):
    """A network with all that training changes or draws: weights, statistics, dropout."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
        )
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(width, 5)
        self.failure: BaseException | None = None

    def forward(self, batch: Tensor) -> Tensor:
        features = self.features(batch)
        if self.failure is not None:
            raise self.failure
        scores: Tensor = self.fc(self.dropout(features.mean((2, 3))))
        return scores


class Drawing(Net):
    """A net that draws random numbers in evaluation, like Monte Carlo dropout."""

    def forward(self, batch: Tensor) -> Tensor:
        scores: Tensor = functional.dropout(super().forward(batch)) + torch.rand(())
        return scores + torch.empty(5).normal_() + torch.randn_like(scores)


def by_name(name: str) -> ModelSpec:
    return ModelSpec(name, pretrained=False)


def look(models: Any, **options: Any) -> Comparison:
    return compare(PHOTOS, models, view="whole", size=SIZE, progress=False, **options)


def numbers(comparison: Comparison) -> list[object]:
    """Return all computed values, in a form for exact comparison."""
    return [
        (cell.column, cell.target, cell.probability, cell.state, cell.heatmap.tobytes())
        for cell in comparison
    ]


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """Return the results of tasks that begin at the same time, each in its own thread."""
    barrier = threading.Barrier(len(tasks), timeout=PATIENCE)

    def run(task: Callable[[], Any]) -> Any:
        barrier.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [each.result(PATIENCE) for each in [pool.submit(run, task) for task in tasks]]


def random_states() -> tuple[object, ...]:
    return (
        torch.get_rng_state().numpy().tobytes(),
        repr(np.random.get_state()),  # noqa: NPY002 - third parties draw from the global state
        random.getstate(),
    )


def process_wide() -> tuple[object, ...]:
    """Return the state of the process that a thread could leave changed."""
    return (
        *random_states(),
        list(warnings.filters),
        dict(os.environ),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.mkldnn.enabled,
        torch.is_anomaly_enabled(),
        is_in_torch_dispatch_mode(),
        list(nn.modules.module._global_forward_hooks),
        list(nn.modules.module._global_forward_pre_hooks),
    )


def here() -> tuple[object, ...]:
    """Return the state that torch holds for each thread."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.is_autocast_cache_enabled(),
        torch._C._len_torch_function_stack(),
        torch._C._len_torch_dispatch_stack(),
    )


def facts(module: nn.Module) -> list[object]:
    """Return the state of a module except its numbers."""
    found: list[object] = []
    for name, each in module.named_modules():
        attributes = {
            key: list(value.items()) if isinstance(value, dict) else value
            for key, value in vars(each).items()
        }
        found.append((name, attributes.keys(), each.training, list(map(repr, each._modules))))
        found += [
            list(map(id, table.values()))
            for key, table in vars(each).items()
            if isinstance(table, dict) and key.startswith("_")
        ]
    return found + [(name, each.requires_grad, each.grad) for name, each in named(module)]


def named(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def values(module: nn.Module) -> dict[str, bytes]:
    return {name: each.detach().numpy().tobytes() for name, each in named(module)}


# two comparisons in two threads


@pytest.mark.parametrize(
    "names",
    [("resnet18", "mobilenetv3_small_050"), ("resnet18", "resnet18")],
    ids=["of two", "of one"],
)
def test_two_comparisons_by_name_give_what_each_gives_alone(names: tuple[str, str]) -> None:
    tasks = [partial(look, by_name(name), method=("gradcam", "eigencam")) for name in names]
    alone = [numbers(task()) for task in tasks]
    COSTS._found.clear()
    before = process_wide()
    for _ in range(3):
        assert [numbers(each) for each in at_once(*tasks)] == alone
    assert process_wide() == before


def test_two_comparisons_of_one_module_give_what_each_gives_alone() -> None:
    module = Net().train()
    module.features[1].eval()
    module.fc.bias.requires_grad_(False)
    hook = module.features.register_forward_hook(lambda *_: None)
    module(torch.rand(2, 3, SIZE, SIZE)).sum().backward()
    tasks = [
        partial(look, module),
        partial(look, module, method="ablationcam", batch_size=1),
        partial(look, load_model(module), target=3),
    ]
    alone = [numbers(task()) for task in tasks]
    before, held = facts(module), values(module)
    for _ in range(5):
        assert [numbers(each) for each in at_once(*tasks)] == alone
    assert facts(module) == before
    assert values(module) == held
    assert list(module.features._forward_hooks) == [hook.id]


def test_models_with_random_draws_give_the_same_in_parallel() -> None:
    modules = Drawing(), Drawing()
    alone = [numbers(look(each)) for each in modules]
    assert alone == [numbers(look(each)) for each in modules]
    before = random_states()
    for _ in range(3):
        found = at_once(*(partial(look, each) for each in modules))
        assert [numbers(each) for each in found] == alone
    assert random_states() == before


def test_a_thread_waits_for_a_module_and_for_what_shares_a_part_of_it() -> None:
    body, other = Net(), Net()
    sharing = nn.Sequential(body.features, nn.Flatten())
    tied = Net()
    tied.fc.weight = body.fc.weight
    held: list[str] = []

    def take(name: str, module: nn.Module) -> None:
        with untouched(module):
            held.append(name)

    waiting = {"same": body, "sharing": sharing, "tied": tied}
    threads = [threading.Thread(target=take, args=each) for each in waiting.items()]
    with untouched(body), untouched(sharing):
        for thread in threads:
            thread.start()
        free = threading.Thread(target=take, args=("other", other))
        free.start()
        free.join(PATIENCE)
        time.sleep(SHORT)
        assert held == ["other"]
    for thread in threads:
        thread.join(PATIENCE)
    assert set(held) == {"other", *waiting}


def test_a_turn_ends_with_an_exception_too() -> None:
    module = Net()
    with pytest.raises(KeyboardInterrupt), untouched(module):
        raise KeyboardInterrupt
    (found,) = at_once(lambda: numbers(look(module)))
    assert found == numbers(look(module))


def test_a_waiting_thread_never_sees_a_half_restored_module() -> None:
    class Watched(dict[str, object]):
        def clear(self) -> None:
            raise AssertionError("for a moment it was empty")

    module = Net()
    module.features._modules = Watched(module.features._modules)  # type: ignore[assignment]
    look(module)
    assert list(module.features._modules) == list("01234")


class Slow(Net):
    """Runs slowly, and sets an event when it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def forward(self, batch: Tensor) -> Tensor:
        self.begun.set()
        time.sleep(SHORT)
        return super().forward(batch)


def test_a_waiting_thread_never_sees_another_threads_changes() -> None:
    module, images = Slow(), torch.zeros(1, 3, SIZE, SIZE)
    model = load_model(module, preprocess=Preprocess(size=SIZE))
    uses: list[Callable[[], object]] = [
        lambda: load_model(module, device="cpu", preprocess=Preprocess(size=SIZE)),
        lambda: compute_cams(model, images, ["gradcam"]),
    ]
    for use in uses:
        module.begun.clear()
        # It runs on meta tensors, which no other thread may see.
        tracing = threading.Thread(target=trace, args=(module, (SIZE, SIZE)))
        tracing.start()
        assert module.begun.wait(PATIENCE)
        use()
        tracing.join(PATIENCE)


def test_libraries_build_for_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    build = timm.create_model

    def slow(*arguments: Any, **options: Any) -> nn.Module:
        steps.append("begin")
        time.sleep(SHORT)
        module = build(*arguments, **options)
        steps.append("end")
        return module

    monkeypatch.setattr(timm, "create_model", slow)
    before = process_wide()
    at_once(*[lambda: load_model("test_resnet", pretrained=False)] * 2)
    assert steps == ["begin", "end"] * 2
    assert process_wide() == before


class Meeting(Net):
    """Waits in its forward pass until another module is in its own."""

    def __init__(self, *, lingers: bool) -> None:
        super().__init__()
        self.here, self.other = threading.Event(), threading.Event()
        self.lingers = lingers

    def forward(self, batch: Tensor) -> Tensor:
        self.here.set()
        self.other.wait(SHORT)
        if self.lingers:
            time.sleep(SHORT)
        return super().forward(batch)


def test_counting_operations_in_two_threads_leaves_no_mode_behind() -> None:
    first, second = Meeting(lingers=False), Meeting(lingers=True)
    first.other, second.other = second.here, first.here
    at_once(partial(find_cost, first, (SIZE, SIZE)), partial(find_cost, second, (SIZE, SIZE)))
    assert not is_in_torch_dispatch_mode()


# beside a training in another thread


class Training:
    """A small training, which draws from the process's generators or from its own."""

    def __init__(self, own: torch.Generator | None = None) -> None:
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 - that it is global is the point
        random.seed(1)
        self.generator = own
        self.module = Net().train()
        if own is not None:
            self.module.dropout.p = 0.0  # a layer has no generator of its own
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=0.1, momentum=0.9)
        self.losses: list[float] = []

    def backward(self) -> None:
        images = torch.rand(4, 3, 32, 32, generator=self.generator) * random.random()  # noqa: S311 - likewise
        images += float(np.random.random())  # noqa: NPY002 - likewise
        classes = torch.randint(5, (4,), generator=self.generator)
        loss = functional.cross_entropy(self.module(images), classes)
        loss.backward()
        self.losses.append(float(loss.detach()))

    def step(self) -> None:
        # Two passes a step, so that gradients are there already and must be kept.
        self.optimizer.zero_grad()
        self.backward()
        self.backward()
        self.optimizer.step()

    def result(self) -> tuple[object, ...]:
        """The results of the training."""
        momentum = [
            state["momentum_buffer"].numpy().tobytes() for state in self.optimizer.state.values()
        ]
        return self.losses, values(self.module), momentum, *random_states()


@pytest.mark.sweep
@pytest.mark.parametrize(
    "models",
    [
        by_name("resnet18"),
        by_name("mobilenetv3_small_050"),
        pytest.param(Drawing(), marks=pytest.mark.core),
        pytest.param("demo_resnet", marks=pytest.mark.core),
    ],
    ids=["resnet", "mobilenet", "drawing", "filled"],
)
def test_a_training_in_another_thread_goes_as_if_it_were_alone(models: Any) -> None:
    training, steps = Training(torch.Generator().manual_seed(1)), 0
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(look, models)
        while not beside.done() or steps < 3:
            COSTS._found.clear()
            training.step()
            steps += 1
        found = numbers(beside.result(PATIENCE))
    undisturbed = Training(torch.Generator().manual_seed(1))
    for _ in range(steps):
        undisturbed.step()
    assert training.result() == undisturbed.result()
    assert found == numbers(look(models))


def but_torchs_random_state(states: tuple[object, ...]) -> tuple[object, ...]:
    """Return the state without the part that is restored only after a pass."""
    return states[1:]


class Curious(Net):
    """Reads the state of the process while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def forward(self, batch: Tensor) -> Tensor:
        self.seen |= {repr(but_torchs_random_state(process_wide()))}
        return super().forward(batch)


def test_process_wide_state_is_not_changed_during_a_pass() -> None:
    module = Curious()
    COSTS._found.clear()
    model = load_model(module, preprocess=Preprocess(size=SIZE))
    compute_cams(model, torch.zeros(1, 3, SIZE, SIZE), ["gradcam"])
    assert module.seen == {repr(but_torchs_random_state(process_wide()))}
    find_cost(module, (SIZE, SIZE))
    # torch has one flag for such modes in all threads; there are no hooks for all modules.
    assert all("[], [])" in each for each in module.seen)


# within a training loop


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


CONTEXTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "nothing": nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": partial(torch.set_grad_enabled, False),
    "autocast": partial(torch.autocast, "cpu", torch.bfloat16),
    "deterministic": deterministic,
    "anomaly": torch.autograd.detect_anomaly,
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_comparison_does_not_affect_the_surrounding_training(context: str) -> None:
    plain, watched = Training(), None
    for _ in range(4):
        plain.step()
    expected = plain.result()
    watched = Training()
    watched.module.features.register_forward_hook(lambda *_: None)
    for _ in range(4):
        watched.optimizer.zero_grad()
        watched.backward()
        gradients = [each.grad for each in watched.module.parameters()]
        with CONTEXTS[context]():
            before = facts(watched.module), here(), process_wide()
            look(watched.module, method=("gradcam", "ablationcam"))
            assert (facts(watched.module), here(), process_wide()) == before
        assert all(
            each.grad is held
            for each, held in zip(watched.module.parameters(), gradients, strict=True)
        )
        watched.backward()
        watched.optimizer.step()
    assert watched.result() == expected


@pytest.mark.parametrize("context", sorted(set(CONTEXTS) - {"autocast", "nothing"}))
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_surrounding_contexts_do_not_affect_a_comparison(context: str) -> None:
    module = Net()
    expected = [numbers(look(module)), numbers(look(by_name("test_resnet")))]
    with CONTEXTS[context]():
        assert [numbers(look(module)), numbers(look(by_name("test_resnet")))] == expected


def test_a_callers_autocast_changes_no_result() -> None:
    module = Net()
    methods = ("gradcam", "gradcam++", "eigencam", "scorecam", "ablationcam")
    for precision in ("fp32", "bf16"):
        expected = numbers(look(module, method=methods, precision=precision))
        with CONTEXTS["autocast"]():
            assert numbers(look(module, method=methods, precision=precision)) == expected


class Bypassed(Net):
    """Its scores do not depend on the target layer."""

    bypasses = False

    def forward(self, batch: Tensor) -> Tensor:
        if not self.bypasses:
            return super().forward(batch)
        self.features(batch)
        scores: Tensor = self.fc(batch.mean((1, 2))[:, : self.fc.in_features])
        return scores


def fail_by_target(module: Net) -> None:
    with pytest.raises(TargetError):
        look(module, target="no such class")


def fail_by_layer(module: Net) -> None:
    model = load_model(module, preprocess=Preprocess(size=SIZE))
    images = torch.zeros(1, 3, SIZE, SIZE)
    module.bypasses = True  # type: ignore[assignment]  # a flag, and no tensor
    try:
        with pytest.raises(LayerError, match="do not depend on"):
            compute_cams(model, images, ["gradcam"])
    finally:
        del module.bypasses


def fail_by(failure: BaseException, expected: type[BaseException], module: Net) -> None:
    model = load_model(module)
    module.failure = failure
    try:
        with pytest.raises(expected):
            look(model)
        with pytest.raises(expected):
            look(module)
    finally:
        module.failure = None


def fail_while_hooking(module: Net) -> None:
    model = load_model(module)
    register = nn.Module.register_forward_hook

    def interrupted(*arguments: Any) -> None:
        register(*arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Module, "register_forward_hook", interrupted)
        with pytest.raises(KeyboardInterrupt):
            look(model)


FAILURES: dict[str, Callable[[Net], None]] = {
    "target": fail_by_target,
    "layer": fail_by_layer,
    "error": partial(fail_by, RuntimeError("on purpose"), ModelError),
    "interrupt": partial(fail_by, KeyboardInterrupt(), KeyboardInterrupt),
    "interrupt while hooking": fail_while_hooking,
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_training_goes_on_after_a_comparison_that_failed(
    failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "Net", Bypassed)
    plain = Training()
    for _ in range(3):
        plain.step()
    expected = plain.result()
    watched = Training()
    for _ in range(3):
        watched.optimizer.zero_grad()
        watched.backward()
        before = facts(watched.module), here(), process_wide()
        FAILURES[failure](watched.module)
        assert (facts(watched.module), here(), process_wide()) == before
        watched.backward()
        watched.optimizer.step()
    assert watched.result() == expected


# random numbers

DRAWS: dict[str, Callable[[], Tensor]] = {
    "rand": lambda: torch.rand(9),
    "normal_": lambda: torch.empty(9).normal_(),
    "dropout": lambda: functional.dropout(torch.ones(90)),
    "a layer in training": lambda: nn.Dropout().train()(torch.ones(90)),
    "linear": lambda: nn.Linear(3, 3).weight.data,
    "attention": lambda: nn.MultiheadAttention(4, 2).in_proj_weight.data,
}


@pytest.mark.parametrize("draw", DRAWS)
def test_draws_of_a_model_are_repeatable_and_leave_other_generators(draw: str) -> None:
    torch.manual_seed(7)
    before = random_states()
    with IsolatedRandomness():
        first, second = DRAWS[draw](), DRAWS[draw]()
    assert random_states() == before
    torch.manual_seed(8)
    with IsolatedRandomness():
        assert torch.equal(DRAWS[draw](), first)
    assert not torch.equal(first, second), "each draw goes on where the one before it ended"
    torch.manual_seed(0)
    assert torch.equal(DRAWS[draw](), first), "they are what torch draws from the same seed"


def test_generators_are_left_alone_after_a_pass_that_draws_nothing() -> None:
    draws, drawing = IsolatedRandomness(), IsolatedRandomness()
    torch.manual_seed(7)
    outer = torch.get_rng_state()
    seeded = torch.Generator().manual_seed(0).get_state()
    for expected in (seeded, outer, outer):
        with draws.if_needed():
            assert torch.equal(torch.get_rng_state(), expected)
    with pytest.raises(ValueError, match="on purpose"), drawing.if_needed():
        raise ValueError("on purpose")
    for _ in range(2):
        with drawing.if_needed():
            assert not torch.equal(torch.get_rng_state(), outer)
            torch.rand(2)
    assert torch.equal(torch.get_rng_state(), outer)


def test_threads_with_random_numbers_of_their_own_wait_for_each_other() -> None:
    before = random_states()

    def draw() -> list[float]:
        with IsolatedRandomness():
            first = torch.rand(3).tolist()
            time.sleep(SHORT)
            return first + torch.rand(3).tolist()

    expected = draw()
    assert at_once(*[draw] * 3) == [expected] * 3
    assert random_states() == before


def test_a_constructor_of_the_callers_may_seed() -> None:
    def seeded() -> nn.Module:
        torch.manual_seed(3)
        return Net()

    before = random_states()
    found = load_model(ModelSpec("own", constructor=seeded)).module
    plain = load_model(ModelSpec("own", constructor=Net)).module
    assert random_states() == before
    assert values(found) == values(seeded().eval())
    torch.manual_seed(0)
    assert values(plain) == values(Net())


@pytest.mark.parametrize("draws", [True, False])
def test_a_model_may_seed_without_effect_outside(draws: bool) -> None:
    class Seeding(Net):
        def forward(self, batch: Tensor) -> Tensor:
            torch.manual_seed(3)
            scores = super().forward(batch)
            return scores + torch.rand(5) if draws else scores

    module, batches = Seeding(), [torch.rand(2, 3, SIZE, SIZE) for _ in range(2)]
    model = load_model(module, preprocess=Preprocess(size=SIZE))
    before = random_states()
    with explaining(model) as explain:
        found = [explain(batch, ["gradcam"]).probabilities for batch in batches]
    assert random_states() == before
    for batch, each in zip(batches, found, strict=True):
        np.testing.assert_array_equal(each, module.eval()(batch).softmax(1).detach().numpy())


@pytest.mark.parametrize("for_real", [True, False])
def test_a_trace_draws_nothing_of_the_callers(for_real: bool) -> None:
    class Reading(Drawing):
        def forward(self, batch: Tensor) -> Tensor:
            return super().forward(batch) + (float(batch.sum()) if for_real else 0)

    module = Reading()
    COSTS._found.clear()
    before = random_states()
    trace(module, (SIZE, SIZE))
    find_cost(module, (SIZE, SIZE))
    assert random_states() == before


@pytest.mark.gpu
def test_the_gpus_random_state_is_left_alone() -> None:
    torch.cuda.manual_seed(5)
    torch.rand(1, device="cuda")
    before = torch.cuda.get_rng_state()
    look([by_name("test_resnet"), ModelSpec("own", constructor=Net)])
    look(Drawing().cuda())
    assert torch.equal(torch.cuda.get_rng_state(), before)


# in the workers of a DataLoader

FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""Python 3.12 warns of what these tests are about."""


class Inputs(Dataset[Tensor]):
    """Photos as a model's input, prepared in the workers."""

    def __init__(self, refs: list[ImageRef], preprocess: Preprocess) -> None:
        self.refs, self.preprocess = refs, preprocess

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Tensor:
        return self.preprocess(self.refs[index].open())[0]


class Maps(Dataset[Tensor]):
    """Heatmaps, computed in the workers."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __len__(self) -> int:
        return len(PHOTOS)

    def __getitem__(self, index: int) -> Tensor:
        cell = compare(PHOTOS[index], self.model, view="whole", size=SIZE, progress=False)[0, 0]
        return torch.from_numpy(cell.heatmap)


def tell_where_it_hangs(_worker: int) -> None:
    faulthandler.dump_traceback_later(0.8 * PATIENCE, file=sys.__stderr__)


def load(dataset: Dataset[Tensor]) -> list[Tensor]:
    loader = DataLoader(
        dataset,
        num_workers=2,
        multiprocessing_context="fork",
        timeout=PATIENCE,
        batch_size=None,
        worker_init_fn=tell_where_it_hangs,
    )
    return list(loader)


@FORKS
def test_photos_are_opened_and_preprocessed_in_forked_workers(tmp_path: Path) -> None:
    for position, photo in enumerate(PHOTOS):
        picture = next(iter_images(photo)).open()
        picture.save(tmp_path / f"{position}.png")
    refs = list(iter_images(tmp_path))
    dataset = Inputs(refs, Preprocess(size=SIZE))
    look(Net())
    expected = [dataset[index] for index in range(len(refs))]
    found = load(dataset)
    assert len(found) == len(expected) == 3
    assert all(map(torch.equal, found, expected))


@FORKS
@pytest.mark.parametrize("model", [by_name("test_resnet"), Net().train()], ids=["name", "module"])
def test_forked_workers_compare_too(model: Any) -> None:
    expected = [torch.from_numpy(cell.heatmap) for cell in look(model)]
    for found, each in zip(load(Maps(model)), expected, strict=True):
        # Workers have one thread each, which may change the order of sums.
        torch.testing.assert_close(found, each, rtol=1e-4, atol=1e-6)


@FORKS
def test_workers_forked_while_threads_compare_do_not_hang() -> None:
    module, other, stop = Net(), Net(4), threading.Event()
    model = load_model(module, preprocess=Preprocess(size=SIZE))
    held, release = threading.Event(), threading.Event()

    # Modules that draw their weights would not do: a fork meanwhile makes torch itself hang.
    built = ModelSpec(
        "built", constructor=lambda: copy.deepcopy(other), preprocess=Preprocess(size=SIZE)
    )

    def work() -> None:
        while not stop.is_set():
            look([built, copy.deepcopy(other)])

    def hold() -> None:
        # An object in use in the parent is free in the child.
        with explaining(model), exclusive([SpecSource]):
            held.set()
            release.wait(PATIENCE)

    expected = [torch.from_numpy(cell.heatmap) for cell in look(module)]
    # A fork during an import in a thread would leave the import lock taken.
    look([built, by_name("test_resnet")])
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            found = load(Maps(by_name("test_resnet")))
            assert [each.shape for each in found] == [(2, 2)] * 3
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(PATIENCE)
    try:
        load(Maps(by_name("test_resnet")))
        found = load(Maps(module))
    finally:
        release.set()
        holder.join(PATIENCE)
    for each, map_ in zip(found, expected, strict=True):
        torch.testing.assert_close(each, map_, rtol=1e-4, atol=1e-6)


SPAWNING = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from effcam import ModelSpec, Preprocess, compare
from effcam.images import iter_images

class Both(Dataset):
    def __init__(self):
        photos = [np.random.default_rng(seed).random((48, 72, 3)) for seed in range(3)]
        self.refs, self.preprocess = list(iter_images(photos)), Preprocess(size=64)
        self.spec = ModelSpec("test_resnet", pretrained=False)
    def __len__(self):
        return 3
    def __getitem__(self, index):
        found = compare(self.refs[index], self.spec, view="whole", size=64, progress=False)
        return self.preprocess(self.refs[index].open())[0], torch.from_numpy(found[0, 0].heatmap)

if __name__ == "__main__":
    torch.set_num_threads(1)
    both = Both()
    loader = DataLoader(both, num_workers=2, multiprocessing_context="spawn", timeout=200,
                        batch_size=None)
    for index, found in enumerate(loader):
        assert all(map(torch.equal, found, both[index]))
    print("equal")
"""


def run(script: Path, *arguments: str, **environment: str) -> str:
    """Return the output of a script in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_spawned_workers_do_the_same(tmp_path: Path) -> None:
    script = tmp_path / "spawning.py"
    script.write_text(SPAWNING, encoding="utf-8")
    assert run(script) == "equal\n"


# the same run twice

AGAIN = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from effcam import ModelSpec, compare, demo, load_model

def run(folder):
    names = ["resnet18", "mobilenetv3_small_050", "test_vit", "torchvision:squeezenet1_1"]
    models = [*(ModelSpec(name, pretrained=False) for name in names[:3]), "demo_resnet"]
    for name in names:
        state = load_model(name, pretrained=False, device="cpu").module.state_dict()
        digest = hashlib.sha256(b"".join(each.numpy().tobytes() for each in state.values()))
        yield name, digest.hexdigest()
    folder.mkdir()
    photos = [np.random.default_rng(seed).random((48, 72, 3)) for seed in range(2)]
    found = compare([*photos, *demo.scenes(1, seed=3)], models[:2] + models[3:], size=96,
                    method=("gradcam", "eigencam", "layercam"), device="cpu", progress=False)
    for suffix in (".png", ".gif", ".json", ".npz", ".csv"):
        path = found.save(folder / f"found{suffix}")
        data = path.read_bytes()
        if suffix == ".json":
            content = json.loads(data)
            for each in content["models"]:
                assert each.pop("seconds") > 0
            data = json.dumps(content).encode()
        if suffix == ".npz":
            with np.load(path) as arrays:
                data = b"".join(key.encode() + arrays[key].tobytes() for key in arrays)
        yield suffix, hashlib.sha256(data).hexdigest()

for position in range(2):
    print(json.dumps(list(run(Path(sys.argv[1]) / str(position)))))
"""


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "again.py"
    script.write_text(AGAIN, encoding="utf-8")
    found = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        found += run(script, str(folder), PYTHONHASHSEED=seed).splitlines()
    assert len(found) == 4
    assert set(found) == {found[0]}


def test_the_same_comparison_gives_the_same_pictures(tmp_path: Path) -> None:
    digests = set()
    for position in range(2):
        torch.manual_seed(position)
        found = look([by_name("test_resnet"), by_name("test_vit")], method=("gradcam", "eigencam"))
        files = [found.save(tmp_path / f"{position}{suffix}") for suffix in (".png", ".gif")]
        digests.add(tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))
    assert len(digests) == 1


# effcam's own threads


def own_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("effcam")]


def test_no_thread_outlives_a_comparison(tmp_path: Path) -> None:
    seen: list[str] = []
    module = Net()
    module.fc.register_forward_hook(lambda *_: seen.extend(own_threads()))
    look(module, batch_size=1)
    assert seen, "there are threads to end"
    assert own_threads() == []
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.raises(ImageError):
        compare([*PHOTOS, bad, *PHOTOS], module, batch_size=1, progress=False)
    assert own_threads() == []


@pytest.mark.parametrize("failure", FAILURES)
def test_no_thread_outlives_a_comparison_that_failed(failure: str) -> None:
    FAILURES[failure](Bypassed())
    assert own_threads() == []


def test_a_pass_in_mixed_precision_is_set_aside() -> None:
    """What accelerate puts in place of a network's pass, as `Accelerator.prepare` does."""
    net = nn.Linear(4, 3)
    usual = net.forward

    def in_bf16(inputs: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return usual(inputs)

    net._original_forward = usual  # type: ignore[assignment]
    net.forward = in_bf16  # type: ignore[method-assign]
    inputs = torch.rand(2, 4)
    with untouched(net):
        assert net(inputs).dtype == torch.float32
    assert net(inputs).dtype == torch.bfloat16
    assert net.forward is in_bf16
