"""What layers learn from training scenes: principal axes and grey limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cryonet.errors import LayerError
from cryonet.layers.pca import PCA_BANDS, PcaFit, fit_pca
from cryonet.layers.spec import LayerSpec
from cryonet.progress import SILENT, Progress

FitName = Literal["pca", "texture"]

#: Every fit.
FIT_NAMES: tuple[FitName, ...] = get_args(FitName)

#: Rows that are read at once.
ROWS = 256

#: Texture is computed on this band, in windows and levels of this size. Our choice: nir has
#: 10 m pixels, and snow, ice, rock and water differ in it.
TEXTURE_BAND, WINDOW, LEVELS = "nir", 7, 32

#: Quantiles that become the limits of the grey levels, and the steps they are found to.
QUANTILES, STEP = (0.01, 0.99), 1e-4


class GreyFit(BaseModel):
    """Limits between which an image is cut into grey levels, as data of a manifest.

    Attributes
    ----------
    variable
        The scene variable.
    low, high
        Its limits, in its unit.
    levels, window
        Number of levels, and side of the window in pixels.
    pixels
        Pixels that were seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variable: str
    low: float
    high: float
    levels: Annotated[int, Field(ge=2, le=255)] = LEVELS
    # The table's halo serves no larger window.
    window: Annotated[int, Field(ge=3, le=WINDOW)] = WINDOW
    pixels: int


class Fits(BaseModel):
    """All that layers learned; None where nothing was fitted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pca: PcaFit | None = None
    texture: GreyFit | None = None

    @property
    def names(self) -> tuple[FitName, ...]:
        """Names of the fits that are there."""
        return tuple(name for name in FIT_NAMES if getattr(self, name) is not None)


def fits_of(specs: Iterable[LayerSpec]) -> list[FitName]:
    """Return the names of the fits that layers need, each once."""
    return list(dict.fromkeys(spec.fit for spec in specs if spec.fit))


def fit_layers(
    scenes: Sequence[xr.Dataset],
    *,
    masks: Sequence[NDArray[np.bool_]] | None = None,
    names: Sequence[FitName] | None = None,
    progress: Progress = SILENT,
) -> Fits:
    """Return what the fitted layers need, from the pixels of training scenes.

    Scenes are read by rows, so lazy ones need no more memory than a strip of them.

    Parameters
    ----------
    scenes
        Scenes with the bands wanted.
    masks
        Which pixels count, ``(y, x)`` a scene; all by default.
    names
        Which fits; by default those that all scenes have the bands for.

    Raises
    ------
    LayerError
        If a band is missing that a fit asked for needs, or there are too few pixels.
    """
    needs: dict[FitName, tuple[str, ...]] = {"pca": PCA_BANDS, "texture": (TEXTURE_BAND,)}
    able = [n for n, bands in needs.items() if all(b in s for s in scenes for b in bands)]
    for name in names or ():
        if name not in able:
            lacks = [b for b in needs[name] if not all(b in s for s in scenes)]
            rule = "Give scenes that have them, or leave this fit out."
            raise LayerError(f"the fit of {name} lacks bands", ", ".join(lacks), rule)
    wanted = able if names is None else names
    made: dict[str, Any] = {}
    for done, name in enumerate(wanted):
        progress.step(done, len(wanted), f"fitting {name}")
        blocks = _blocks(scenes, needs[name], masks)
        made[name] = fit_pca(blocks) if name == "pca" else fit_grey(blocks)
    progress.step(len(wanted), len(wanted), "fits")
    return Fits(**made)


def fit_grey(blocks: Iterator[NDArray[np.float32]]) -> GreyFit:
    """Return the grey limits of `TEXTURE_BAND` for blocks ``(1, pixel)`` of it.

    The limits are `QUANTILES`, counted to `STEP`.

    Raises
    ------
    LayerError
        If the pixels have but one value, or there are none.
    """
    counts = np.zeros(int(4 / STEP), np.int64)
    for block in blocks:
        known = block[0][np.isfinite(block[0])].astype(np.float64)
        # From −1 to 3: reflectance, with room for noise and glint.
        places = np.clip((known + 1) / STEP, 0, counts.size - 1).astype(np.int64)
        counts += np.bincount(places, minlength=counts.size)
    total = int(counts.sum())
    ranks = np.cumsum(counts)
    low, high = (float(np.searchsorted(ranks, q * total, "left")) * STEP - 1 for q in QUANTILES)
    if total == 0 or low >= high:
        rule = f"Give scenes in which {TEXTURE_BAND} varies."
        raise LayerError("there is nothing to fit grey limits to", f"{total} pixels", rule)
    return GreyFit(variable=TEXTURE_BAND, low=low, high=high + STEP, pixels=total)


def _blocks(
    scenes: Sequence[xr.Dataset],
    bands: Sequence[str],
    masks: Sequence[NDArray[np.bool_]] | None,
) -> Iterator[NDArray[np.float32]]:
    for number, scene in enumerate(scenes):
        for top in range(0, scene.sizes["y"], ROWS):
            rows = slice(top, top + ROWS)
            values = np.stack([np.asarray(scene[b].isel(y=rows).values) for b in bands])
            if masks is None:
                yield values.reshape(len(bands), -1)
            else:
                yield values[:, masks[number][rows]]
