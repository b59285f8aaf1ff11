"""Maps of the input's pixels: closed forms, parity with captum, randomness, memory, places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from effcam import Preprocess, compare, load_model
from effcam.cam.explain import compute_cams, explaining
from effcam.cam.head_cam import HeadCAM
from effcam.cam.methods.code import find_image_method
from effcam.cam.methods.copies import COPIES_AT_ONCE, GRADIENTS_AT_ONCE
from effcam.cam.methods.input_cells import divide, pool_mean, pool_sum
from effcam.cam.methods.input_gradients import integrate, multiply, noise_of
from effcam.cam.methods.input_occlusion import _random_masks, _windows, occlusion
from effcam.cam.methods.options import MethodOptions
from effcam.cam.methods.subject import ImageMethod, Subject
from effcam.cam.scores import ClassQuestions
from effcam.errors import ArgumentError, ModelError
from effcam.models.tracing.isolation import untouched
from tests.nets import CELL, ColourNet, ConvNet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from effcam import Model

SIZE = 28
METHODS = ("inputxgradient", "integratedgradients", "smoothgrad", "occlusion", "rise")


def code_of(method: str) -> ImageMethod:
    found = find_image_method(method)
    assert found is not None
    return found


GRADIENTS = ("inputxgradient", "integratedgradients", "smoothgrad")
PIXELS = {"inputxgradient": multiply, "integratedgradients": integrate}
TARGETS = [4, 0, 2]


def model_of(module: nn.Module, size: int = SIZE) -> Model:
    return load_model(module, preprocess=Preprocess(size=size), device="cpu")


def images(count: int = 3, size: int = SIZE) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return ConvNet()


def with_subject(
    call: Callable[[Subject], Any],
    module: nn.Module,
    batch: Tensor,
    targets: Sequence[int] = TARGETS,
    **options: Any,
) -> Any:
    """Return what a function returns for a batch, with gradients."""
    model = model_of(module, batch.shape[-1])
    with untouched(model.module), torch.enable_grad():
        cam = HeadCAM(model)
        try:
            found = cam.scores(batch)
            score = ClassQuestions.of_classes(targets).on(found)
            return call(Subject(model, cam, batch, found, score, MethodOptions(**options)))
        finally:
            cam.release()


def raw(method: str, module: nn.Module, batch: Tensor, **options: Any) -> Tensor:
    """Return the (B, h, w) maps of a batch, as the engine receives them."""
    made = with_subject(code_of(method), module, batch, **options)
    assert made.read_at == "input"
    heat: Tensor = made.heat
    assert heat.dtype == torch.float32
    assert not heat.requires_grad
    return heat


def score(module: nn.Module, batch: Tensor, targets: Sequence[int] = TARGETS) -> Tensor:
    found: Tensor = module.eval()(batch)
    return found.gather(1, torch.tensor(targets)[:, None])[:, 0]


def gradients(module: nn.Module, batch: Tensor) -> Tensor:
    batch = batch.clone().requires_grad_()
    (found,) = torch.autograd.grad(score(module, batch).sum(), batch)
    return found


def assert_close(first: Tensor, second: Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(first, second, atol=atol, rtol=1e-5)


# cells


def test_cells_are_about_square_and_no_more_than_pixels() -> None:
    assert divide((224, 224), 56) == (56, 56)
    assert divide((1024, 768), 56) == (56, 42)
    assert divide((20, 32), 56) == (20, 32)
    assert divide((400, 3), 4) == (4, 1)


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (10, 7), (1, 1)])
def test_cells_divide_the_input_evenly(grid: tuple[int, int]) -> None:
    pixels = torch.rand(2, 10, 12)
    fine = pixels.repeat_interleave(grid[0], 1).repeat_interleave(grid[1], 2)
    expected = fine.unflatten(1, (grid[0], 10)).unflatten(3, (grid[1], 12)).mean((2, 4))
    assert_close(pool_mean(pixels, grid), expected)
    assert_close(pool_mean(pixels.flip(2), grid), expected.flip(2))
    assert_close(pool_sum(pixels, grid).sum((1, 2)), pixels.sum((1, 2)))


# closed forms


class Linear(nn.Module):
    """A linear network."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 5, stride=2)
        self.fc = nn.Linear(6 * 12 * 12, 5)

    def forward(self, batch: Tensor) -> Tensor:
        found: Tensor = self.fc(self.features(batch).flatten(1))
        return found


@pytest.mark.parametrize("resolution", [56, 7, 5])
@pytest.mark.parametrize("method", ["inputxgradient", "integratedgradients"])
def test_of_a_linear_network_they_are_weights_times_input(method: str, resolution: int) -> None:
    module, batch = Linear(), images()
    weights = gradients(module, torch.zeros_like(batch))
    pixels = (weights * batch).sum(1)
    assert_close(with_subject(PIXELS[method], module, batch), pixels)
    expected = pool_sum(pixels.clamp(min=0), (min(resolution, SIZE),) * 2)
    assert_close(raw(method, module, batch, resolution=resolution), expected, 1e-5)


def test_smoothgrad_of_a_linear_network_is_the_size_of_its_weights() -> None:
    module, batch = Linear(), images()
    assert_close(raw("smoothgrad", module, batch), gradients(module, batch).abs().sum(1))


def test_integrated_gradients_add_up_to_the_difference_of_the_scores() -> None:
    module, batch = convolutional(), images()
    found = with_subject(integrate, module, batch, samples=200)
    expected = score(module, batch) - score(module, torch.zeros_like(batch))
    assert expected.abs().min() > 0.01
    assert_close(found.sum((1, 2)), expected.detach(), 2e-3)


class Patch(nn.Module):
    """A net whose first class sees how bright a patch is: rows 8 to 11, columns 20 to 23."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1, bias=False)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.features.weight.fill_(1.0)
            self.fc.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))

    def forward(self, batch: Tensor) -> Tensor:
        found: Tensor = self.fc(self.features(batch)[:, :, 8:12, 20:24].mean((2, 3)))
        return found


@pytest.mark.parametrize("method", METHODS)
def test_of_a_network_that_reads_one_patch_they_peak_there(method: str) -> None:
    found = with_subject(code_of(method), Patch(), torch.rand(2, 3, SIZE, SIZE) + 0.5, [0, 0]).heat
    patch = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    patch[8:12, 20:24] = True
    for heat in found:
        row, column = divmod(int(heat.argmax()), SIZE)
        # The peak of random masks, whose cells are as large as the patch, may lie a pixel beside.
        reach = 2 if method == "rise" else 0
        assert 8 - reach <= row < 12 + reach
        assert 20 - reach <= column < 24 + reach
        if method in GRADIENTS:
            assert (heat[~patch] == 0).all()
        if method == "occlusion":
            assert heat[:, :14].abs().max() == 0


def test_rise_is_the_papers_map_but_for_a_constant() -> None:
    module, batch = convolutional(), images()
    masks = torch.cat(list(_random_masks(batch, 70)))
    with torch.no_grad():
        outputs = torch.stack([module.eval()(batch * mask) for mask in masks])
    probabilities = outputs.softmax(2)[:, range(3), TARGETS]
    paper = torch.einsum("nb,nhw->bhw", probabilities, masks) / masks.sum(0)
    expected = paper - probabilities.mean(0)[:, None, None]
    assert_close(raw("rise", module, batch, samples=70), expected)
    coarse = raw("rise", module, batch, samples=70, resolution=4)
    assert_close(
        coarse * pool_mean(masks, (4, 4)).sum(0), pool_sum(expected * masks.sum(0), (4, 4)) / 49
    )


def test_random_masks_show_half_of_the_image_everywhere() -> None:
    masks = torch.cat(list(_random_masks(images(), 400)))
    assert masks.shape == (400, SIZE, SIZE)
    assert (masks.min(), masks.max()) == (0, 1)
    np.testing.assert_allclose(masks.mean(0), 0.5, atol=0.1)


def test_a_pixel_that_must_be_dark_counts_against() -> None:
    module = Patch()
    with torch.no_grad():
        module.fc.weight.neg_()
    batch = torch.ones(1, 3, SIZE, SIZE)
    for pixels in (multiply, integrate, lambda subject: occlusion(subject).heat):
        found = with_subject(pixels, module, batch, [0])
        assert found.min() < 0
        assert found.max() <= 0
    cams = compute_cams(model_of(module), batch, ["occlusion", "smoothgrad"], [0])
    assert cams.states == {"occlusion": ["flat"], "smoothgrad": ["ok"]}


@pytest.mark.parametrize("size", [1, 5, 28, 29, 33, 224, 227])
def test_windows_cover_every_pixel_and_are_mirror_images(size: int) -> None:
    windows = _windows(size, torch.device("cpu"))
    assert windows.any(0).all()
    assert torch.equal(windows, windows.flip(0, 1))
    assert len(windows.unique(dim=0)) == len(windows)
    if size == 224:
        assert windows.shape == (12, 224)
        assert windows.sum(1).tolist() == [48] * 12


# captum


def test_integrated_gradients_are_captums() -> None:
    from captum.attr import IntegratedGradients

    module, batch = convolutional().eval(), images()
    expected = IntegratedGradients(module).attribute(batch, target=TARGETS, n_steps=9)
    assert_close(with_subject(integrate, module, batch, samples=9), expected.sum(1).float())


def test_input_x_gradient_is_captums() -> None:
    from captum.attr import InputXGradient

    module, batch = convolutional().eval(), images()
    expected = InputXGradient(module).attribute(batch.clone().requires_grad_(), target=TARGETS)
    assert_close(with_subject(multiply, module, batch), expected.detach().sum(1))


def test_smoothgrad_is_the_mean_of_captums_saliency_of_the_same_copies() -> None:
    from captum.attr import Saliency

    module, batch = convolutional().eval(), images()
    every = torch.arange(3)
    change: Any = with_subject(noise_of, module, batch)
    saliency = Saliency(module)
    copies = [change(every, torch.full((3,), at)).requires_grad_() for at in range(6)]
    found = [saliency.attribute(each, target=TARGETS, abs=False) for each in copies]
    expected = torch.stack(found).mean(0).abs().sum(1)
    assert_close(raw("smoothgrad", module, batch, samples=6), expected)


def test_occlusion_is_captums() -> None:
    from captum.attr import Occlusion

    module, batch = convolutional().eval(), images()
    expected = Occlusion(module).attribute(
        batch, target=TARGETS, sliding_window_shapes=(3, 6, 6), strides=(3, 2, 2)
    )
    assert_close(raw("occlusion", module, batch), expected[:, 0].float(), 1e-6)


# randomness


@pytest.mark.parametrize("method", ["rise", "smoothgrad"])
def test_random_numbers_are_the_same_each_time_and_the_callers_own_stay(method: str) -> None:
    model, batch = model_of(convolutional()), images()
    options = MethodOptions(samples=20)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = compute_cams(model, batch, [method], TARGETS, options)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again = compute_cams(model, batch, [method], TARGETS, options)
    assert np.array_equal(first.maps[method], again.maps[method])
    alone = compute_cams(model, batch[1:2], [method], TARGETS[1:2], options)
    np.testing.assert_allclose(alone.maps[method][0], first.maps[method][1], atol=1e-6)
    more = compute_cams(model, batch, [method], TARGETS, MethodOptions(samples=21))
    assert not np.array_equal(first.maps[method], more.maps[method])


def test_copies_have_different_noise_in_units_of_each_images_range() -> None:
    batch = images()
    batch[1] *= 10
    every = torch.arange(3)
    change: Any = with_subject(noise_of, convolutional(), batch)
    first, second = (change(every, torch.full((3,), at)) - batch for at in (0, 1))
    spread = batch.flatten(1).amax(1) - batch.flatten(1).amin(1)
    np.testing.assert_allclose(first.flatten(1).std(1), 0.15 * spread, rtol=0.05)
    assert_close(first[0] / spread[0], first[1] / spread[1], 1e-5)
    assert not torch.allclose(first, second, atol=0.01)


# memory


class Limited(ConvNet):
    """A net that runs out of memory for more than some images at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.batches: list[int] = []

    def forward(self, batch: Tensor) -> Tensor:
        if batch.device.type != "meta":
            self.batches.append(len(batch))
            if len(batch) > self.most:
                raise torch.OutOfMemoryError("out of memory")
        return super().forward(batch)


@pytest.mark.parametrize("method", METHODS)
def test_copies_run_in_batches_of_a_bounded_size(method: str) -> None:
    torch.manual_seed(0)
    free, limited = Limited(1000), Limited(5)
    limited.load_state_dict(free.state_dict())
    most = GRADIENTS_AT_ONCE if method in GRADIENTS else COPIES_AT_ONCE
    samples = None if method in ("occlusion", "inputxgradient") else 40
    options = MethodOptions(samples=samples)
    batch = images(1).repeat(5, 1, 1, 1)
    expected = compute_cams(model_of(free), batch, [method], [1] * 5, options).maps[method]
    assert max(free.batches) <= most
    model = model_of(limited)
    if method == "inputxgradient":  # 5 at once are no more than memory has
        found = compute_cams(model, batch, [method], [1] * 5, options).maps[method]
    else:
        with pytest.warns(UserWarning, match="not enough memory for .* changed copies of images"):
            found = compute_cams(model, batch, [method], [1] * 5, options).maps[method]
    np.testing.assert_allclose(found, expected, atol=1e-6)


# networks


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_network_that_detaches_its_input_is_refused(method: str) -> None:
    class Detaching(ConvNet):
        def forward(self, batch: Tensor) -> Tensor:
            return super().forward(batch.detach())

    model = model_of(Detaching())
    message = r"input: the forward pass calls detach\(\). method=\"rise\" and \"occlusion\" need no"
    with pytest.raises(ModelError, match=message):
        compute_cams(model, images(), [method])
    assert compute_cams(model, images(), ["occlusion"], TARGETS).states["occlusion"] == ["ok"] * 3


class InPlace(ConvNet):
    """A net that squares its input in place, or not."""

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place

    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch.pow_(2) if self.in_place else batch**2)


@pytest.mark.parametrize("method", METHODS)
def test_work_in_place_on_the_input_does_no_harm(method: str) -> None:
    changing, plain = InPlace(in_place=True), InPlace(in_place=False)
    plain.load_state_dict(changing.state_dict())
    expected, found = (
        compute_cams(model_of(module), images(), [method], TARGETS).maps[method]
        for module in (plain, changing)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_gives_about_the_same(method: str) -> None:
    model, batch = model_of(convolutional()), images()
    options = MethodOptions(resolution=7)
    expected = compute_cams(model, batch, [method], TARGETS, options).maps[method]
    with explaining(model, precision="bf16", options=options) as explain:
        found = explain(batch, [method], TARGETS).maps[method]
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("method", [*METHODS, "sscam", "iscam", "smoothgradcam++"])
@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_efficientnet"])
def test_transformers_and_other_activations_are_explained(name: str, method: str) -> None:
    torch.manual_seed(0)
    sizes = {"img_size": 64} if "vit" in name else {}
    options = MethodOptions(
        samples=None if method in ("occlusion", "inputxgradient") else 3,
        channels=9 if method in ("sscam", "iscam") else None,
    )
    model = load_model(
        name, pretrained=False, preprocess=Preprocess(size=64), options=sizes, device="cpu"
    )
    batch = images(2, 64)
    cams = compute_cams(model, batch, [method], [3, 5], options)
    assert cams.states[method] == ["ok"] * 2
    assert (method in cams.read_at) == (method in METHODS)
    alone = compute_cams(model, batch[1:], [method], [5], options).maps[method][0]
    expected = cams.maps[method][1]
    np.testing.assert_allclose(alone, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_maps_of_inputs_that_are_not_square_are_not_square() -> None:
    torch.manual_seed(0)
    model = load_model(ConvNet(), preprocess=Preprocess(size=(20, 32)), device="cpu")
    batch = torch.randn(2, 3, 20, 32)
    options = MethodOptions(resolution=16)
    for each in ("occlusion", "inputxgradient"):
        assert compute_cams(model, batch, [each], [0, 1], options).maps[each].shape == (2, 10, 16)
    rise = compute_cams(model, batch, ["rise"], [0, 1], MethodOptions(samples=5)).maps["rise"]
    assert rise.shape == (2, 20, 32)


# places


@pytest.mark.parametrize("method", METHODS)
def test_cells_divide_what_the_model_saw_of_a_photo(method: str) -> None:
    photo = Image.new("RGB", (90, 48), (10, 10, 10))
    photo.paste((255, 0, 0), (50, 16, 62, 28))
    model = load_model(
        ColourNet(), preprocess=Preprocess(size=4 * CELL, resize=5 * CELL), labels=["r", "g", "b"]
    )
    (cell,) = compare(photo, model, target="r", method=method, progress=False)
    assert cell.canvas == cell.frame
    assert cell.target_layer == "input"
    assert cell.heatmap.shape == (4 * CELL, 4 * CELL)
    if method == "smoothgrad":  # the gradient of a mean is the same everywhere
        assert cell.state == "flat"
        return
    ys, xs = np.nonzero(cell.upsampled() > 0.8)
    assert 48 <= xs.mean() <= 64
    assert 14 <= ys.mean() <= 30


def test_rise_refuses_masks_that_leave_parts_unseen() -> None:
    with pytest.raises(ArgumentError, match="none of its masks shows: samples=1 is too few"):
        compute_cams(model_of(convolutional()), images(1), ["rise"], [0], MethodOptions(samples=1))
