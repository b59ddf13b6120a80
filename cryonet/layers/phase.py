"""Phase layers: the cosine and sine of the wrapped interferometric phase.

Wrapped phase jumps from pi to -pi between equal states; its cosine and sine do not. They
are not compass directions: turning the map leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cryonet.layers.spec import Array, LayerSpec

_BAMLER = "Bamler and Hartl 1998, Inverse Probl. 14(4), R1-R54"


def phase_cos(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return the cosine of the wrapped phase (radians in), float32; NaN where missing."""
    value: Array = np.cos(arrays["phase"])
    return value


def phase_sin(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return the sine of the wrapped phase (radians in), float32; NaN where missing."""
    value: Array = np.sin(arrays["phase"])
    return value


#: The phase layers.
PHASE = (
    LayerSpec(
        name="phase_cos",
        family="phase",
        long_name="cosine of the interferometric phase",
        formula="cos(phase)",
        units="1",
        needs=("phase",),
        compute=phase_cos,
        reference=_BAMLER,
        valid_range=(-1.0, 1.0),
    ),
    LayerSpec(
        name="phase_sin",
        family="phase",
        long_name="sine of the interferometric phase",
        formula="sin(phase)",
        units="1",
        needs=("phase",),
        compute=phase_sin,
        reference=_BAMLER,
        valid_range=(-1.0, 1.0),
    ),
)
