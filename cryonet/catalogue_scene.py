"""A scene from a catalogue: Sentinel-2 of the best passes and the Copernicus DEM, one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.catalogue_journal import Arrays, Journal, window_name
from cryonet.catalogue_plan import OPTICAL, Order, Plan, make_plan, reflectance
from cryonet.errors import SceneError
from cryonet.grid import Window
from cryonet.progress import SILENT, Cancelled, Progress
from cryonet.scene import scene_from_arrays
from cryonet.scene_writer import Storage, check_target, encode, write_scene
from cryonet.sources.catalogue import DEM_TERMS, TERMS
from cryonet.sources.composite import NONE, Layer, best_pixel, median_of
from cryonet.sources.dem import load_dem
from cryonet.sources.patience import Patience
from cryonet.sources.remote import Reader, Remote
from cryonet.sources.scene_classes import usable
from cryonet.sources.warp import Method

#: Side of the windows in which a scene is loaded, kept and continued, pixels. Blocks of the
#: files at a window's edge are fetched for its neighbour once more.
WINDOW = 2048

#: How reflectance is stored: in Sentinel-2's own steps, 65535 where nothing is known, and
#: with room below 0 for an offset that was taken off twice.
STORAGE = Storage("uint16", 1e-4, -0.2, 65535.0)

#: Reflectance above which a number is saturated, whatever the classification says.
_SATURATED = 6.3

_KEPT = "what was read is kept, and the same command goes on from there"


def plan_scene(
    out: str | Path,
    order: Order,
    *,
    overwrite: bool = False,
    patience: Patience | None = None,
    progress: Progress = SILENT,
) -> Plan:
    """Return what to load for a scene: of an unfinished download, or made anew.

    Raises
    ------
    SceneError, GridError
        If `out` may not be written, an unfinished download lies there that was ordered
        differently, or as `make_plan`.
    """
    check_target(out, overwrite=overwrite)
    found = Journal(out).plan(order, overwrite=overwrite)
    return found or make_plan(order, patience=patience, progress=progress)


def fetch_scene(
    out: str | Path,
    plan: Plan,
    *,
    overwrite: bool = False,
    patience: Patience | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Load what `plan_scene` found, write it as a scene's folder, and return that.

    What is loaded is kept beside the scene until it is complete: stopped in any way, the
    same call goes on from there.

    Raises
    ------
    SceneError, GridError
        If `out` may not be written, files of the catalogue stay unreadable, or the disk
        refuses.
    Cancelled
        If `progress` says so, or on Ctrl-C.
    """
    check_target(out, overwrite=overwrite)
    journal = Journal(out)
    work = _Download(plan, journal, patience or Patience(), progress)
    try:
        journal.start(plan)
        elevation = work.elevation()
        work.windows()
    except (Cancelled, KeyboardInterrupt) as stop:
        raise Cancelled(_KEPT) from stop
    work.tell("writing")
    path = _write(out, plan, journal, elevation, overwrite)
    journal.clear()
    progress.step(work.total, work.total, "written")
    return path


@dataclass(slots=True)
class _Download:
    """Loads what a journal lacks."""

    plan: Plan
    journal: Journal
    patience: Patience
    progress: Progress
    total: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        self.total = 1 + len(_windows(self.plan.order.grid)) * len(self.plan.chosen)

    def tell(self, text: str) -> None:
        self.progress.step(min(self.done, self.total), self.total, text)

    def elevation(self) -> NDArray[np.float32] | None:
        """Return the DEM on the scene's grid, None where the catalogue has none."""
        self.tell("elevation")
        if not self.plan.dem:
            return None
        kept = self.journal.load("elevation")
        if kept is None:
            reader = Reader(self.patience, tell=self.tell)
            values, warps = load_dem(self.plan.dem, self.plan.order.grid, reader=reader)
            self.plan.warps += warps
            self.journal.start(self.plan)
            kept = {"elevation": values}
            self.journal.keep("elevation", kept)
        self.done = 1
        return kept["elevation"]

    def windows(self) -> None:
        """Load every window that is not kept yet."""
        grid = self.plan.order.grid
        reader = Reader(self.patience, tell=self.tell)
        passes = len(self.plan.chosen)
        for number, window in enumerate(_windows(grid)):
            self.done = 1 + number * passes
            if self.journal.load(window_name(window)) is None:
                layers = self._layers(reader, grid[window.slices])
                self.journal.keep(window_name(window), _compose(self.plan.order, layers, window))

    def _layers(self, reader: Reader, grid: GeoBox) -> Iterator[Layer]:
        for place, remotes in enumerate(self.plan.images):
            self.tell(self.plan.acquisitions[place].name)
            for remote in remotes:
                clear = usable(reader.read(remote, grid, {"scl": "nearest"})["scl"])
                yield Layer(place, clear, partial(self._values, reader, remote, grid))
            self.done += 1

    def _values(self, reader: Reader, remote: Remote, grid: GeoBox) -> NDArray[np.float32]:
        methods = _methods(self.plan, remote)
        numbers = reader.read(remote, grid, methods)
        values = np.stack([reflectance(numbers[n], remote.scaling[n]) for n in OPTICAL])
        values[values > _SATURATED] = np.nan
        return values


def _methods(plan: Plan, remote: Remote) -> dict[str, Method]:
    rows = {row["file"]: row["resampling"] for row in plan.warps}
    return {name: rows[f"{remote.item.id}/{name}"] for name in OPTICAL}


def _compose(order: Order, layers: Iterator[Layer], window: Window) -> Arrays:
    shape = (len(OPTICAL), window.height, window.width)
    if order.composite == "best":
        values, source = best_pixel(layers, shape)
    else:
        values, source = median_of(layers, shape, most=order.images)
    made = {n: encode(values[k], STORAGE, name=n) for k, n in enumerate(OPTICAL)}
    return {**made, "source": source}


def _windows(grid: GeoBox) -> list[Window]:
    height, width = (int(side) for side in grid.shape)
    # Not `tile_windows`: its last window overlaps the one before.
    return [
        Window(row, col, min(WINDOW, height - row), min(WINDOW, width - col))
        for row in range(0, height, WINDOW)
        for col in range(0, width, WINDOW)
    ]


def _write(
    out: str | Path,
    plan: Plan,
    journal: Journal,
    elevation: NDArray[np.float32] | None,
    overwrite: bool,
) -> Path:
    grid = plan.order.grid
    arrays: dict[str, Any] = {n: _joined(journal, grid, n) for n in OPTICAL}
    if elevation is not None and np.isfinite(elevation).any():
        arrays["elevation"] = elevation
    return write_scene(
        scene_from_arrays(arrays, grid),
        out,
        properties=_properties(plan, journal, elevation),
        storage={"optical": STORAGE},
        overwrite=overwrite,
    )


def _joined(journal: Journal, grid: GeoBox, name: str) -> Any:
    """Return one band of the whole scene, its windows read when they are asked for."""
    lazy: Any = dask.array  # parts of it have no types
    rows: dict[int, list[Any]] = {}
    for window in _windows(grid):
        part = delayed(_decoded)(journal, window, name)
        shape = (window.height, window.width)
        rows.setdefault(window.row, []).append(lazy.from_delayed(part, shape, np.float32))
    return lazy.block([rows[row] for row in sorted(rows)])


def _decoded(journal: Journal, window: Window, name: str) -> NDArray[np.float32]:
    numbers = _kept(journal, window, name)
    values = numbers * np.float32(STORAGE.scale) + np.float32(STORAGE.offset)
    return np.where(numbers == STORAGE.nodata, np.float32(np.nan), values).astype(np.float32)


def _kept(journal: Journal, window: Window, name: str) -> NDArray[Any]:
    arrays = journal.load(window_name(window), [name])
    if arrays is None:
        rule = "Run the same command again: it is loaded anew."
        raise SceneError("a part of the download is gone", window_name(window), rule)
    return arrays[name]


def _properties(
    plan: Plan, journal: Journal, elevation: NDArray[np.float32] | None
) -> dict[str, Any]:
    shares = _shares(plan, journal)
    times = sorted(item.datetime for remotes in plan.images for item in _items(remotes))
    best = plan.acquisitions[0]
    years = ", ".join(sorted({f"{time:%Y}" for time in times}))
    remarks = list(plan.remarks)
    missing = 1 - sum(shares.values()) if plan.order.composite == "best" else shares[NONE]
    if missing > 0:
        remarks.append(f"{missing:.2%} of the pixels are seen clearly by none of the passes")
    holes = 1.0 if elevation is None else float(np.isnan(elevation).mean())
    if holes > 0:
        remarks.append(f"elevation: {holes:.2%} of the pixels have none in the catalogue's DEM")
    found: dict[str, Any] = {
        "synthetic": False,
        "datetime": best.time.isoformat(),
        "start_datetime": _utc(times[0]),
        "end_datetime": _utc(times[-1]),
        "title": f"{plan.order.area.title}, Sentinel-2, {_days(times)}",
        "constellation": "sentinel-2",
        "processing:level": "L2A",
        "license": "other",
        "cryonet:terms": f"{TERMS.format(years=years)} {DEM_TERMS}",
        "cryonet:catalogue": plan.order.catalogue.url,
        "cryonet:composite": plan.order.composite,
        "cryonet:sources": _sources(plan, shares),
        "cryonet:warps": plan.warps,
        "cryonet:remarks": remarks,
    }
    platforms = {item.properties.get("platform") for r in plan.images for item in _items(r)}
    if len(platforms) == 1 and None not in platforms:
        found["platform"] = str(platforms.pop()).lower()
    if best.sun is not None:
        found |= {"view:sun_azimuth": best.sun[0], "view:sun_elevation": best.sun[1]}
    return found


def _shares(plan: Plan, journal: Journal) -> dict[int, float]:
    """Return which share of the pixels is of each pass; of a median the share that has none."""
    counts = np.zeros(256, int)
    for window in _windows(plan.order.grid):
        counts += np.bincount(_kept(journal, window, "source").ravel(), minlength=256)
    if plan.order.composite == "median":
        return {NONE: float(counts[0] / counts.sum())}
    return {place: float(counts[place] / counts.sum()) for place in range(len(plan.chosen))}


def _sources(plan: Plan, shares: dict[int, float]) -> list[dict[str, Any]]:
    rows = []
    for place, remotes in enumerate(plan.images):
        for remote in remotes:
            scaling = remote.scaling["red"]
            rows.append(
                {
                    "variable": "optical",
                    **_origin(remote),
                    "scale": scaling.scale,
                    "offset": scaling.offset,
                    "scale_from": scaling.origin,
                    "share_of_pass": shares.get(place),
                }
            )
    return rows + [{"variable": "elevation", **_origin(remote)} for remote in plan.dem]


def _origin(remote: Remote) -> dict[str, Any]:
    item = remote.item
    return {
        "item": item.id,
        "collection": item.collection_id,
        "datetime": _utc(item.datetime),
        "href": item.get_self_href(),
    }


def _items(remotes: list[Remote]) -> list[Any]:
    return [remote.item for remote in remotes]


def _utc(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _days(times: list[datetime]) -> str:
    first, last = f"{times[0]:%Y-%m-%d}", f"{times[-1]:%Y-%m-%d}"
    return first if first == last else f"{first} to {last}"
