"""Phase layers: the cosine and sine of the wrapped interferometric phase.

Wrapped phase jumps from pi to -pi between equal states; its cosine and sine do not. They
are not compass directions: turning the map leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cryonet.layers.spec import Array, Compute, LayerSpec

_BAMLER = "Bamler and Hartl 1998, Inverse Probl. 14(4), R1-R54"


def phase_cos(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return the cosine of the wrapped phase (radians in), float32; NaN where missing."""
    value: Array = np.cos(arrays["phase"])
    return value


def phase_sin(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return the sine of the wrapped phase (radians in), float32; NaN where missing."""
    value: Array = np.sin(arrays["phase"])
    return value


def weighted_cos(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return coherence times the cosine of the phase, float32; NaN where either is missing."""
    return np.asarray(arrays["coherence"] * phase_cos(arrays, cell))


def weighted_sin(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return coherence times the sine of the phase, float32; NaN where either is missing."""
    return np.asarray(arrays["coherence"] * phase_sin(arrays, cell))


def _row(name: str, title: str, formula: str, compute: Compute, *needs: str) -> LayerSpec:
    return LayerSpec(
        name=name,
        family="phase",
        long_name=title,
        formula=formula,
        units="1",
        needs=needs,
        compute=compute,
        reference=_BAMLER,
        valid_range=(-1.0, 1.0),
        optional=len(needs) > 1,
    )


_WEIGHTED = "coherence-weighted {} of the interferometric phase"

#: The phase layers. Where coherence is low the phase is noise; the weighted ones, which are
#: optional, fade there.
PHASE = (
    _row("phase_cos", "cosine of the interferometric phase", "cos(phase)", phase_cos, "phase"),
    _row("phase_sin", "sine of the interferometric phase", "sin(phase)", phase_sin, "phase"),
    _row(
        "phase_cos_weighted", _WEIGHTED.format("cosine"), "coherence * cos(phase)",
        weighted_cos, "phase", "coherence",
    ),
    _row(
        "phase_sin_weighted", _WEIGHTED.format("sine"), "coherence * sin(phase)",
        weighted_sin, "phase", "coherence",
    ),
)  # fmt: skip
