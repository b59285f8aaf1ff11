"""All families of packages."""

from __future__ import annotations

from zoo import applied, classics, huggingface, lucidrains, openmmlab, plain

FAMILIES = (
    plain.FAMILY,
    lucidrains.FAMILY,
    huggingface.FAMILY,
    applied.FAMILY,
    classics.FAMILY,
    openmmlab.FAMILY,
)
