"""The simulated interferogram: coherence and wrapped phase from correlated speckle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryonet.synthetic.cover import Cover
from cryonet.synthetic.drainage import Grid
from cryonet.synthetic.fractal import fractal_field, ragged_patches

#: Wavelength of Sentinel-1, m.
WAVELENGTH = 0.0555


@dataclass(frozen=True, slots=True)
class Pair:
    """How the simulated pair was acquired and looked at. All values are our choice.

    Attributes
    ----------
    looks, native_resolution
        Independent looks in a pixel of the interferogram, and the side of that pixel, m.
    days
        Time between the two images.
    ambiguity
        Height that turns the topographic phase once, m.
    heading
        Direction the radar looks, degrees clockwise from north.
    incidence, margin
        Angle of the beam from the vertical, and how much steeper a slope towards the radar
        may be before its pixels are given up, degrees.
    """

    looks: int = 20
    native_resolution: float = 40.0
    days: float = 12.0
    ambiguity: float = 260.0
    heading: float = 78.0
    incidence: float = 39.0
    margin: float = 15.0


PAIR = Pair()


def true_coherence(cover: Cover, speed: Grid, rng: np.random.Generator) -> Grid:
    """Return the coherence without the estimator's bias.

    Rock keeps its scatterers, plants move, snow and ice melt, moving ice deforms and
    water keeps nothing; each is a factor exp(−t/τ) or a Gaussian of the motion.

    References
    ----------
    Zebker & Villasenor 1992: Decorrelation in interferometric radar echoes, IEEE TGRS 30.
    """
    noise = fractal_field(cover.labels.shape, rng, slope=1.5, longest=40)
    kept = np.full(cover.labels.shape, 0.84)
    kept *= 1 - 0.62 * cover.plants
    kept *= 1 - 0.72 * cover.snow
    kept = np.where(cover.labels == 2, 0.50, kept)
    kept = np.where((cover.labels == 1) & (cover.snow < 0.5), 0.26, kept)
    kept *= np.exp(-((speed / 40.0) ** 2))
    kept = np.where(cover.labels == 3, 0.0, kept)
    return np.clip(kept + 0.05 * noise * (kept > 0), 0.0, 0.98)


def sample_interferogram(
    coherence: Grid, phase: Grid, *, looks: int, rng: np.random.Generator
) -> tuple[Grid, Grid]:
    """Return coherence and wrapped phase as estimated from `looks` pairs of speckle.

    Both come from one complex sum over circular Gaussian samples, so the estimate has
    the bias and the phase the noise that belong to `looks` and the true coherence.

    References
    ----------
    Touzi, Lopes, Bruniquel, Vachon 1999: Coherence estimation for SAR imagery, IEEE
    TGRS 37.
    """
    cross = np.zeros(coherence.shape, complex)
    first_power, second_power = np.zeros(coherence.shape), np.zeros(coherence.shape)
    rest = np.sqrt(1.0 - coherence**2)
    for _ in range(looks):
        first = _speckle(coherence.shape, rng)
        second = coherence * first + rest * _speckle(coherence.shape, rng)
        cross += first * np.conj(second)
        first_power += np.abs(first) ** 2
        second_power += np.abs(second) ** 2
    estimate = np.abs(cross) / np.sqrt(first_power * second_power)
    return np.minimum(estimate, 1.0), wrap(phase + np.angle(cross))


def _speckle(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.complex128]:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def wrap(phase: Grid) -> Grid:
    """Return the phase wrapped to (−π, π]."""
    return np.asarray(np.pi - np.mod(np.pi - phase, 2 * np.pi))


def clean_phase(
    surface: Grid, speed: Grid, pair: Pair, rng: np.random.Generator, *, cell: float
) -> Grid:
    """Return the unwrapped phase: height, motion along the line of sight, and air."""
    height = 2 * np.pi * (surface - surface.mean()) / pair.ambiguity
    down, right = np.gradient(surface, cell)
    fall = np.maximum(np.hypot(down, right), 1e-6)
    angle = np.radians(pair.heading)
    # Ice moves down the slope; the radar sees the part along its own direction.
    along = (-right * np.sin(angle) + down * np.cos(angle)) / fall
    moved = speed * pair.days / 365.25 * along * np.sin(np.radians(pair.incidence))
    air = 0.8 * fractal_field(surface.shape, rng, slope=3.0)
    result: Grid = height + 4 * np.pi / WAVELENGTH * moved + air
    return result


def simulate_insar(
    cover: Cover, speed: Grid, rng: np.random.Generator, *, cell: float, pair: Pair = PAIR
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return coherence and wrapped phase on the scene's grid, NaN in radar layover.

    They are simulated at the interferogram's own pixel and repeated, not interpolated,
    onto the finer grid.
    """
    shape = cover.labels.shape
    block = max(1, round(pair.native_resolution / cell))
    truth = _blocks(true_coherence(cover, speed, rng), block)
    phase = _blocks(clean_phase(cover.surface, speed, pair, rng, cell=cell), block)
    coherence, wrapped = sample_interferogram(truth, phase, looks=pair.looks, rng=rng)
    missing = layover(_blocks(cover.surface, block), pair, cell=cell * block)
    missing |= ragged_patches(truth.shape, rng, share=0.002)
    coherence[missing] = wrapped[missing] = np.nan
    return _repeat(coherence, block, shape), _clip(_repeat(wrapped, block, shape))


def layover(surface: Grid, pair: Pair, *, cell: float) -> NDArray[np.bool_]:
    """Return where ground leans so far towards the radar that nothing is left to use.

    Ground steeper than the incidence angle folds over itself; it is given up from
    `Pair.margin` degrees beyond.
    """
    angle = np.radians(pair.heading)
    down, right = np.gradient(surface, cell)
    # The radar looks along `heading`: ground that rises that way faces it.
    rise = right * np.sin(angle) - down * np.cos(angle)
    return np.asarray(rise > np.tan(np.radians(pair.incidence + pair.margin)))


def _blocks(field: Grid, block: int) -> Grid:
    rows, columns = field.shape
    padded = np.pad(field, ((0, -rows % block), (0, -columns % block)), mode="edge")
    cut = padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block)
    return np.asarray(cut.mean(axis=(1, 3)))


def _repeat(field: Grid, block: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    full = field.repeat(block, axis=0).repeat(block, axis=1)[: shape[0], : shape[1]]
    return full.astype(np.float32)


def _clip(phase: NDArray[np.float32]) -> NDArray[np.float32]:
    # float32 rounds π upwards: keep the largest float32 below it.
    limit = np.nextafter(np.float32(np.pi), np.float32(0))
    return np.clip(phase, -limit, limit)
