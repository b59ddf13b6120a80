"""Baselines: what inputs are held against, by name and meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cryonet.errors import ConfigError, CryonetError
from cryonet.explain.view import View

Image = NDArray[np.float32]

#: Deviation of the Gaussian of the blurred baseline, pixels. Our choice: at 10 m it wipes out
#: what is smaller than some 200 m, and keeps the lie of the land.
SIGMA = 10.0

#: Class code of rock and all other ground.
_ROCK = 0


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline's name, what it means, and how it is made from a view, ``(layer, y, x)``."""

    name: str
    meaning: str
    make: Callable[[View], Image]


def _training_mean(view: View) -> Image:
    return np.zeros_like(view.image)


def _local_rock_mean(view: View) -> Image:
    labels = view.labels
    rock = view.valid & (labels == _ROCK) if labels is not None else np.zeros_like(view.valid)
    if not rock.any():
        rock = view.valid & (view.codes == _ROCK)
    if not rock.any():
        raise CryonetError(
            "the window has no rock",
            f"{view.window.height} × {view.window.width} pixels",
            "Neither labels nor map call a pixel other ground; take another baseline.",
        )
    found = np.zeros_like(view.image)
    for number, (values, known) in enumerate(zip(view.image, view.known, strict=True)):
        mine = rock & known
        found[number] = values[mine].mean(dtype=np.float64) if mine.any() else 0.0
    return found


def _blurred(view: View) -> Image:
    found = np.zeros_like(view.image)
    for number, (values, known) in enumerate(zip(view.image, view.known, strict=True)):
        # Holes have no weight; without that their fill would leak into the pixels round them.
        weight = gaussian_filter(known.astype(np.float32), SIGMA, mode="nearest")
        total = gaussian_filter(np.where(known, values, 0), SIGMA, mode="nearest")
        np.divide(total, weight, out=found[number], where=known & (weight > 1e-6))
    return found


#: Baselines by name.
BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        row.name: row
        for row in (
            Baseline(
                "training mean",
                "every layer at its mean over the training pixels",
                _training_mean,
            ),
            Baseline(
                "local rock mean",
                "every layer at its mean over the rock and other ground of this window, as "
                "labelled, or else as mapped",
                _local_rock_mean,
            ),
            Baseline(
                "blurred",
                f"every layer smoothed by a Gaussian of {SIGMA:g} pixels, so that only its "
                "detail is in question",
                _blurred,
            ),
        )
    }
)


def baseline_image(view: View, name: str) -> Image:
    """Return the named baseline of a view, ``(layer, y, x)`` float32, normalised.

    What was filled in the inputs stays as it was filled, so that what is missing explains
    nothing.

    Raises
    ------
    ConfigError
        If there is no such baseline.
    CryonetError
        If the window has no rock and its mean is asked for.
    """
    if name not in BASELINES:
        raise ConfigError("the baseline is unknown", name, f"Known: {', '.join(BASELINES)}.")
    found = BASELINES[name].make(view)
    np.copyto(found, view.image, where=~view.known)
    return found
