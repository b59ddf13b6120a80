"""Attributions made by hand: what pictures and files are tested with."""

from __future__ import annotations

import numpy as np
from odc.geo.xr import wrap_xr

from conftest import grid
from cryonet.explain.attribution import Attribution
from cryonet.explain.question import Question
from cryonet.grid import Window

LAYERS = ("red", "nir", "slope", "coherence", "automated", "tpi")
FAMILIES = ("optical", "optical", "terrain", "coherence", "indices", "terrain")


def question(kind: str = "pixel", size: int = 32) -> Question:
    """Ask about one pixel, many, a class against another, or right against wrong pixels."""
    weights = np.zeros((size, size))
    if kind == "pixel":
        weights[10, 20] = 1
    else:
        weights[4:9, 6:12] = 1 / 30
    if kind == "errors":
        weights[20:22, 3:8] = -1 / 10
    against = "lake" if kind == "against" else ""
    label = "debris at row 110, column 220"
    return Question(Window(100, 200, size, size), weights, "debris", against, label)


def attribution(
    kind: str = "pixel", *, scale: float = 1.0, maps: bool = True, missed: float = 0.02
) -> Attribution:
    """Return shares drawn at random, that miss the difference by `missed` of it."""
    asked = question(kind)
    shares = np.random.default_rng(5).normal(0, 0.02, (len(LAYERS), 32, 32))
    shares = (scale * shares).astype(np.float32)
    shares[2] += np.float32(0.003 * scale)
    shares[0] -= np.float32(0.001 * scale)
    shares[1, :3, :4] = np.nan
    by_layer = dict(zip(LAYERS, np.nansum(shares, axis=(1, 2), dtype=float).tolist(), strict=True))
    by_family: dict[str, float] = {}
    for layer, family in zip(LAYERS, FAMILIES, strict=True):
        by_family[family] = by_family.get(family, 0.0) + by_layer[layer]
    placed = wrap_xr(shares, grid(32, 32), axis=1, dims=("layer", "y", "x"))
    return Attribution(
        asked,
        "integrated gradients",
        "training mean",
        LAYERS,
        FAMILIES,
        by_layer if maps else {},
        by_family,
        placed.assign_coords(layer=list(LAYERS)) if maps else None,
        -2.0 + sum(by_family.values()) / (1 + missed),
        -2.0,
        1.25,
        {"steps": np.int64(32), "missing_families": ("phase",)},
    )
