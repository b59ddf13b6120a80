"""Principal components of the optical bands, with axes fitted on training scenes.

References
----------
Pearson 1901, Philosophical Magazine 2(11); the shifted sums: Chan, Golub, LeVeque 1983, The
American Statistician 37(3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cryonet.errors import LayerError
from cryonet.layers.linear import weighted_sums
from cryonet.layers.optical import OPTICAL
from cryonet.layers.spec import Array, LayerSpec

#: The bands, in the order of the axes' weights: those of the optical layers.
PCA_BANDS = tuple(spec.name for spec in OPTICAL)

#: Components that become layers. Our choice.
COMPONENTS = 3


class PcaFit(BaseModel):
    """Principal axes, as data of a manifest.

    Attributes
    ----------
    bands
        Canonical names, in the order of the weights.
    mean
        Mean reflectance of each band.
    axes
        Unit vectors, largest variance first, ``(component, band)``. The weight of largest
        size of each is positive.
    variance, total
        Variance along each axis, and the sum of the variances of all bands.
    pixels
        Pixels that were seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bands: tuple[str, ...]
    mean: tuple[float, ...]
    axes: tuple[tuple[float, ...], ...]
    variance: tuple[float, ...]
    total: float
    pixels: int

    @property
    def explained(self) -> tuple[float, ...]:
        """Share of the total variance along each axis."""
        return tuple(value / self.total for value in self.variance)


#: Pixels that are worked on at once: they stay in the processor's cache.
_SPAN = 16384


class Covariance:
    """Mean and covariance of pixels that come in blocks, in double precision.

    Sums are taken about the mean of the first block, so that they stay small where values
    lie close together far from zero.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self._shift = np.zeros(size)
        self._sum = np.zeros(size)
        self._products = np.zeros((size, size))

    def add(self, pixels: NDArray[np.floating]) -> None:
        """Take in pixels ``(band, pixel)``; those with a missing band do not count."""
        if not np.isfinite(pixels.sum()):
            pixels = pixels[:, np.isfinite(pixels).all(axis=0)]
        if not pixels.shape[1]:
            return
        if not self.count:
            self._shift = pixels.mean(axis=1, dtype=np.float64)
        for first in range(0, pixels.shape[1], _SPAN):
            part = pixels[:, first : first + _SPAN]
            block = np.subtract(part, self._shift[:, None], dtype=np.float64)
            self._sum += block.sum(axis=1)
            self._products += block @ block.T
        self.count += pixels.shape[1]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each band."""
        return self._shift + self._sum / max(self.count, 1)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Covariance of the bands, divided by the number of pixels less one."""
        scatter = self._products - np.outer(self._sum, self._sum) / self.count
        return np.asarray(scatter / (self.count - 1))


def fit_pca(
    blocks: Iterable[NDArray[np.floating]],
    *,
    bands: tuple[str, ...] = PCA_BANDS,
    components: int = COMPONENTS,
) -> PcaFit:
    """Return the principal axes of pixels that come in blocks ``(band, pixel)``.

    Only one block is held at a time. Pixels with a missing band are left out; sums are in
    double precision.

    Raises
    ------
    LayerError
        If there are fewer pixels than bands and one, or no more variance than rounding.
    """
    seen = Covariance(len(bands))
    for block in blocks:
        seen.add(block)
    if seen.count <= len(bands):
        rule = f"Give more than {len(bands)} pixels with all bands."
        raise LayerError("there are too few pixels to fit the PCA", seen.count, rule)
    variance, vectors = np.linalg.eigh(seen.matrix)
    order = np.argsort(variance)[::-1][:components]
    axes = vectors[:, order].T
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.sign(axes[np.arange(len(axes)), largest])[:, None]
    # Below this, what is left is rounding.
    if not variance[order[0]] > np.finfo(float).eps * (seen.mean @ seen.mean):
        raise LayerError("the bands do not vary", 0.0, "Give scenes with more than one colour.")
    return PcaFit(
        bands=bands,
        mean=tuple(seen.mean.tolist()),
        axes=tuple(tuple(axis) for axis in axes.tolist()),
        variance=tuple(variance[order].tolist()),
        total=float(variance.sum()),
        pixels=seen.count,
    )


def component_layers(
    names: Sequence[str], arrays: Mapping[str, Array], cell: float, *, fit: PcaFit
) -> list[Array]:
    """Return the components called ``pca_1`` and so on, float32; NaN where a band is missing.

    Parameters
    ----------
    arrays
        The bands of `fit`, ``(y, x)`` float32 reflectance.
    cell
        Cell size in metres; not used.
    fit
        Axes fitted on training scenes.
    """
    axes = np.array([fit.axes[int(name.removeprefix("pca_")) - 1] for name in names])
    return list(weighted_sums([arrays[b] for b in fit.bands], axes, -axes @ np.array(fit.mean)))


def _component(arrays: Mapping[str, Array], cell: float, *, name: str, fit: PcaFit) -> Array:
    return component_layers([name], arrays, cell, fit=fit)[0]


#: The principal components.
PCA = tuple(
    LayerSpec(
        name=f"pca_{number}",
        family="pca",
        long_name=f"principal component {number} of the optical bands",
        formula=f"axis {number} · (bands − mean), axes fitted on training scenes",
        units="1",
        needs=PCA_BANDS,
        compute=partial(_component, name=f"pca_{number}"),
        reference="Pearson 1901, Phil. Mag. 2(11), 559-572",
        together=component_layers,
        fit="pca",
    )
    for number in range(1, COMPONENTS + 1)
)
