"""Fractal fields: fractional Brownian surfaces made in the frequency domain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Field = NDArray[np.float64]


def fractal_field(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    slope: float = 2.0,
    longest: float | None = None,
    shortest: float = 2.0,
) -> Field:
    """Return a random field of zero mean and unit variance with a power-law spectrum.

    Parameters
    ----------
    shape
        Rows and columns.
    slope
        Exponent β of the power spectrum k^−β: 0 is white noise, 2 to 3 is like relief.
    longest, shortest
        Wavelengths in pixels between which the field varies; `longest` defaults to the
        longer side.

    References
    ----------
    Fournier, Fussell, Carpenter 1982: Computer rendering of stochastic models.
    """
    rows, columns = shape
    # Twice the size, then cut: the transform is periodic, the cut is not.
    size = (fft.next_fast_len(rows + 16), fft.next_fast_len(columns + 16))
    white = rng.standard_normal(size, dtype=np.float32)
    along = np.fft.fftfreq(size[0])[:, None]
    across = np.fft.rfftfreq(size[1])[None, :]
    frequency = np.hypot(along, across)
    low = 1.0 / (longest or max(shape))
    high = 1.0 / shortest
    frequency[0, 0] = np.inf
    gain = np.maximum(frequency, low) ** (-slope / 2)
    gain *= np.exp(-((low / (2 * frequency)) ** 4)) * np.exp(-((frequency / high) ** 4))
    gain[0, 0] = 0.0
    field = fft.irfft2(fft.rfft2(white) * gain.astype(np.float32), s=size)[:rows, :columns]
    field = field.astype(np.float64)
    return np.asarray((field - field.mean()) / field.std())


def resize(field: NDArray[np.floating], shape: tuple[int, int], *, order: int = 1) -> Field:
    """Return `field` interpolated to `shape`, pixel areas kept aligned at the outer edges."""
    if field.shape == shape:
        return field.astype(np.float64)
    factors = (shape[0] / field.shape[0], shape[1] / field.shape[1])
    result = ndimage.zoom(
        field.astype(np.float64), factors, order=order, mode="nearest", grid_mode=True
    )
    return np.asarray(result)


def ragged_patches(
    shape: tuple[int, int], rng: np.random.Generator, *, share: float
) -> NDArray[np.bool_]:
    """Return a few ragged patches that together cover `share` of the ground."""
    field = fractal_field(shape, rng, slope=4.0, longest=max(shape) / 5, shortest=8)
    return np.asarray(field >= np.quantile(field, 1 - share))
