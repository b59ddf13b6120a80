"""The coherence layer: interferometric coherence as the scene holds it.

Estimated coherence is biased upwards, the more so the fewer looks it was made with, so a
model carries over only to scenes of the same number of looks.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryonet.layers.spec import Array, LayerSpec


def coherence(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return a copy of the coherence, 0 to 1; NaN where the scene has none.

    References
    ----------
    Touzi et al. 1999, IEEE Trans. Geosci. Remote Sens. 37(1), 135-149.
    """
    return arrays["coherence"].copy()


#: The coherence layers.
COHERENCE = (
    LayerSpec(
        name="coherence",
        family="coherence",
        long_name="interferometric coherence",
        formula="sum(s1 s2*) over the window, its magnitude normalised by both powers",
        units="1",
        needs=("coherence",),
        compute=coherence,
        reference="Touzi et al. 1999, IEEE Trans. Geosci. Remote Sens. 37(1), 135-149",
        valid_range=(0.0, 1.0),
    ),
)
