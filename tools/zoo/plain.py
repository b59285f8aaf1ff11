"""torch, torchvision and timm in forms of their own: graphs, exports, traps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoo.entries import Entry, Family

GRAPHS = ("resnet18", "googlenet", "densenet121", "convnext_tiny", "squeezenet1_1",
          "shufflenet_v2_x0_5", "regnet_y_400mf", "efficientnet_b0", "alexnet",
          "inception_v3", "swin_t", "vit_b_32", "maxvit_t")  # fmt: skip
TOKEN = ("vit_b_32",)


def _torchvision(name: str, **options: Any) -> Any:
    import torchvision

    return torchvision.models.get_model(name, weights=None, num_classes=10, **options).eval()


def _graph(name: str) -> Any:
    import torch

    return torch.fx.symbolic_trace(_torchvision(name))


def _export(name: str, size: int = 224) -> Any:
    import torch

    from zoo.probes import calibrate, enliven, pictures

    network = _torchvision(name).eval()
    enliven(network)
    images = pictures(2, size, 3, 3)
    calibrate(network, images)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    return torch.export.export(network, (images,), dynamic_shapes=(batch,)).module()


def _scripted(name: str, *, traced: bool) -> Any:
    import torch

    network = _torchvision(name)
    if traced:
        return torch.jit.trace(network, torch.rand(2, 3, 224, 224))
    return torch.jit.script(network)


def _part_scripted() -> Any:
    import torch

    network = _torchvision("resnet18")
    network.layer4 = torch.jit.script(network.layer4)
    return network


def _part_compiled() -> Any:
    import torch

    network = _torchvision("resnet18")
    network.layer4 = torch.compile(network.layer4, backend="eager")
    return network


def _compiled_in_place() -> Any:
    network = _torchvision("resnet18")
    network.compile(backend="eager")
    return network


def _quantised() -> Any:
    import torch
    import torchvision

    torch.backends.quantized.engine = "fbgemm"
    return torchvision.models.quantization.resnet18(weights=None, quantize=True)


def _timm(name: str, prepare: str = "", **options: Any) -> Any:
    import timm

    network = timm.create_model(name, **options)
    if prepare:
        getattr(network, prepare)(enable=True)
    return network


def _trap(name: str, *arguments: Any, **options: Any) -> Callable[[], Any]:
    def build() -> Any:
        from zoo import trap_nets

        return getattr(trap_nets, name)(*arguments, **options)

    return build


def _body(**options: str) -> Callable[[], Any]:
    """Return a function that builds a `Body`; its options name functions of `trap_nets`."""

    def build() -> Any:
        import torch
        from torch import nn

        from zoo import trap_nets

        places = {"torch": torch, "nn": nn, **vars(trap_nets)}
        found = {key: eval(text, places) for key, text in options.items()}  # noqa: S307  # ours
        return trap_nets.Body(**found)

    return build


def _forms() -> list[Entry]:
    def entry(name: str, build: Callable[[], Any], **options: Any) -> Entry:
        return Entry(package="torch", name=name, build=build, **options)

    script = "script|traced"
    return [
        *(entry(f"fx graph of {name}", lambda name=name: _graph(name),
                reads="class token" if name in TOKEN else "cells") for name in GRAPHS),
        *(entry(f"torch.export of {name}", lambda name=name: _export(name), frozen=True)
          for name in ("resnet18", "googlenet", "convnext_tiny")),
        entry("scripted ResNet-18", lambda: _scripted("resnet18", traced=False), refusal=script),
        entry("traced ResNet-18", lambda: _scripted("resnet18", traced=True), refusal=script),
        entry("ResNet-18 with a scripted layer4", _part_scripted),
        entry("ResNet-18 with a compiled layer4", _part_compiled),
        entry("ResNet-18 compiled in place", _compiled_in_place),
        entry("quantised ResNet-18", _quantised, frozen=True, refusal="quanti"),
        entry("timm's ResNet-18 without classes", lambda: _timm("resnet18", num_classes=0),
              refusal="num_classes|no classes|no classifier|features"),
        entry("timm's ViT, checkpointed", reads="class token", size=128, build=lambda: _timm(
            "vit_tiny_patch16_224", "set_grad_checkpointing", img_size=128, num_classes=10)),
        entry("timm's ResNet-18, checkpointed", lambda: _timm(
            "resnet18", "set_grad_checkpointing", num_classes=10)),
    ]  # fmt: skip


def _traps() -> list[Entry]:
    def entry(name: str, build: Callable[[], Any], **options: Any) -> Entry:
        return Entry(package="none", name=name, build=build, size=64, **options)

    flip = "flip|side by side|several|twice|times"
    detached = "detach|no_grad|inference_mode"
    probability = "probabilities|sigmoid|softmax"
    return [
        entry("branches joined by cat", _trap("Branches", "cat", 4)),
        entry("branches joined by +", _trap("Branches", "sum")),
        entry("two backbones", _trap("TwoBackbones")),
        entry("mean of a picture and its mirror", _twice("flip", bare=False), refusal=flip),
        entry("mean of a picture and its mirror, no weights last", _twice("flip", bare=True),
              refusal=flip),
        entry("mean of a picture and its half size", _twice("half", bare=True), refusal=flip),
        entry("a block that returns a tuple", _body(
            block="TupleBlock()", join="lambda part, x: part(x)[0]")),
        entry("16 latents", _trap("Latents", 16)),
        entry("17 latents", _trap("Latents", 17)),
        entry("shuffled tokens", _tokens("shuffled"), layer="stem*"),
        entry("tokens column by column", _tokens("transposed"), layer="stem*"),
        entry("tokens by windows", _tokens("in_windows"), layer="stem*"),
        entry("class token", _trap("Transformer"), reads="class token"),
        entry("class token and 3 registers", _trap("Transformer", 3), reads="class token"),
        entry("class token last", _trap("Transformer", last=True), reads="class token",
              layer="encoder.layers.2.norm1"),
        entry("class token joined with the cells' mean", _trap("Transformer", both=True)),
        entry("head with a convolution", _trap("HeadWithConvolution")),
        entry("Sequential of a stem and the rest", _rest()),
        entry("softmax", _body(end="lambda s: s.softmax(1)"), logits="fc"),
        entry("softmax module", _ended("Softmax"), logits="0.fc"),
        entry("log_softmax", _body(end="lambda s: s.log_softmax(1)"), logits="fc"),
        entry("softmax and clamp", _body(end="lambda s: s.softmax(1).clamp(1e-6, 1)"),
              logits="fc"),
        entry("mean of two softmaxes", _body(
            end="lambda s: (s.softmax(1) + (2 * s).softmax(1)) / 2"), refusal=probability),
        entry("sigmoid", _body(end="lambda s: s.sigmoid()"), logits="fc"),
        entry("sigmoid and clamp", _body(end="lambda s: s.sigmoid().clamp(0.01, 0.99)"),
              logits="fc"),
        entry("p and 1 - p", _body(
            end="lambda s: torch.stack([1 - s[:, 0].sigmoid(), s[:, 0].sigmoid()], 1)"),
            refusal=probability),
        entry("normalised embedding", _body(
            end="lambda s: nn.functional.normalize(s, dim=1)"), refusal="class|embedding"),
        entry("a tuple of 10 and 7 scores", _body(end="lambda s: (s, s[:, :7])"),
              refusal="two|several|10.*7"),
        entry("a mapping of 10 and 7 scores", _body(
            end="lambda s: {'kind': s, 'colour': s[:, :7]}"), refusal="two|several|kind.*colour"),
        entry("checkpoint", _trap("Checkpointed", reentrant=False)),
        entry("reentrant checkpoint", _trap("Checkpointed", reentrant=True)),
        entry("no_grad inside", _body(join="without_gradient")),
        entry("inference_mode inside", _body(join="in_inference_mode"), refusal=detached),
        entry("detach inside", _body(join="lambda part, x: part(x.detach())")),
        entry("detach before the head", _body(join="lambda part, x: part(x).detach()"),
              refusal=detached),
        entry("x / x.amax()", _body(join="lambda part, x: part(x / x.amax())")),
    ]  # fmt: skip


def _twice(change: str, *, bare: bool) -> Callable[[], Any]:
    def build() -> Any:
        from torch import nn

        from zoo.trap_nets import Twice

        changes = {"flip": lambda x: x.flip(3), "half": lambda x: nn.functional.avg_pool2d(x, 2)}
        return Twice(changes[change], bare=bare)

    return build


def _tokens(order: str) -> Callable[[], Any]:
    def build() -> Any:
        from zoo import trap_nets

        return trap_nets.Tokens(getattr(trap_nets, order))

    return build


def _rest() -> Callable[[], Any]:
    def build() -> Any:
        from torch import nn

        from zoo.trap_nets import Rest, stem

        return nn.Sequential(stem(), Rest())

    return build


def _ended(kind: str) -> Callable[[], Any]:
    def build() -> Any:
        from torch import nn

        from zoo.trap_nets import Body

        return nn.Sequential(Body(), getattr(nn, kind)(1))

    return build


def entries() -> list[Entry]:
    """Return the classifiers."""
    return [*_forms(), *_traps()]


FAMILY = Family("plain", (), entries)
