"""Remove a family: the map of a view as it would be without some families of layers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.bundle import Bundle
from cryonet.classes import NODATA
from cryonet.errors import ConfigError, SceneError
from cryonet.evaluate import Scores, area_table, score
from cryonet.explain.held import HeldView
from cryonet.grid import Window, pixel_areas
from cryonet.layers.spec import Family
from cryonet.manifest import Manifest
from cryonet.metrics import confusion
from cryonet.progress import SILENT, Progress

#: What a hidden family is to the model: left out of training now and then together with all
#: that is hidden with it, or never, and then its layers are merely at their training mean.
How = Literal["trained without", "training mean"]


@dataclass(frozen=True, slots=True)
class MapChange:
    """How a map differs from that of all families.

    Attributes
    ----------
    moves
        Pixels by class of the full map (rows) and of this one (columns).
    codes
        ``(y, x)`` uint8: the class that a pixel has now where it had another, else 255.
    area_km2, share
        Of the pixels that changed, and their share of those that have a class.
    areas_km2
        Of each class, in the full map and in this one.
    """

    moves: NDArray[np.int64]
    codes: NDArray[np.uint8]
    area_km2: float
    share: float
    areas_km2: dict[str, tuple[float, float]]

    @property
    def pixels(self) -> int:
        """How many pixels changed."""
        return int(self.moves.sum() - np.trace(self.moves))


@dataclass(frozen=True, slots=True)
class Without:
    """The map of a view without some families.

    Attributes
    ----------
    hidden
        The families, in the order of the manifest; empty of the full map.
    how
        What each is to the model; see `How`.
    prediction
        As `cryonet.predict.predict_scene` returns it.
    scores, scored
        Against the labels, None if the view has none; and which pixels those are:
        see `cryonet.explain.scored`.
    change
        Against the full map.
    seconds
        That it took to compute.
    """

    hidden: tuple[Family, ...]
    how: dict[Family, How]
    prediction: xr.Dataset
    scores: Scores | None
    scored: str
    change: MapChange
    seconds: float

    @property
    def summary(self) -> str:
        """What was hidden, and how: ``"terrain (trained without)"``."""
        return ", ".join(f"{family} ({self.how[family]})" for family in self.hidden)


class WithoutFamilies:
    """A view whose map can be had without any families, again and again.

    Its inputs are computed once, and hidden layers set to 0, their training mean. The results
    asked for last are kept, so that going back to one takes no time.

    Parameters
    ----------
    window, device, batch, flips, calibrated
        See `cryonet.explain.held.HeldView`.
    keep
        Results that are kept beside the full map: some 10 bytes a class and pixel each.

    Raises
    ------
    ConfigError
        If `keep` is below 0.
    BundleError, GridError
        As for `cryonet.predict.predict_scene`.
    """

    def __init__(
        self,
        bundle: Bundle,
        scene: xr.Dataset,
        window: Window | None = None,
        *,
        device: str = "auto",
        batch: int = 4,
        flips: bool = False,
        calibrated: bool = True,
        keep: int = 8,
        progress: Progress = SILENT,
    ) -> None:
        if keep < 0:
            raise ConfigError("the number of kept results is negative", keep, "Give 0 or more.")
        self.view = HeldView(
            bundle,
            scene,
            window,
            device=device,
            batch=batch,
            flips=flips,
            calibrated=calibrated,
            progress=progress,
        )
        self._keep = keep
        self._kept: OrderedDict[frozenset[Family], Without] = OrderedDict()
        self._full: Without | None = None
        try:
            self._labels, self._scored = self.view.labels()
        except SceneError:
            self._labels, self._scored = np.zeros((0, 0), np.uint8), "none"

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that can be hidden."""
        return self.view.bundle.manifest.families

    def predict(self, hide: Collection[Family] = (), *, progress: Progress = SILENT) -> Without:
        """Return the map without the families `hide`; without none, the full map.

        Raises
        ------
        ConfigError
            If the model has no such family.
        Cancelled
            From `progress`, told of every batch of windows.
        """
        wanted = frozenset(hide)
        unknown = sorted(wanted - set(self.families))
        if unknown:
            rule = f"The model has {', '.join(self.families)}."
            raise ConfigError("the model has no such family", ", ".join(unknown), rule)
        full = self._full
        if full is None:
            full = self._full = self._made(frozenset(), progress)
        if not wanted:
            return full
        found = self._kept.get(wanted) or self._made(wanted, progress)
        self._kept[wanted] = found
        self._kept.move_to_end(wanted)
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        return found

    def _made(self, hide: frozenset[Family], progress: Progress) -> Without:
        started = time.perf_counter()
        manifest = self.view.bundle.manifest
        image = None
        if hide:
            # In the order in memory that the network is fastest with.
            image = self.view.image.copy(order="K")
            image[[layer.family in hide for layer in manifest.layers]] = 0
        prediction = self.view.predict(image, progress=progress)
        codes = prediction["classes"].values
        before = codes if self._full is None else self._full.prediction["classes"].values
        scores = None
        if self._labels.size:
            scores = score(codes, self._labels, self.view.geobox, classes=manifest.classes)
        how = how_hidden(manifest, hide | set(self.view.missing))
        hidden = tuple(family for family in manifest.families if family in hide)
        return Without(
            hidden,
            {family: how[family] for family in hidden},
            prediction,
            scores,
            self._scored,
            self._change(before, codes),
            time.perf_counter() - started,
        )

    def _change(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> MapChange:
        classes: Sequence[str] = self.view.bundle.manifest.classes
        changed = before != after
        areas = pixel_areas(self.view.geobox)[:, 0]
        was = area_table(before, self.view.geobox, classes=classes)
        now = area_table(after, self.view.geobox, classes=classes)
        known = int((after != NODATA).sum())
        return MapChange(
            confusion(after, before, len(classes)),
            np.where(changed, after, np.uint8(NODATA)),
            float((areas * changed.sum(axis=1)).sum()),
            float(changed.sum() / known) if known else float("nan"),
            {name: (was[name], now[name]) for name in classes},
        )


def how_hidden(manifest: Manifest, gone: Collection[Family]) -> dict[Family, How]:
    """Return what hidden families are to the model.

    Training left out whole groups of families, each by chance: one is "trained without" where
    all of its group is gone. Of others the model never saw the mean at every pixel.
    """
    whole = {f for group in manifest.optional_families if set(group) <= set(gone) for f in group}
    return {
        family: "trained without" if family in whole else "training mean"
        for family in manifest.families
        if family in gone
    }
