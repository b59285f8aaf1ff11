"""Users' own models, wrapped in many ways: the heat is that of the bare network."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from effcam import Explanation, ModelSpec, Preprocess, compare, load_model
from effcam.cam.explain import compute_cams
from effcam.errors import ModelError, WeightsError
from effcam.images.geometry import Box
from tests.nets import ConvNet, DistributedDataParallel

SIZE = 32
PREPROCESS = Preprocess(size=SIZE)
PHOTO = np.random.default_rng(0).random((40, 60, 3))


def network(classes: int = 4, channels: int = 3) -> ConvNet:
    torch.manual_seed(0)
    return ConvNet(classes, channels)


def batch(channels: int = 3) -> Tensor:
    return torch.randn(2, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def maps_of(module: nn.Module, **options: Any) -> np.ndarray:
    model = load_model(module, preprocess=PREPROCESS, **options)
    return compute_cams(model, batch(model.preprocess.channels), ["gradcam"], [1, 0]).maps[
        "gradcam"
    ]


def cell_of(module: nn.Module, photo: Any = PHOTO, **options: Any) -> Explanation:
    """Return the one cell of a comparison."""
    (cell,) = compare(photo, [module], progress=False, **options)
    return cell


def state_of(module: nn.Module) -> tuple[list[object], dict[str, Tensor]]:
    """Return what must not change: settings, and the values of all tensors."""
    settings: list[object] = [
        (
            each.training,
            sorted(vars(each)),
            len(each._forward_hooks) + len(each._forward_pre_hooks) + len(each._backward_hooks),
            [(name, id(value)) for name, value in each.named_parameters(recurse=False)],
            [(name, id(value)) for name, value in each.named_buffers(recurse=False)],
        )
        for each in module.modules()
    ]
    settings += [(each.requires_grad, each.grad) for each in module.parameters()]
    return settings, {name: value.clone() for name, value in module.state_dict().items()}


def assert_untouched(module: nn.Module, before: tuple[list[object], dict[str, Tensor]]) -> None:
    settings, state = state_of(module)
    assert settings == before[0]
    assert state.keys() == before[1].keys()
    assert all(torch.equal(value, before[1][name]) for name, value in state.items())


class Returning(nn.Module):
    """Returns its network's scores in another form."""

    def __init__(self, inner: nn.Module, form: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.inner, self.form = inner, form

    def forward(self, images: Tensor) -> object:
        return self.form(self.inner(images))


class ModelOutput(OrderedDict[str, Any]):
    """The output of Hugging Face's models: a mapping with its keys as attributes."""

    def __init__(self, **fields: object) -> None:
        super().__init__({name: value for name, value in fields.items() if value is not None})
        for name, value in self.items():
            setattr(self, name, value)


@dataclass
class Record:
    hidden: Tensor
    logits: Tensor
    loss: Tensor | None = None


FORMS: dict[str, Callable[[Tensor], object]] = {
    "ModelOutput": lambda scores: ModelOutput(loss=None, logits=scores),
    "object": lambda scores: Record(scores.new_zeros(len(scores), 9), scores),
    "mapping": lambda scores: {"scores": scores, "features": scores.new_zeros(len(scores), 9)},
    "tuple": lambda scores: (scores.new_zeros(len(scores), 9, 2, 2), scores),
    "tuple with an auxiliary head": lambda scores: (scores, 2 * scores),
    "tuple after a loss": lambda scores: (scores.sum(), scores),
    "list": lambda scores: [scores],
    "cells of one": lambda scores: scores[:, :, None, None],
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_output_makes_no_difference(form: str) -> None:
    module = Returning(network(), FORMS[form]).train()
    before = state_of(module)
    assert np.array_equal(maps_of(module), maps_of(network()))
    assert cell_of(module, size=SIZE).probability == cell_of(network(), size=SIZE).probability
    assert_untouched(module, before)


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "parallel": nn.DataParallel,
    "distributed": DistributedDataParallel,
    "averaged": AveragedModel,
    "compiled": lambda module: torch.compile(module, backend="eager"),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_wrappers_make_no_difference(kind: str) -> None:
    module = WRAPPERS[kind](network()).train()
    before = state_of(module)
    model = load_model(module, preprocess=PREPROCESS)
    assert type(model.module) is ConvNet
    assert (model.name, model.target_layer) == (type(module).__name__, "features")
    assert np.array_equal(maps_of(module), maps_of(network()))
    assert np.array_equal(maps_of(module, target_layer="module.features"), maps_of(network()))
    assert_untouched(module, before)


class Accuracy(nn.Module):
    """A metric that counts in a buffer, as those of torchmetrics."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, scores: Tensor) -> None:
        self.seen += len(scores)


class Training(nn.Module):
    """A network with its loss and metrics, as in Lightning's modules."""

    def __init__(self, net: nn.Module, name: str = "net") -> None:
        super().__init__()
        self.loss = nn.CrossEntropyLoss(torch.ones(4))
        self.accuracy = Accuracy()
        self.ema_model = copy.deepcopy(net)
        self.name = name
        self.add_module(name, net)

    @property
    def trainer(self) -> object:
        raise RuntimeError("it is not attached to a trainer")

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.get_submodule(self.name)(images)
        self.accuracy(scores)
        return scores


@pytest.mark.parametrize("name", ["model", "net", "backbone"])
def test_a_training_module_is_traced_and_left_unchanged(name: str) -> None:
    module = Training(network(), name).train()
    module.accuracy.eval()
    for parameter in module.ema_model.parameters():
        parameter.requires_grad_(False)
    module.loss.weight.requires_grad_(True)
    before = state_of(module)
    assert load_model(module, preprocess=PREPROCESS).target_layer == f"{name}.features"
    assert np.array_equal(maps_of(module), maps_of(network()))
    cell_of(module, size=SIZE)
    assert_untouched(module, before)
    assert module.accuracy.seen == 0


def test_a_module_that_fails_is_left_unchanged() -> None:
    class Failing(Training):
        def forward(self, images: Tensor) -> Tensor:
            super().forward(images)
            raise RuntimeError("no more")

    module = Failing(network()).train()
    before = state_of(module)
    with pytest.raises(ModelError, match=r"Failing: the model does not run on .*: no more"):
        cell_of(module)
    assert_untouched(module, before)


def with_config(module: nn.Module) -> nn.Module:
    labels = {0: "ant", 1: "bee", 2: "cow", 3: "dog"}
    module.config = SimpleNamespace(image_size=SIZE, id2label=labels)
    return module


class FixedSize(ConvNet):
    """Takes images of 32 x 32 px only, as networks without global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12 * 8 * 8, 4)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.features(images).flatten(1))
        return scores


@pytest.mark.parametrize("wrap", [lambda module: module, Training], ids=["bare", "training"])
def test_a_config_states_the_input_size_and_the_labels(wrap: Callable[..., nn.Module]) -> None:
    model = load_model(wrap(with_config(FixedSize())))
    assert model.preprocess.size == (SIZE, SIZE)
    assert model.labels == ("ant", "bee", "cow", "dog")
    cell = cell_of(wrap(with_config(FixedSize())), target="bee")
    assert (cell.label, cell.target, cell.heatmap.shape) == ("bee", 1, (8, 8))


def test_labels_of_other_classes_are_left_out() -> None:
    assert load_model(with_config(network(classes=3))).labels == ("class 0", "class 1", "class 2")


LOGITS: dict[str, Callable[[Tensor], Tensor]] = {
    "column": lambda scores: scores,
    "row": lambda scores: scores[:, 0],
    "cells of one": lambda scores: scores[:, :, None, None],
    "squeezed": lambda scores: scores.squeeze(),
}


@pytest.mark.parametrize("form", LOGITS)
def test_a_single_logit_makes_two_classes(form: str) -> None:
    bare = network(classes=1)
    module = Returning(bare, LOGITS[form])
    model = load_model(module, preprocess=PREPROCESS, labels=["no", "yes"])
    cams = compute_cams(model, batch(), ["gradcam"])
    with torch.no_grad():
        presence = bare.eval()(batch())[:, 0].sigmoid()
    expected = torch.stack([1 - presence, presence], dim=1)
    np.testing.assert_allclose(cams.probabilities, expected, atol=1e-6)
    assert cams.targets.tolist() == (presence > 0.5).long().tolist()


@pytest.mark.parametrize("form", LOGITS)
def test_a_single_logits_comparison_has_a_cell_for_each_side(form: str) -> None:
    module = Returning(network(classes=1), LOGITS[form])
    sides = [cell_of(module, size=SIZE, target=target) for target in (0, 1)]
    assert sum(cell.probability for cell in sides) == pytest.approx(1)
    assert {cell.predicted_label for cell in sides} <= {"class 0", "class 1"}


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize(
    ("method", "reference"), [("gradcam", GradCAM), ("gradcam++", GradCAMPlusPlus)]
)
def test_maps_of_a_single_logit_are_grad_cams_for_both_classes(
    method: str, reference: type[GradCAM], target: int
) -> None:
    module = network(classes=1).eval()
    model = load_model(module, preprocess=PREPROCESS)
    ours = compute_cams(model, batch(), [method], [target] * 2).maps[method]
    cam = reference(module, [module.features], reshape_transform=torch.clone)
    try:
        theirs = cam(batch(), [BinaryClassifierOutputTarget(target)] * 2)
    finally:
        cam.activations_and_grads.release()
    assert theirs.max() > 0.9
    for heat, expected in zip(ours, theirs, strict=True):
        spread, _ = Box(0, 0, SIZE, SIZE).spread(heat, SIZE, SIZE)
        scaled = (spread - spread.min()) / np.ptp(spread)
        np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_the_two_sides_of_a_logit_share_the_evidence_out() -> None:
    module = network(classes=1).eval()
    model = load_model(module, preprocess=PREPROCESS)
    absence, presence = (
        compute_cams(model, batch(), ["gradcam"], [target] * 2).maps["gradcam"] for target in (0, 1)
    )
    with torch.no_grad():
        features = module.features(batch())
        evidence = torch.einsum("c,bchw->bhw", module.fc.weight[0], features) / (8 * 8)
    np.testing.assert_allclose(presence - absence, evidence, atol=1e-6)
    assert not (presence * absence).any()


def test_a_network_for_greyscale_gets_greyscale() -> None:
    module = network(channels=1)
    model = load_model(module)
    assert model.preprocess.channels == 1
    photo = np.repeat(PHOTO.mean(2, keepdims=True), 3, axis=2)
    grey, colour = (cell_of(module, each, size=SIZE) for each in (photo, PHOTO))
    assert (grey.state, grey.heatmap.shape) == ("ok", (8, 8))
    assert grey.predicted == colour.predicted
    chosen = Preprocess(size=SIZE, mean=(0.5,), std=(0.25,))
    assert load_model(module, preprocess=chosen).preprocess == chosen


@pytest.mark.parametrize("channels", [2, 4, 12])
def test_other_numbers_of_channels_are_refused(channels: int) -> None:
    with pytest.raises(ModelError, match=rf"^ConvNet: .*{channels} channels"):
        load_model(network(channels=channels))


VOLUMES: dict[str, Callable[[], nn.Module]] = {
    "scans": lambda: nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
    ),
    "videos": lambda: nn.Sequential(
        nn.Conv3d(3, 4, (1, 3, 3)), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
    ),
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_networks_for_volumes_are_refused(kind: str) -> None:
    with pytest.raises(ModelError, match=r"^Sequential: the model works on volumes or videos"):
        cell_of(VOLUMES[kind]())


REFUSED: dict[str, Callable[[Tensor], object]] = {
    "classes": lambda scores: scores.argmax(1),
    "loss": lambda scores: scores.sum(),
    "segments": lambda scores: scores[:, :, None, None].expand(-1, -1, 8, 8),
    "boxes": lambda scores: [{"boxes": row} for row in scores],
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_modules_without_class_scores_are_refused(kind: str) -> None:
    with pytest.raises(ModelError, match="Returning: expected a classifier, which returns one row"):
        load_model(Returning(network(), REFUSED[kind]))


def test_a_training_modules_checkpoint_fits_its_network(tmp_path: Any) -> None:
    module, file = Training(network(), "model"), tmp_path / "last.ckpt"
    with torch.no_grad():
        module.ema_model.fc.weight.zero_()
    names = {"dog": 3, "ant": 0, "cow": 2, "bee": 1}
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": {"classes": names}}, file)
    model = load_model(ModelSpec("mine", network, checkpoint=file))
    assert model.labels == ("ant", "bee", "cow", "dog")
    assert not model.module.fc.weight.any()
    whole = load_model(ModelSpec("mine", lambda: Training(ConvNet(4), "model"), checkpoint=file))
    assert whole.target_layer == "model.features"
    assert torch.equal(whole.module.get_submodule("model.fc").weight, module.model.fc.weight)


def test_a_checkpoint_of_teacher_and_student_is_refused(tmp_path: Any) -> None:
    both = nn.ModuleDict({"student": network(), "teacher": network()})
    torch.save(both.state_dict(), tmp_path / "last.ckpt")
    with pytest.raises(WeightsError, match="2 times, under 'student', 'teacher'"):
        load_model(ModelSpec("mine", network, checkpoint=tmp_path / "last.ckpt"))
