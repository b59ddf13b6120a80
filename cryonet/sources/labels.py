"""Class labels from outlines: polygons burned on the target grid in a stated order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.classes import BURN_ORDER, CLASSES, NODATA
from cryonet.errors import SceneError
from cryonet.fetch import local_path
from cryonet.sources.inventory import Origin, parse_span
from cryonet.sources.polygons import Polygons, read_polygons
from cryonet.sources.raster import fingerprint
from cryonet.sources.rule import CleanIceRule

Mask = NDArray[np.bool_]

#: What a label file may hold: one of the burned classes, or whole glacier outlines.
ROLES = (*BURN_ORDER, "glacier")

_CODES = {c.name: c.code for c in CLASSES}


@dataclass(frozen=True, slots=True)
class Labels:
    """Class codes on a grid, and how they came about.

    `record` is plain data for the scene's item: order, rule, and a row for each file.
    """

    codes: NDArray[np.uint8]
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stated:
    """What a user says of a file of labels: its days and where it comes from, None if unsaid."""

    days: tuple[date, date] | None = None
    source: str | None = None


def stated_origins(
    files: Mapping[str, str | Path],
    dates: Mapping[str, str] | None,
    sources: Mapping[str, str] | None,
) -> dict[str, Stated]:
    """Return what is stated of the files, by role.

    Raises
    ------
    SceneError
        If something is stated of a role that has no file, or a date cannot be read.
    """
    dates, sources = dates or {}, sources or {}
    for role in (*dates, *sources):
        if role not in files:
            given = ", ".join(files) or "none"
            raise SceneError("what is stated has no label file", role, f"Given are: {given}.")
    return {
        role: Stated(parse_span(dates[role]) if role in dates else None, sources.get(role))
        for role in files
    }


def check_roles(files: Mapping[str, str | Path], rule: CleanIceRule | None) -> None:
    """Refuse label files that leave open which class they are.

    Raises
    ------
    SceneError
        If a role is unknown, or outlines of whole glaciers come with no single way of
        parting them into clean and debris-covered ice.
    """
    for role in files:
        if role not in ROLES:
            raise SceneError("the label is unknown", role, f"Known are: {', '.join(ROLES)}.")
    if "glacier" not in files:
        if rule is not None:
            raise SceneError(
                "the clean-ice rule has no outlines", str(rule), "Give the label glacier=FILE."
            )
        return
    ways = [role for role in ("clean_ice", "debris") if role in files]
    ways += [str(rule)] if rule is not None else []
    if len(ways) != 1:
        raise SceneError(
            "glacier outlines need one way to part clean ice from debris",
            ways or "none",
            "Add clean_ice=FILE, or debris=FILE, or a rule such as red>=0.549.",
        )


def burn_labels(
    files: Mapping[str, str | Path],
    grid: GeoBox,
    *,
    rule: CleanIceRule | None = None,
    reflectance: NDArray[np.float32] | None = None,
    stated: Mapping[str, Stated] | None = None,
) -> Labels:
    """Return the class codes of outlines on `grid`: 0 where there are none.

    A pixel belongs to a polygon that holds its centre; holes (nunataks) stay open. Files
    are burned in the order of `cryonet.classes.BURN_ORDER`: lakes over debris-covered ice
    over clean ice. Whole glacier outlines are parted first: by the outlines of clean ice
    (debris-covered is the rest), by those of debris (clean is the rest), or by `rule`.

    Parameters
    ----------
    files
        Vector file by role: ``clean_ice``, ``debris``, ``lake``, ``glacier``; a path, or
        ``URL#sha256=…``.
    reflectance
        The band of `rule` on `grid`; where it is NaN inside an outline the class is
        unknown, 255. Nothing else in the imagery touches the labels.
    stated
        Days and source of a file by role, in place of what its columns tell.

    References
    ----------
    Debris as outlines minus clean ice: Scherler et al. (2018), Herreid & Pellicciotti (2020).
    """
    check_roles(files, rule)
    masks: dict[str, Mask] = {}
    rows = []
    for role in ROLES:
        if role in files:
            masks[role], row = _burn(files[role], grid, role, (stated or {}).get(role, Stated()))
            rows.append(row)
    unknown: Mask = np.zeros(tuple(grid.shape), dtype=bool)
    glacier = masks.pop("glacier", None)
    if glacier is not None:
        unknown = _part(masks, glacier, rule, reflectance)
    codes = np.zeros(tuple(grid.shape), dtype="uint8")
    codes[unknown] = NODATA
    for name in BURN_ORDER:
        if name in masks:
            codes[masks[name]] = _CODES[name]
    record: dict[str, Any] = {
        "burn_order": list(BURN_ORDER),
        "files": rows,
        "classes": _sources_of_classes(files),
    }
    if rule is not None:
        record |= {"rule": str(rule), "rule_in_words": rule.in_words()}
    elif glacier is not None:
        other = "debris" if "clean_ice" in files else "clean_ice"
        record["rule_in_words"] = f"{other} is the glacier outline without the other class"
    return Labels(codes, record)


def _sources_of_classes(files: Mapping[str, str | Path]) -> dict[str, list[str]]:
    """Return the roles of the files that each class is made of: a glacier gives both ices."""
    ice = [role for role in ("glacier", "clean_ice", "debris") if role in files]
    made = {}
    for name in BURN_ORDER:
        whole = "glacier" in files and name != "lake" and name not in files
        roles = ice if whole else [name]
        if all(role in files for role in roles):
            made[name] = roles
    return made


def outline_mask(path: str | Path, grid: GeoBox) -> Mask:
    """Return where pixel centres lie inside the polygons of a vector file, holes left out."""
    return _rasterise(read_polygons(path, grid), grid)


def _rasterise(found: Polygons, grid: GeoBox) -> Mask:
    burned = rasterio.features.rasterize(
        found.shapes, out_shape=tuple(grid.shape), transform=grid.affine, dtype="uint8"
    )
    mask: Mask = burned.astype(bool)
    return mask


def _burn(path: str | Path, grid: GeoBox, role: str, stated: Stated) -> tuple[Mask, dict[str, Any]]:
    file = local_path(path)
    found = read_polygons(file, grid, role=role)
    mask = _rasterise(found, grid)
    row = {
        "role": role,
        **fingerprint(file),
        **({"url": str(path)} if str(path) != str(file) else {}),
        "from_crs": found.crs,
        "polygons": len(found.shapes),
        "mended": found.mended,
        "skipped": found.skipped,
        "pixels": int(mask.sum()),
        **({"line_types": found.line_types} if found.line_types else {}),
        **_origin_row(found.origin, stated),
    }
    return mask, row


def _origin_row(told: Origin, stated: Stated) -> dict[str, Any]:
    """Return inventory and days, and whether the file's columns or the user gave the days."""
    first, last = stated.days or (told.first, told.last)
    days = [told.first and told.first.isoformat(), told.last and told.last.isoformat()]
    return {
        "inventory": stated.source or told.inventory,
        "outlines_from": first and first.isoformat(),
        "outlines_to": last and last.isoformat(),
        "dates_from": "stated" if stated.days else "columns" if told.first else None,
        "undated": 0 if stated.days else told.undated,
        **({"inventory_in_file": told.inventory} if stated.source and told.inventory else {}),
        **({"dates_in_file": days} if stated.days and told.first else {}),
    }


def remarks_on(row: Mapping[str, Any], image: date | None) -> list[str]:
    """Return what a user should know of one file of labels: gaps, mending, its distance in time.

    Parameters
    ----------
    row
        Of the ``files`` of a record that `burn_labels` made.
    image
        The day of the scene's image, if it is known.
    """
    role, remarks = row["role"], []
    if not row["pixels"]:
        remarks.append(f"{role}: no pixel centre lies in {row['file']}")
    if row["mended"]:
        remarks.append(f"{role}: {row['mended']} polygons crossed themselves and were mended")
    if row["skipped"]:
        remarks.append(f"{role}: {row['skipped']} features are no polygons and were left out")
    if "line_types" in row:
        remarks.append(f"{role}: {_line_types_in_words(row['line_types'])}")
    if row["outlines_from"] is None:
        return [*remarks, f"{role}: the outlines of {row['file']} tell no date"]
    return [*remarks, f"{role}: {_days_in_words(row, image)}"]


def _line_types_in_words(line_types: Mapping[str, Mapping[str, int]]) -> str:
    parts = [
        f"{', '.join(f'{number} {kind}' for kind, number in counts.items())} {words}"
        for key, words in (("used", "used"), ("cut_out", "cut out"), ("left_out", "left out"))
        if (counts := line_types[key])
    ]
    return f"of the GLIMS line types {'; '.join(parts)}"


def _days_in_words(row: Mapping[str, Any], image: date | None) -> str:
    span = " to ".join(dict.fromkeys((row["outlines_from"], row["outlines_to"])))
    text = f"outlines of {row['inventory'] or row['file']}, {span}"
    if image is not None:
        days = [
            abs((image - date.fromisoformat(row[key])).days)
            for key in ("outlines_from", "outlines_to")
        ]
        text += f", up to {max(days) / 365.25:.1f} years from the image"
    if row["undated"]:
        text += f"; {row['undated']} more tell no date"
    if row["dates_from"] == "stated":
        text += ", as stated"
    if "dates_in_file" in row:
        text += f"; the file tells {' to '.join(dict.fromkeys(row['dates_in_file']))}"
    return text


def _part(
    masks: dict[str, Mask],
    glacier: Mask,
    rule: CleanIceRule | None,
    reflectance: NDArray[np.float32] | None,
) -> Mask:
    """Split `glacier` into the two ice classes in `masks`; return where it is unknown."""
    nothing: Mask = np.zeros_like(glacier)
    if rule is not None:
        assert reflectance is not None
        unknown = glacier & np.isnan(reflectance)
        # The number that the threshold stands for must not fall to the rounding of float32.
        bright = reflectance >= rule.threshold - 1e-6
        masks["clean_ice"] = glacier & bright
        masks["debris"] = glacier & ~bright & ~unknown
        return unknown
    known, rest = ("clean_ice", "debris") if "clean_ice" in masks else ("debris", "clean_ice")
    masks[rest] = glacier & ~masks[known]
    return nothing
