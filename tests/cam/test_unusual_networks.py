"""Networks that run in unusual ways: the same maps, or one line that names the cause."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from effcam import Preprocess, load_model
from effcam.cam.explain import Cams, compute_cams
from effcam.cam.predict import predicting
from effcam.errors import EffcamError, LayerError, ModelError
from effcam.models.tracing.closed_parts import is_exported
from effcam.models.tracing.isolation import is_script

SIZE = 32
PREPROCESS = Preprocess(size=SIZE)
GRADIENT_FREE = ("eigencam", "scorecam", "ablationcam")
METHODS = ("gradcam", *GRADIENT_FREE)
WAYS_OUT = r'. method="eigencam", "scorecam" and "ablationcam" need no gradients$'

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization"),
    pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions"),
]


class Net(nn.Module):
    """A stem, a body, a neck whose output is the default target layer, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 4, 4), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(6, 8, 3, 1, 1), nn.ReLU(inplace=True))
        self.neck = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(8, 5)

    def maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.neck(self.body(self.stem(images)))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.maps(images).mean((2, 3)))
        return scores


def net(forward: Callable[[Net, Tensor], Tensor] | None = None) -> Net:
    """Return a net, with another forward pass in place of its own."""
    made = Net().eval()
    if forward is not None:
        made.forward = partial(forward, made)  # type: ignore[method-assign]
    return made


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def cams_of(module: nn.Module, methods: Any = METHODS, **options: Any) -> Cams:
    model = load_model(module, preprocess=PREPROCESS, **options)
    return compute_cams(model, images(), methods, [1, 3])


def assert_same(cams: Cams, expected: Cams) -> None:
    np.testing.assert_allclose(cams.probabilities, expected.probabilities, atol=1e-6)
    for method, maps in cams.maps.items():
        np.testing.assert_allclose(maps, expected.maps[method], atol=1e-5)


def state_of(module: nn.Module) -> list[object]:
    """Return what must not change of a module: modes, attributes, hooks, gradients, numbers."""
    found: list[object] = []
    for each in module.modules():
        own = {name: value for name, value in vars(each).items() if name != "training"}
        found.append(
            (getattr(each, "training", None), [(name, id(value)) for name, value in own.items()])
        )
        found.append([(name, list(value)) for name, value in own.items() if type(value) is dict])
        found.append([list(value) for name, value in own.items() if name.endswith("_hooks")])
    found += [(id(each), each.requires_grad, each.grad) for each in module.parameters()]
    found += [each.tolist() for each in module.buffers()]
    return found


def compiled_in_place(module: Net) -> None:
    module.compile(backend="eager")


def compiled_parts_in_place(module: Net) -> None:
    for part in (module.stem, module.neck, module.neck[0]):
        part.compile(backend="eager")


def compiled_part(module: Net) -> None:
    module.neck = torch.compile(module.neck, backend="eager")  # type: ignore[assignment]


def compiled_forward(module: Net) -> None:
    module.forward = torch.compile(module.forward, backend="eager")  # type: ignore[method-assign]


def compiled_function(module: Net) -> None:
    head = torch.compile(lambda maps: module.fc(module.neck(maps).mean((2, 3))), backend="eager")
    module.forward = lambda batch: head(module.body(module.stem(batch)))  # type: ignore[method-assign]


def scripted_body(module: Net) -> None:
    module.body = torch.jit.script(module.body)


def scripted_neck(module: Net) -> None:
    module.neck = torch.jit.script(module.neck)


def traced_neck(module: Net) -> None:
    module.neck = torch.jit.trace(module.neck, torch.rand(2, 8, 8, 8))  # type: ignore[assignment]


def frozen_neck(module: Net) -> None:
    module.neck = torch.jit.freeze(torch.jit.script(module.neck))  # type: ignore[assignment]


def scripted_head(module: Net) -> None:
    module.fc = torch.jit.script(module.fc)


def exported_neck(module: Net) -> None:
    module.neck = exported(module.neck, torch.rand(2, 8, 8, 8))  # type: ignore[assignment]


def frozen_weights(module: Net) -> None:
    """Keep all weights as buffers."""
    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, weight.detach())


def exported(module: nn.Module, example: Tensor, *, any_batch: bool = True) -> nn.Module:
    shapes = ({0: torch.export.Dim("batch")},) if any_batch else None
    made: nn.Module = torch.export.export(module, (example,), dynamic_shapes=shapes).module()
    return made


CHANGES = (
    *(compiled_in_place, compiled_parts_in_place, compiled_part, compiled_forward),
    *(compiled_function, scripted_body, scripted_neck, traced_neck, frozen_neck, scripted_head),
    *(exported_neck, frozen_weights),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_compiled_scripted_and_exported_parts_make_no_difference(
    change: Callable[[Net], None],
) -> None:
    module = net()
    change(module)
    module.stem.train()
    before = state_of(module)
    model = load_model(module, preprocess=PREPROCESS)
    assert model.target_layer == "neck"
    assert_same(compute_cams(model, images(), METHODS, [1, 3]), cams_of(net()))
    with predicting(model) as predict:
        assert predict(images()).shape == (2, 5)
    assert state_of(module) == before


def test_a_compiled_network_is_compiled_again_afterwards() -> None:
    graphs: list[object] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    module = net()
    module.compile(backend=backend)
    with torch.no_grad():
        expected = net()(images())
        cams_of(module)
        assert graphs == []
        assert torch.equal(module(images()), expected)
    assert len(graphs) == 1


class Rest(nn.Module):
    """All of a net after its stem."""

    def __init__(self) -> None:
        super().__init__()
        whole = Net()
        self.body, self.neck, self.fc = whole.body, whole.neck, whole.fc

    def forward(self, maps: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.neck(self.body(maps)).mean((2, 3)))
        return scores


def test_features_inside_a_closed_part_are_refused_with_ways_out() -> None:
    stem = nn.Sequential(nn.Conv2d(3, 6, 4, 4), nn.ReLU())
    for rest, kind in (
        (torch.jit.script(Rest().eval()), "TorchScript"),
        (exported(Rest().eval(), torch.rand(2, 6, 8, 8)), "an exported graph"),
    ):
        module = nn.Sequential(stem, rest)
        with pytest.raises(LayerError, match=rf"are inside '1', which is {kind}: put the nn\.Mod"):
            load_model(module, preprocess=PREPROCESS)
        with pytest.raises(LayerError, match=r"Inside '1', .*, no layers can be looked at"):
            load_model(module, preprocess=PREPROCESS, target_layer="1.neck")
        assert cams_of(module, target_layer="0").states["gradcam"] == ["ok", "ok"]


def test_a_network_that_is_closed_as_a_whole_is_refused_as_such() -> None:
    for whole, kind in (
        (copy.deepcopy(torch.jit.script(net())), "TorchScript"),
        (exported(net(), images()), "an exported graph"),
    ):
        with pytest.raises(LayerError, match=rf"Inside '0', which is {kind}, no layers can be"):
            load_model(nn.Sequential(whole), preprocess=PREPROCESS)


def test_an_exported_network_is_taken_apart() -> None:
    module = exported(net(), torch.rand(2, 3, SIZE, SIZE))
    assert is_exported(module)
    before = state_of(module)
    model = load_model(module)
    assert (model.target_layer, model.preprocess.size) == ("neck", (SIZE, SIZE))
    assert_same(compute_cams(model, images(), METHODS, [1, 3]), cams_of(net()))
    assert state_of(module) == before
    assert {each.data_ptr() for each in model.module.parameters()} == {
        each.data_ptr() for each in module.parameters()
    }


def test_a_network_exported_for_one_batch_is_refused() -> None:
    module = exported(net(), torch.rand(2, 3, SIZE, SIZE), any_batch=False)
    with pytest.raises(ModelError, match=r"was exported for batches of exactly 2: export it with"):
        load_model(module)


def checkpointed(module: Net, batch: Tensor, *, reentrant: bool) -> Tensor:
    def outer(maps: Tensor) -> Tensor:
        return module.neck(checkpoint(module.body, maps, use_reentrant=reentrant))  # type: ignore[no-any-return]

    maps: Any = checkpoint(outer, module.stem(batch), use_reentrant=reentrant)
    return checkpoint(module.fc, maps.mean((2, 3)), use_reentrant=reentrant)  # type: ignore[return-value]


@pytest.mark.parametrize("layer", ["neck.0", None, "body", "stem"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_makes_no_difference(reentrant: bool, layer: str | None) -> None:
    module = net(partial(checkpointed, reentrant=reentrant))
    before = state_of(module)
    methods = ("gradcam", "gradcam++")
    assert_same(
        cams_of(module, methods, target_layer=layer), cams_of(net(), methods, target_layer=layer)
    )
    assert state_of(module) == before


def test_timms_checkpointing_makes_no_difference() -> None:
    torch.manual_seed(0)
    module = timm.create_model("test_vit", img_size=SIZE, num_classes=5).eval()
    expected = cams_of(module, ["gradcam"])
    module.set_grad_checkpointing(True)
    assert_same(cams_of(module, ["gradcam"]), expected)


def under_no_grad(module: Net, batch: Tensor) -> Tensor:
    with torch.no_grad():
        features = module.maps(batch).mean((2, 3))
    return module.fc(features)  # type: ignore[no-any-return]


def body_under_no_grad(module: Net, batch: Tensor) -> Tensor:
    with torch.no_grad():
        maps = module.body(module.stem(batch))
    return module.fc(module.neck(maps).mean((2, 3)))  # type: ignore[no-any-return]


@torch.no_grad()
def all_under_no_grad(module: Net, batch: Tensor) -> Tensor:
    return Net.forward(module, batch)


def switched_off(module: Net, batch: Tensor) -> Tensor:
    torch.set_grad_enabled(False)
    return Net.forward(module, batch)


@pytest.mark.parametrize(
    "forward", [under_no_grad, body_under_no_grad, all_under_no_grad, switched_off]
)
def test_a_frozen_body_makes_no_difference(forward: Callable[[Net, Tensor], Tensor]) -> None:
    assert_same(cams_of(net(forward)), cams_of(net()))
    assert torch.is_grad_enabled()


def pooled_under_no_grad(module: Net, batch: Tensor) -> Tensor:
    maps = module.maps(batch)
    with torch.no_grad():
        features = maps.mean((2, 3))
    return module.fc(features)  # type: ignore[no-any-return]


def detached(module: Net, batch: Tensor) -> Tensor:
    return module.fc(module.maps(batch).detach().mean((2, 3)))  # type: ignore[no-any-return]


def by_numpy(module: Net, batch: Tensor) -> Tensor:
    maps = torch.from_numpy(module.maps(batch).detach().numpy())
    return module.fc(maps.mean((2, 3)))  # type: ignore[no-any-return]


def in_inference_mode(module: Net, batch: Tensor) -> Tensor:
    with torch.inference_mode():
        features = module.maps(batch).mean((2, 3))
    return module.fc(features.clone())  # type: ignore[no-any-return]


def pooled_in_inference_mode(module: Net, batch: Tensor) -> Tensor:
    maps = module.maps(batch)
    with torch.inference_mode():
        features = maps.mean((2, 3))
    return module.fc(features.clone())  # type: ignore[no-any-return]


STOPS: dict[str, tuple[Callable[[Net, Tensor], Tensor], str]] = {
    "no_grad": (pooled_under_no_grad, r"in between, the forward pass runs under torch.no_grad\(\)"),
    "detach": (detached, r"in between, the forward pass calls detach\(\)"),
    "NumPy": (by_numpy, r"in between, the forward pass calls detach\(\)"),
    "inference_mode": (in_inference_mode, r"it runs under torch.inference_mode\(\)"),
    "inference_mode after it": (
        pooled_in_inference_mode,
        r"in between, the forward pass runs under torch.inference_mode\(\)",
    ),
}


@pytest.mark.parametrize("way", STOPS)
def test_a_gradient_that_is_stopped_is_refused_with_the_cause(way: str) -> None:
    forward, cause = STOPS[way]
    module = net(forward)
    before = state_of(module)
    start = r"^no gradient gets from the class scores to layer 'neck': "
    with pytest.raises(LayerError, match=start + cause + WAYS_OUT) as raised:
        cams_of(module, ["gradcam"])
    assert len(str(raised.value)) < 300
    assert_same(cams_of(module, GRADIENT_FREE), cams_of(net(), GRADIENT_FREE))
    assert state_of(module) == before


class Cut(torch.autograd.Function):
    """Has no derivative."""

    @staticmethod
    def forward(_ctx: object, maps: Tensor) -> Tensor:
        return maps.clone()

    @staticmethod
    def backward(_ctx: object, *_gradients: object) -> None:
        return None


def cut(module: Net, batch: Tensor) -> Tensor:
    maps: Any = Cut.apply(module.maps(batch))  # type: ignore[no-untyped-call]
    return module.fc(maps.mean((2, 3)))  # type: ignore[no-any-return]


def test_an_operation_without_derivative_is_named_as_such() -> None:
    with pytest.raises(LayerError, match=r"an operation in between has none" + WAYS_OUT):
        cams_of(net(cut), ["gradcam"])


def test_tokens_of_a_frozen_body_are_found() -> None:
    """The graph of the trace shows whether the head reads cells, also where the pass cuts it."""
    torch.manual_seed(0)
    vit = timm.create_model("test_vit", img_size=SIZE, num_classes=5, global_pool="avg").eval()

    class Probe(nn.Module):
        def __init__(self, way: str) -> None:
            super().__init__()
            self.vit, self.fc, self.way = vit, nn.Linear(vit.num_features, 5), way
            self.vit.global_pool = None  # nothing states the pooling

        def forward(self, batch: Tensor) -> Tensor:
            if self.way == "no_grad":
                with torch.no_grad():
                    tokens = self.vit.forward_features(batch)
            else:
                tokens = self.vit.forward_features(batch).detach()
            return self.fc(tokens[:, 1:].mean(1))  # type: ignore[no-any-return]

    for way in ("no_grad", "detach"):
        assert load_model(Probe(way), preprocess=PREPROCESS).target_layer == "vit.blocks"


def quantised(module: Net, *parts: type) -> nn.Module:
    made: nn.Module = torch.ao.quantization.quantize_dynamic(module, set(parts))
    return made


def test_a_quantised_head_is_named_and_can_be_explained_without_gradients() -> None:
    module = quantised(net(), nn.Linear)
    model = load_model(module, preprocess=PREPROCESS)
    with pytest.raises(EffcamError, match=r"quantised.*" + WAYS_OUT):
        compute_cams(model, images(), ["gradcam"])
    cams = compute_cams(model, images(), GRADIENT_FREE, [1, 3])
    np.testing.assert_allclose(
        cams.maps["eigencam"], cams_of(net(), ["eigencam"]).maps["eigencam"], atol=1e-5
    )
    for method in ("scorecam", "ablationcam"):
        correlation = np.corrcoef(
            cams.maps[method].ravel(), cams_of(net(), [method]).maps[method].ravel()
        )
        assert correlation[0, 1] > 0.95


class Partly(Net):
    """A net of which quantised layers compute a part of the scores."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.quantise = torch.ao.nn.quantized.Quantize(0.01, 0, torch.quint8)
        self.second = quantised(nn.Sequential(nn.Linear(8, 5)), nn.Linear)

    def forward(self, batch: Tensor) -> Tensor:
        maps = self.maps(batch)
        if self.way == "head":
            other = self.second(maps.mean((2, 3)))
        else:
            other = self.fc(self.quantise(maps).dequantize().mean((2, 3)))
        scores: Tensor = self.fc(maps.mean((2, 3))) + other
        return scores


@pytest.mark.parametrize("way", ["head", "maps"])
def test_a_gradient_of_a_part_of_the_scores_is_refused(way: str) -> None:
    with pytest.raises(LayerError, match=r"the model is quantised, as at '\w+" + ".*" + WAYS_OUT):
        cams_of(Partly(way).eval(), ["gradcam"])
    for method in ("inputxgradient", "integratedgradients", "smoothgrad"):
        with pytest.raises(ModelError, match=r"input: the model is quantised, as at '\w+"):
            cams_of(Partly(way).eval(), [method])


class Prepared(Net):
    """A net as torch's static quantisation needs it."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = (
            torch.ao.quantization.QuantStub(),
            torch.ao.quantization.DeQuantStub(),
        )

    def forward(self, batch: Tensor) -> Tensor:
        features = self.maps(self.quant(batch)).mean((2, 3))
        scores: Tensor = self.dequant(self.fc(features))
        return scores


def test_a_network_of_integers_can_be_explained_without_gradients() -> None:
    module = Prepared().eval()
    torch.ao.quantization.fuse_modules(module.stem, ["0", "1", "2"], inplace=True)
    module.qconfig = torch.ao.quantization.get_default_qconfig("onednn")  # type: ignore[assignment]
    torch.ao.quantization.prepare(module, inplace=True)
    module(images(8))
    torch.ao.quantization.convert(module, inplace=True)
    assert not list(module.parameters())
    model = load_model(module, preprocess=PREPROCESS)
    assert model.target_layer == "neck"
    with pytest.raises(LayerError, match=r"to layer 'neck': it is quantised \(torch\.quint8\)"):
        compute_cams(model, images(), ["gradcam"])
    found, expected = compute_cams(model, images(), GRADIENT_FREE, [1, 3]), cams_of(net())
    for method in GRADIENT_FREE:
        pair = found.maps[method].ravel(), expected.maps[method].ravel()
        assert np.corrcoef(*pair)[0, 1] > 0.95


def test_a_network_on_the_meta_device_is_refused() -> None:
    with torch.device("meta"):
        module = net()
    with pytest.raises(
        ModelError, match=r"^Net has weights on the meta device, which holds shapes"
    ):
        load_model(module)
    assert load_model(module, preprocess=PREPROCESS, device="meta").target_layer == "neck"
    partly = net()
    partly.fc.to("meta")
    with pytest.raises(ModelError, match=r"^Net has weights on the meta device"):
        load_model(partly)


def test_the_parts_that_tests_need_are_of_their_kind() -> None:
    scripted, plain = net(), net()
    scripted_neck(scripted)
    assert is_script(scripted.neck)
    assert not is_script(plain.neck)
    assert not is_exported(torch.fx.symbolic_trace(plain))
