"""Layers that say nothing new: copies of one layer, and sums of several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from cryonet.errors import LayerError

#: Share of a layer's variance that others may leave unexplained for it to be a copy: some
#: times the rounding of float32.
UNEXPLAINED = 1e-6

#: Pixels that are looked at, at most.
PIXELS = 200_000


@dataclass(frozen=True, slots=True)
class Copy:
    """A layer and those it follows from linearly; one of them for a plain copy."""

    layer: str
    of: tuple[str, ...]
    unexplained: float


def find_copies(stack: xr.Dataset) -> list[Copy]:
    """Return the layers that are linear in layers before them, on the pixels of `stack`.

    A copy, up to scale, sign and shift, falsifies importance, which it shares with its
    original. A sum of several layers (a tasseled cap axis beside its bands) is harmless to
    most models, but nothing new either.

    Raises
    ------
    LayerError
        If fewer pixels than layers have all layers.
    """
    names = [str(name) for name in stack.data_vars]
    values = np.stack([stack[name].values.ravel() for name in names]).astype(np.float64)
    known = np.flatnonzero(np.isfinite(values).all(axis=0))
    if known.size <= len(names):
        rule = f"Give more than {len(names)} pixels that have all layers."
        raise LayerError("there are too few pixels to compare layers", known.size, rule)
    values = values[:, known[:: max(1, known.size // PIXELS)]]
    values -= values.mean(axis=1, keepdims=True)
    spread = np.linalg.norm(values, axis=1, keepdims=True)
    values /= np.where(spread > 0, spread, 1.0)
    alike = values @ values.T
    found: list[Copy] = []
    kept: list[int] = []
    for number, name in enumerate(names):
        one = [k for k in kept if 1 - alike[number, k] ** 2 < UNEXPLAINED]
        if one:
            found.append(Copy(name, (names[one[0]],), float(1 - alike[number, one[0]] ** 2)))
            continue
        weights, left = _explain(values, kept, number)
        if left < UNEXPLAINED:
            used = tuple(names[k] for k, w in zip(kept, weights, strict=True) if abs(w) > 1e-3)
            found.append(Copy(name, used, left))
        else:
            kept.append(number)
    return found


def _explain(values: np.ndarray, kept: list[int], number: int) -> tuple[np.ndarray, float]:
    if not kept:
        return np.zeros(0), 1.0
    basis = values[kept].T
    weights = np.linalg.lstsq(basis, values[number], rcond=None)[0]
    rest = values[number] - basis @ weights
    return weights, float(rest @ rest)
