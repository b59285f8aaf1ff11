#!/usr/bin/env bash
# Quantus' fully randomised transformer keeps its trained attention, class token and positions.
#
# Version: quantus 0.6.0 with torch 2.14.1 and torchvision 0.29.1, Python 3.11, Linux x86-64.
# Behaviour: MPRT, SmoothMPRT and EfficientMPRT compare the maps of a model with those of one whose
#   layers are all randomised. A layer is what has a reset_parameters(). torch's MultiheadAttention
#   has none (its method is private), nor have the class token and the position embedding, which
#   belong to no layer. They stay as trained, with no warning, and the last result is taken for that
#   of the fully randomised model. Besides, every layer is drawn from the same seed, so that layers of
#   one shape get the same numbers. MPRT and SmoothMPRT with return_average_correlation average the
#   unchanged model in: its key is "original", and the one that is skipped is "orig".
# Seen: a VisionTransformer of torchvision, all of whose parameters were changed before: 21 % of the
#   numbers are the same afterwards, among them all of q, k and v. Three linear layers of 16 x 16:
#   equal weights. The average of three layers and the unchanged model is reported.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q quantus==0.6.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import quantus
import torch
from quantus.helpers.model.pytorch_model import PyTorchModel
from torch import nn
from torchvision.models import VisionTransformer


def randomised(network: nn.Module) -> nn.Module:
    """Return the last state, which Quantus takes for the fully randomised model."""
    *_, (_, last) = PyTorchModel(network, channel_first=True).get_random_layer_generator()
    return last


torch.manual_seed(0)
vit = VisionTransformer(
    image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=128,
    num_classes=3,
).eval()
with torch.no_grad():
    for each in vit.parameters():
        each.normal_()
before = {name: each.clone() for name, each in vit.named_parameters()}
after = dict(randomised(vit).named_parameters())
same = [name for name, each in before.items() if torch.equal(each, after[name])]
share = sum(before[name].numel() for name in same) / sum(each.numel() for each in before.values())
print(f"{share:.0%} of the numbers are kept: {', '.join(same)}")
assert "class_token" in same, "the class token is randomised now"
assert "encoder.pos_embedding" in same, "the positions are randomised now"
kept = [name for name in same if name.endswith("in_proj_weight")]
assert len(kept) == 2, "attention is randomised now"

linear = [nn.Linear(16, 16) for _ in range(3)]
network = nn.Sequential(nn.Flatten(), linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
first, second, third = (randomised(network)[at].weight for at in (1, 3, 5))
print(f"layers of one shape are equal: {torch.equal(first, second) and torch.equal(first, third)}")
assert torch.equal(first, second), "layers get numbers of their own now"


def saliency(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: object) -> np.ndarray:
    images = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_()
    return torch.autograd.grad(model(images)[:, 0].sum(), images)[0].numpy()


images = np.random.default_rng(0).normal(size=(4, 1, 4, 4)).astype(np.float32)
options = {"disable_warnings": True, "abs": False, "normalise": False}
given = network, images, np.zeros(4, int)
how = {"explain_func": saliency, "device": "cpu", "channel_first": True}
by_layer = quantus.MPRT(**options)(*given, **how)
average = quantus.MPRT(return_average_correlation=True, **options)(*given, **how)
layers = np.mean([values for name, values in by_layer.items() if name != "original"], 0)
everything = np.mean(list(by_layer.values()), 0)
print(f"mean of the layers {layers.round(2)}, reported {np.round(average, 2)}")
assert np.allclose(average, everything), "the unchanged model is left out now"
assert not np.allclose(average, layers)
PYTHON
