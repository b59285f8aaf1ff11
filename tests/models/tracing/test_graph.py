"""Walks over an autograd graph: cuts, the maps met first, and selections of tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from effcam.models.tracing.graph import Key, ancestors, is_cut, key_of, last_maps


def key(tensor: Tensor) -> Key:
    found = key_of(tensor)
    assert found is not None
    return found


def image() -> Tensor:
    return torch.randn(2, 6, 4, requires_grad=True)


def test_what_does_not_depend_on_the_image_has_no_place_in_the_graph() -> None:
    assert key_of(torch.ones(2)) is None
    assert key_of("no tensor") is None


def test_outputs_of_one_operation_are_told_apart() -> None:
    first, second = (image() * 2).chunk(2, 1)
    assert first.grad_fn is second.grad_fn
    assert key(first) != key(second)
    scores = first.sum()
    assert is_cut(key(scores), {key(first)})
    assert not is_cut(key(scores), {key(second)})


def test_a_cut_holds_all_ways_to_the_image() -> None:
    pixels = image()
    left, right = pixels * 2, pixels * 3
    scores = (left + right).sum()
    assert is_cut(key(scores), {key(left), key(right)})
    assert not is_cut(key(scores), {key(left)})


def test_the_maps_met_first_are_those_that_sums_join() -> None:
    stem = image() * 2
    branch = stem.sin()
    joined = stem + branch
    scores = joined.sum()
    maps = [key(stem), key(branch)]
    assert last_maps(key(scores), maps) == set(maps)
    assert last_maps(key(scores), [*maps, key(joined)]) == {key(joined)}


def test_maps_that_only_weight_others_are_left_out() -> None:
    stem = image() * 2
    gate = stem.sigmoid()
    assert last_maps(key((stem * gate).sum()), [key(stem), key(gate)]) == {key(stem)}
    weights = stem.softmax(1)
    pooled = (weights.mT @ stem).sum()
    assert last_maps(key(pooled), [key(stem), key(weights)]) == {key(stem)}


def test_a_weight_that_has_its_own_way_to_the_image_stays() -> None:
    pixels = image()
    stem, gate = pixels * 2, pixels.sigmoid()
    maps = [key(stem), key(gate)]
    assert last_maps(key((stem * gate).sum()), maps) == set(maps)


def test_selections_of_first_tokens_are_not_walked_through() -> None:
    tokens = image() * 2
    for first in (tokens[:, 0], tokens[:, :1], tokens.unbind(1)[0], tokens[:, [0]]):
        assert key(tokens) not in ancestors(key(first.sum()), prefix=1)
    for cells in (tokens[:, 1:], tokens[:, 1], tokens.mean(1)):
        assert key(tokens) in ancestors(key(cells.sum()), prefix=1)
