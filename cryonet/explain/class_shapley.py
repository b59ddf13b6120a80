"""What families are worth to each class: Shapley values of many pixels at once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError, SceneError
from cryonet.explain.baselines import baseline_image
from cryonet.explain.evidence import LEAST, has_gradient
from cryonet.explain.held import HeldView
from cryonet.explain.shapley import coalitions_of, exact_shares
from cryonet.explain.task import PIXELS_AT_ONCE
from cryonet.explain.view import View, surroundings
from cryonet.grid import Window
from cryonet.progress import SILENT, Progress
from cryonet.runner import pick_device


@dataclass(frozen=True, slots=True)
class ClassShapley:
    """Shapley values of the families at pixels of each class, for the evidence of that class.

    Attributes
    ----------
    sizes, means
        By class, then family: the mean of |value|, and of the value, log-odds.
    pixels
        How many of each mapped class were drawn.
    gap
        The largest |sum − difference from the baseline| of a pixel, log-odds.
    baseline, seed, seconds
        How they were had.
    """

    sizes: dict[str, dict[str, float]]
    means: dict[str, dict[str, float]]
    pixels: dict[str, int]
    gap: float
    baseline: str
    seed: int
    seconds: float

    def overall(self) -> dict[str, float]:
        """Return the mean over classes of the mean |value| of each family."""
        rows = [row for name, row in self.sizes.items() if self.pixels[name]]
        return {family: float(np.mean([row[family] for row in rows])) for family in rows[0]}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "mean_size": self.sizes,
            "mean": self.means,
            "pixels": self.pixels,
            "gap": self.gap,
            "baseline": self.baseline,
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
        }


def class_shapley(
    bundle: Bundle,
    scene: xr.Dataset,
    *,
    window: Window | None = None,
    pixels: int = 200,
    tiles: int = 1,
    baseline: str = "training mean",
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> ClassShapley:
    """Return exact Shapley values of the families at a sample of pixels of each mapped class.

    For each class, tiles are laid round random pixels of it; in all tiles pixels of every class
    are drawn. One pass of the network over all 2^n coalitions serves all pixels of a tile.

    Parameters
    ----------
    window
        Where pixels are drawn from; all of the scene by default.
    pixels
        Of each class and tile, at most.
    tiles
        For each class that is mapped there.
    baseline
        From `cryonet.explain.baselines.BASELINES`, tile by tile.
    seed
        Of the draws.

    Raises
    ------
    ConfigError
        If a number is below 1, or the baseline or device is unknown.
    SceneError
        If no pixel has a class.
    BundleError, GridError
        As for `cryonet.predict.predict_scene`.
    Cancelled
        From `progress`, told of every batch.
    """
    if min(pixels, tiles) < 1:
        raise ConfigError("there is no pixel to draw", (pixels, tiles), "Give 1 or more of both.")
    started = time.perf_counter()
    manifest = bundle.manifest
    view = HeldView(bundle, scene, window, device=device)
    codes = view.predict(progress=_Start(progress))["classes"].values
    shape = (int(scene["y"].size), int(scene["x"].size))
    drawn = np.random.default_rng(seed)
    places = []
    for code in range(len(manifest.classes)):
        rows, cols = np.nonzero(codes == code)
        for pick in drawn.integers(0, len(rows), tiles) if len(rows) else ():
            row, col = view.target.row + int(rows[pick]), view.target.col + int(cols[pick])
            places.append(surroundings(Window(row, col, 1, 1), shape, manifest.tile))
    if not places:
        name = str(scene.attrs.get("id", "scene"))
        raise SceneError("no pixel has a class to explain", name, "Its layers have only holes.")
    found: dict[int, list[NDArray[np.float64]]] = {n: [] for n in range(len(manifest.classes))}
    gap = 0.0
    for number, place in enumerate(places):
        tile = View.of(bundle, scene, place)
        rows, cols = _sample(tile.codes, len(manifest.classes), pixels, drawn)
        steps = _Tile(progress, number, len(places))
        mapped = tile.codes[rows, cols]
        values = _coalition_values(tile, baseline, rows, cols, mapped, device, steps)
        shares = _shapley_matrix(len(manifest.families)) @ values
        gap = max(gap, float(np.abs(shares.sum(axis=0) - (values[-1] - values[0])).max()))
        for code in np.unique(mapped):
            found[int(code)].append(shares[:, mapped == code])
    sizes: dict[str, dict[str, float]] = {}
    means: dict[str, dict[str, float]] = {}
    counts: dict[str, int] = {}
    for code, name in enumerate(manifest.classes):
        parts = found[code] or [np.full((len(manifest.families), 0), np.nan)]
        every = np.concatenate(parts, axis=1)
        counts[name] = every.shape[1]
        for table, values in ((sizes, np.abs(every)), (means, every)):
            numbers = values.mean(axis=1) if values.size else np.full(len(values), np.nan)
            table[name] = {f: float(v) for f, v in zip(manifest.families, numbers, strict=True)}
    return ClassShapley(sizes, means, counts, gap, baseline, seed, time.perf_counter() - started)


def _sample(
    codes: NDArray[np.uint8], classes: int, most: int, drawn: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, cols = [], []
    for code in range(classes):
        where = np.flatnonzero(codes == code)
        chosen = drawn.choice(where, min(most, len(where)), replace=False)
        rows.append(chosen // codes.shape[1])
        cols.append(chosen % codes.shape[1])
    return np.concatenate(rows), np.concatenate(cols)


def _shapley_matrix(players: int) -> NDArray[np.float64]:
    """Return what takes values of all coalitions, by number, to Shapley values."""
    return np.array([exact_shares(row) for row in np.eye(2**players)]).T


def _coalition_values(
    view: View,
    baseline: str,
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    codes: NDArray[np.uint8],
    device: str,
    progress: Progress,
) -> NDArray[np.float64]:
    """Return the evidence ``(coalition, pixel)`` of each pixel's class from what families."""
    where = pick_device(device)
    network = view.bundle.module.to(where).eval()
    families = view.bundle.manifest.families
    member = np.array([[own == family for own in view.families] for family in families])
    count = 2 ** len(families)
    keep = torch.from_numpy(coalitions_of(len(families)) @ member)[:, :, None, None].to(where)
    image = torch.from_numpy(view.image)[None].to(where)
    start = torch.from_numpy(baseline_image(view, baseline))[None].to(where)
    size = max(1, PIXELS_AT_ONCE // (image.shape[-1] * image.shape[-2]))
    smooth = has_gradient(view.bundle.module)
    found = np.empty((count, len(rows)))
    with torch.inference_mode():
        for first in range(0, count, size):
            mixed = torch.where(keep[first : first + size], image, start)
            logits = network(mixed.contiguous(memory_format=torch.channels_last))
            here = logits.cpu()[:, :, rows, cols].double().numpy()
            found[first : first + size] = _log_odds(here, codes, smooth)
            progress.step(min(first + size, count), count, "Shapley values")
    return found


def _log_odds(
    logits: NDArray[np.float64], codes: NDArray[np.uint8], smooth: bool
) -> NDArray[np.float64]:
    """Return ln p / (1 − p) of each pixel's class, from ``(batch, class, pixel)``."""
    pixel = np.arange(len(codes))
    top = logits.max(axis=1, keepdims=True)
    powers = np.exp(logits - top)
    if not smooth:
        shares = np.clip(powers[:, codes, pixel] / powers.sum(axis=1), LEAST, 1 - LEAST)
        odds: NDArray[np.float64] = np.log(shares) - np.log1p(-shares)
        return odds
    mine = logits[:, codes, pixel]
    rest = logits.copy()
    rest[:, codes, pixel] = -np.inf
    peak = rest.max(axis=1)
    found: NDArray[np.float64] = mine - peak - np.log(np.exp(rest - peak[:, None]).sum(axis=1))
    return found


class _Start:
    """Progress of what comes before the tiles: none, but it can be stopped."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def step(self, done: int, total: int, message: str = "") -> None:
        self._progress.step(0, total, message)


class _Tile:
    """Progress of one tile of several."""

    def __init__(self, progress: Progress, number: int, count: int) -> None:
        self._progress, self._number, self._count = progress, number, count

    def step(self, done: int, total: int, message: str = "") -> None:
        said = f"{message}, tile {self._number + 1} of {self._count}"
        self._progress.step(self._number * total + done, self._count * total, said)
