"""Modules of timm that were built for another size than their published weights."""

from __future__ import annotations

import timm

import effcam


def test_a_module_of_a_fixed_size_takes_images_of_that_size() -> None:
    for size in (64, 224):
        network = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=size)
        transform = effcam.load_model(network).preprocess
        assert transform.size == (size, size)
        # The share that is cropped stays.
        assert transform.resize == (248 * size // 224,) * 2
