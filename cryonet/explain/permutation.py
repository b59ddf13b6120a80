"""Permutation importance: how far scores fall when layers are shuffled among pixels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError
from cryonet.explain.held import HeldView
from cryonet.grid import Window
from cryonet.metrics import class_scores, confusion, macro_iou
from cryonet.progress import SILENT, Progress

#: What is shuffled together.
UNITS: Mapping[str, str] = {
    "family": "all layers of a family by one permutation",
    "layer": "one layer at a time",
}


@dataclass(frozen=True, slots=True)
class Permutation:
    """By how much scores fall when a family or layer is shuffled (Breiman 2001).

    Attributes
    ----------
    by
        See `UNITS`.
    classes
        Names of the classes.
    macro, iou
        Of the map from the inputs as they are: macro IoU, and IoU of each class.
    falls
        By family or layer, ``(repeat, 1 + class)``: the fall of the macro IoU, then of each
        class's IoU; NaN where a class has none. Below 0 the shuffled map is better.
    scored
        Which labels were scored; see `cryonet.explain.scored`.
    pixels
        How many.
    seed, seconds
        Of the permutations; how long it took.
    """

    by: str
    classes: tuple[str, ...]
    macro: float
    iou: tuple[float, ...]
    falls: dict[str, NDArray[np.float64]]
    scored: str
    pixels: int
    seed: int
    seconds: float

    def means(self, of: str = "macro") -> dict[str, float]:
        """Return the mean fall of each family or layer: of ``macro``, or of a class's IoU.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        column = self._column(of)
        return {name: float(falls[:, column].mean()) for name, falls in self.falls.items()}

    def spreads(self, of: str = "macro") -> dict[str, float]:
        """Return the standard deviation of the falls over the repeats; NaN of a single one."""
        column = self._column(of)
        return {
            name: float(falls[:, column].std(ddof=1)) if len(falls) > 1 else float("nan")
            for name, falls in self.falls.items()
        }

    def _column(self, of: str) -> int:
        names = ("macro", *self.classes)
        if of not in names:
            raise ConfigError("there is no such score", of, f"Give one of {', '.join(names)}.")
        return names.index(of)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; None where a score is undefined."""
        names = ("macro", *self.classes)
        return {
            "by": self.by,
            "seed": self.seed,
            "scored": self.scored,
            "pixels": self.pixels,
            "iou": {n: _plain(v) for n, v in zip(names, (self.macro, *self.iou), strict=True)},
            "falls": {
                name: {n: [_plain(v) for v in falls[:, k]] for k, n in enumerate(names)}
                for name, falls in self.falls.items()
            },
            "seconds": round(self.seconds, 2),
        }


def permutation_importance(
    bundle: Bundle,
    scene: xr.Dataset,
    *,
    windows: Sequence[Window] | None = None,
    by: Literal["family", "layer"] = "family",
    repeats: int = 3,
    seed: int = 0,
    device: str = "auto",
    batch: int = 4,
    progress: Progress = SILENT,
) -> Permutation:
    """Return by how much the scores on a labelled scene fall with each family shuffled.

    The pixels of the layers trade places among the valid pixels that the network sees of a
    window, so that each layer keeps its values but not where they lie: their neighbours go
    too, which is part of what is lost. Filled pixels count with their filling. All windows are
    scored together.

    Parameters
    ----------
    windows
        With labels; all of the scene as one by default. Memory holds the inputs of one, twice.
    by
        See `UNITS`.
    repeats, seed
        Permutations of each, and what they are drawn from.
    device, batch
        As for `cryonet.predict.predict_scene`.
    progress
        Told of every batch of network windows.

    Raises
    ------
    ConfigError
        If `by` is unknown, there is no repeat or no window.
    SceneError
        If no pixel of a window has a label.
    BundleError, GridError
        As for `cryonet.predict.predict_scene`.
    Cancelled
        From `progress`.

    References
    ----------
    Breiman (2001), Random forests; Fisher, Rudin & Dominici (2019), All models are wrong, but
    many are useful.
    """
    if by not in UNITS:
        raise ConfigError("the unit of shuffling is unknown", by, f"Give {' or '.join(UNITS)}.")
    if repeats < 1:
        raise ConfigError("there is no repeat", repeats, "Give 1 or more.")
    if windows is not None and not windows:
        raise ConfigError("there is no window", "[]", "Give one or more, or None for the scene.")
    started = time.perf_counter()
    manifest = bundle.manifest
    groups = _groups(bundle, by)
    count = len(manifest.classes)
    plain = np.zeros((count, count), np.int64)
    shuffled = {name: np.zeros((repeats, count, count), np.int64) for name in groups}
    places = [None] if windows is None else list(windows)
    steps = Passes(progress, len(places) * (1 + repeats * len(groups)))
    split = ""
    for number, window in enumerate(places):
        view = HeldView(bundle, scene, window, device=device, batch=batch)
        labels, here = view.labels()
        split = here if split in ("", here) else "mixed"
        plain += confusion(_classes(view, None, steps), labels, count)
        for order, (name, channels) in enumerate(groups.items()):
            for repeat in range(repeats):
                generator = np.random.default_rng([seed, number, order, repeat])
                image = shuffle(view.image, channels, view.valid, generator)
                shuffled[name][repeat] += confusion(_classes(view, image, steps), labels, count)
    base = _figures(plain)
    return Permutation(
        by,
        tuple(manifest.classes),
        float(base[0]),
        tuple(float(value) for value in base[1:]),
        {
            name: np.array([base - _figures(matrix) for matrix in matrices])
            for name, matrices in shuffled.items()
        },
        split,
        int(plain.sum()),
        seed,
        time.perf_counter() - started,
    )


def shuffle(
    image: NDArray[np.float32],
    channels: Sequence[int],
    valid: NDArray[np.bool_],
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return inputs ``(layer, y, x)`` with some layers shuffled, together, among valid pixels."""
    made = image.copy(order="K")
    places = np.flatnonzero(valid)
    order = generator.permutation(places)
    for channel in channels:
        flat = image[channel].ravel()
        after = flat.copy()
        after[places] = flat[order]
        made[channel] = after.reshape(valid.shape)
    return made


class Passes:
    """Progress over several predictions of the same length.

    Parameters
    ----------
    count
        How many there are.
    """

    def __init__(self, progress: Progress, count: int, message: str = "shuffling") -> None:
        self._progress, self._count, self._message = progress, count, message
        self._done = 0

    def next(self) -> None:
        """Begin the next prediction."""
        self._done += 1

    def step(self, done: int, total: int, message: str = "") -> None:
        """Report `done` of `total` batches of the present prediction."""
        said = f"{self._message}, pass {self._done + 1} of {self._count}"
        self._progress.step(self._done * total + done, self._count * total, said)


def _classes(view: HeldView, image: NDArray[np.float32] | None, steps: Passes) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = view.predict(image, progress=steps)["classes"].values
    steps.next()
    return codes


def _groups(bundle: Bundle, by: str) -> dict[str, list[int]]:
    layers = bundle.manifest.layers
    found: dict[str, list[int]] = {}
    for channel, layer in enumerate(layers):
        found.setdefault(layer.family if by == "family" else layer.name, []).append(channel)
    return found


def _figures(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([macro_iou(matrix), *class_scores(matrix)["iou"]])


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
