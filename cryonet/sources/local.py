"""A scene from the user's own rasters and outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.errors import SceneError
from cryonet.progress import SILENT, Progress
from cryonet.scene import BANDS, VARIABLES, scene_from_arrays
from cryonet.scene_writer import Storage, check_target, write_scene
from cryonet.sources.checks import (
    check_coherence,
    check_elevation,
    check_reflectance,
    remark_on_floor,
    wrap_phase,
)
from cryonet.sources.labels import (
    Labels,
    Stated,
    burn_labels,
    check_roles,
    remarks_on,
    stated_origins,
)
from cryonet.sources.raster import RasterBand, fingerprint, open_band, read_numbers
from cryonet.sources.rule import CleanIceRule, parse_rule
from cryonet.sources.scaling import Scaling, choose_scaling, read_scaling
from cryonet.sources.target import target_grid
from cryonet.sources.warp import plan_route, record, resample, resample_phase

Array = NDArray[np.float32]

#: Largest 16-bit number: what missing pixels are stored as.
_TOP = 65535.0

#: Nodata numbers: one for all optical bands, or one for each variable named.
Nodata = float | Mapping[str, float]


@dataclass(slots=True)
class _Import:
    """What an import gathers on its way: arrays, their attributes and the record."""

    grid: GeoBox
    scale: float | None
    offset: float | None
    nodata: Nodata | None
    metadata: Mapping[str, Scaling]
    arrays: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, dict[str, Any]] = field(default_factory=dict)
    warps: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    darkest: dict[str, float] = field(default_factory=dict)


def import_scene(
    out: str | Path,
    bands: Mapping[str, str | Path],
    *,
    dem: str | Path | None = None,
    coherence: str | Path | None = None,
    phase: str | Path | None = None,
    labels: Mapping[str, str | Path] | None = None,
    label_dates: Mapping[str, str] | None = None,
    label_sources: Mapping[str, str] | None = None,
    clean_ice_rule: str | CleanIceRule | None = None,
    scale: float | None = None,
    offset: float | None = None,
    metadata: str | Path | None = None,
    nodata: Nodata | None = None,
    resolution: float | None = None,
    like: str | Path | None = None,
    acquired: str | None = None,
    properties: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Build a scene from local files on one grid, write it, and return its folder.

    Everything is brought to one grid (see `cryonet.sources.target.target_grid`), and the
    item lists every file with its hash (``cryonet:sources``), every warp
    (``cryonet:warps``) and every remark (``cryonet:remarks``).

    Parameters
    ----------
    out
        Folder of the new scene.
    bands
        Optical band by canonical name: ``FILE`` or ``FILE:BAND``.
    dem, coherence, phase
        The other rasters: metres; 0 to 1; radians, wrapped or unwrapped.
    labels
        Vector files by role: ``clean_ice``, ``debris``, ``lake``, ``glacier``; a path, or
        ``URL#sha256=…``.
    label_dates, label_sources
        By role, the days and the inventory of a file whose columns do not tell them, or in
        place of what they tell: ``"2018"``, ``"2018-09"``, ``"2013/2017"``; a name.
    clean_ice_rule
        How whole glacier outlines are parted: ``"red>=0.549"``.
    scale, offset
        Reflectance = number × scale + offset, in place of what files and metadata state.
    metadata
        A STAC item or SAFE folder that states them for Sentinel-2 numbers, see
        `cryonet.sources.scaling`.
    nodata
        Number that means missing, in place of what the files state: one for the optical
        bands, or a mapping by variable.
    resolution
        Pixel side of the target grid in metres.
    like
        Which raster gives the target grid: the name of one given here, or a file. By
        default the first band, else the DEM, the coherence or the phase.
    acquired
        ISO date and time of the acquisition.
    properties
        Further properties of the item, as the terms under which it may be used.

    Raises
    ------
    SceneError, GridError
        If anything does not hold; nothing is written then.
    """
    rule = parse_rule(clean_ice_rule) if isinstance(clean_ice_rule, str) else clean_ice_rule
    extra = {"elevation": dem, "coherence": coherence, "phase": phase}
    given = {**bands, **{name: path for name, path in extra.items() if path is not None}}
    check_target(out, overwrite=overwrite)
    _check_names(bands, given, nodata)
    check_roles(labels or {}, rule)
    origins = stated_origins(labels or {}, label_dates, label_sources)
    _check_rule_band(rule, bands)
    when = _time(acquired)
    stated = {} if metadata is None else read_scaling(metadata)
    found = {name: open_band(reference) for name, reference in given.items()}
    _check_twice(found)
    grid = target_grid(_pattern(found, like).grid, resolution=resolution)
    work = _Import(grid, scale, offset, nodata, stated)
    total = len(found) + bool(labels) + 1
    for done, (name, band) in enumerate(found.items()):
        progress.step(done, total, f"reading {name}")
        _take(work, name, band)
    work.remarks += remark_on_floor(work.darkest)
    known: dict[str, Any] = {**(properties or {}), "synthetic": False, "datetime": when}
    if labels:
        progress.step(len(found), total, "burning labels")
        burned = _burn(work, labels, rule, when, origins)
        known["cryonet:labels"] = burned.record
    progress.step(total - 1, total, "writing")
    path = _write(work, out, known, overwrite)
    progress.step(total, total, "written")
    return path


def parse_assignments(texts: Sequence[str], *, what: str = "band") -> dict[str, str]:
    """Return ``NAME=VALUE`` texts, as a command line gives them, as a mapping.

    Raises
    ------
    SceneError
        If a text has another form, or a name comes twice.

    Examples
    --------
    >>> parse_assignments(["red=RGB.tif:1", "green=RGB.tif:2"])
    {'red': 'RGB.tif:1', 'green': 'RGB.tif:2'}
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise SceneError(f"the {what} has another form", text, "Write NAME=FILE.")
        if name in found:
            raise SceneError(f"the {what} is given twice", name, "Name each one once.")
        found[name] = value
    return found


def _check_names(
    bands: Mapping[str, str | Path], given: Mapping[str, Any], nodata: Nodata | None
) -> None:
    for name in bands:
        if name not in BANDS:
            known = ", ".join(BANDS)
            raise SceneError("the band name is unknown", name, f"Known are: {known}.")
    if not given:
        raise SceneError("there is nothing to import", "no raster", "Give at least one band.")
    if isinstance(nodata, Mapping):
        for name in nodata:
            if name not in given:
                raise SceneError(
                    "a nodata number has no raster", name, f"Given are: {', '.join(given)}."
                )


def _check_rule_band(rule: CleanIceRule | None, bands: Mapping[str, Any]) -> None:
    if rule is not None and rule.band not in bands:
        raise SceneError(
            "the clean-ice rule needs a band that is not given",
            rule.band,
            f"Given are: {', '.join(bands) or 'none'}.",
        )


def _check_twice(found: Mapping[str, RasterBand]) -> None:
    seen: dict[tuple[Path, int], str] = {}
    for name, band in found.items():
        key = (band.path.resolve(), band.index)
        if key in seen:
            raise SceneError(
                "the same band is given twice",
                f"{band.path.name}:{band.index} as {seen[key]} and {name}",
                "Each variable needs a band of its own; write FILE:BAND.",
            )
        seen[key] = name


def _time(acquired: str | None) -> str | None:
    if acquired is None:
        return None
    try:
        return datetime.fromisoformat(acquired).isoformat()
    except ValueError as error:
        raise SceneError(
            "the time of acquisition is not ISO 8601", acquired, "Write 2000-10-30T04:40:00Z."
        ) from error


def _pattern(found: Mapping[str, RasterBand], like: str | Path | None) -> RasterBand:
    """Return the raster that gives the target grid."""
    if like is None:
        return next(iter(found.values()))
    name = "elevation" if like == "dem" else str(like)
    return found[name] if name in found else open_band(like)


def _take(work: _Import, name: str, band: RasterBand) -> None:
    """Read, check and warp one band, and keep it with its record."""
    file = f"{band.path.name}:{band.index}"
    route = plan_route(band.grid, work.grid, variable=name, what=file)
    nodata = work.nodata.get(name) if isinstance(work.nodata, Mapping) else None
    if isinstance(work.nodata, (int, float)) and name in BANDS:
        nodata = float(work.nodata)
    chosen, remarks = choose_scaling(
        name, band, scale=work.scale, offset=work.offset, metadata=work.metadata
    )
    work.remarks += remarks
    values = read_numbers(band, route.window, nodata=nodata)
    if (chosen.scale, chosen.offset) != (1.0, 0.0):
        values = values * np.float32(chosen.scale) + np.float32(chosen.offset)
    values, remarks, wrapped = _checked(name, values, file, band.unit)
    work.remarks += remarks
    warp = resample_phase if name == "phase" else resample
    work.arrays[name] = warp(values, band.grid, route, work.grid)
    if not np.isfinite(work.arrays[name]).any():
        work.remarks.append(f"{name}: no pixel of the scene has a value")
    elif name in BANDS:
        work.darkest[name] = float(np.nanquantile(work.arrays[name], 0.001))
    if name in ("coherence", "phase"):
        work.attrs[name] = {"native_resolution": round(route.native_resolution, 3)}
    if wrapped:
        work.attrs[name]["note"] = "wrapped from unwrapped"
        work.remarks.append(f"{name}: wrapped from unwrapped")
    step = record(
        route, band.grid, work.grid, variable=name, file=band.path.name, band=band.index
    ).as_dict()
    work.warps.append(step)
    work.sources.append(
        {
            "variable": name,
            **fingerprint(band.path),
            "band": band.index,
            "dtype": band.dtype,
            "scale": chosen.scale,
            "offset": chosen.offset,
            "scale_from": chosen.origin,
            "nodata": _plain(band.nodata if nodata is None else nodata),
            "nodata_from": "file" if nodata is None else "stated",
        }
    )


def _checked(name: str, values: Array, file: str, unit: str) -> tuple[Array, list[str], bool]:
    """Values that can be what they are offered as, remarks, and whether phase was wrapped."""
    if name == "elevation":
        check_elevation(values, file=file, unit=unit)
        return values, [], False
    if name == "coherence":
        return check_coherence(values, file=file), [], False
    if name == "phase":
        values, wrapped = wrap_phase(values)
        return values, [], wrapped
    return values, check_reflectance(values, name=name, file=file), False


def _plain(number: float | None) -> float | str | None:
    return number if number is None or np.isfinite(number) else str(number)


def _burn(
    work: _Import,
    labels: Mapping[str, str | Path],
    rule: CleanIceRule | None,
    when: str | None,
    origins: Mapping[str, Stated],
) -> Labels:
    reflectance = work.arrays[rule.band] if rule is not None else None
    burned = burn_labels(labels, work.grid, rule=rule, reflectance=reflectance, stated=origins)
    work.arrays["labels"] = burned.codes
    image = datetime.fromisoformat(when).date() if when else None
    for row in burned.record["files"]:
        work.remarks += remarks_on(row, image)
    return burned


def _write(work: _Import, out: str | Path, properties: Mapping[str, Any], overwrite: bool) -> Path:
    ordered = [n for n in (*VARIABLES, "labels") if n in work.arrays]
    scene = scene_from_arrays({n: work.arrays[n] for n in ordered}, work.grid)
    for name, attrs in work.attrs.items():
        scene[name].attrs.update(attrs)
    record = {
        "cryonet:sources": work.sources,
        "cryonet:warps": work.warps,
        "cryonet:remarks": work.remarks,
    }
    return write_scene(
        scene,
        out,
        properties={**properties, **record},
        storage=_storage(work),
        overwrite=overwrite,
    )


def _storage(work: _Import) -> dict[str, Storage]:
    """Return how the optical bands are stored: as their own numbers where none is new.

    Bytes and 16-bit numbers that only moved are kept as they were, with scale and offset,
    at half the size of float32 and without loss.
    """
    optical = [row for row in work.sources if row["variable"] in BANDS]
    kinds = {row["dtype"] for row in optical}
    scales = {(row["scale"], row["offset"]) for row in optical}
    moved = {w["resampling"] for w in work.warps if w["variable"] in BANDS}
    if not (kinds and kinds <= {"uint8", "uint16"} and len(scales) == 1):
        return {}
    if not moved <= {"none", "nearest"}:
        return {}
    scale, offset = scales.pop()
    top = (_TOP - 0.5) * scale + offset
    if any((work.arrays[row["variable"]] > top).any() for row in optical):
        return {}
    return {"optical": Storage("uint16", scale, offset, _TOP)}
