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

    References
    ----------
    Debris as outlines minus clean ice: Scherler et al. (2018), Herreid & Pellicciotti (2020).
    """
    check_roles(files, rule)
    masks: dict[str, Mask] = {}
    rows = []
    for role in ROLES:
        if role in files:
            masks[role], row = _burn(files[role], grid, role)
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
    record: dict[str, Any] = {"burn_order": list(BURN_ORDER), "files": rows}
    if rule is not None:
        record |= {"rule": str(rule), "rule_in_words": rule.in_words()}
    elif glacier is not None:
        other = "debris" if "clean_ice" in files else "clean_ice"
        record["rule_in_words"] = f"{other} is the glacier outline without the other class"
    return Labels(codes, record)


def outline_mask(path: str | Path, grid: GeoBox) -> Mask:
    """Return where pixel centres lie inside the polygons of a vector file, holes left out."""
    return _rasterise(read_polygons(path, grid), grid)


def _rasterise(found: Polygons, grid: GeoBox) -> Mask:
    burned = rasterio.features.rasterize(
        found.shapes, out_shape=tuple(grid.shape), transform=grid.affine, dtype="uint8"
    )
    mask: Mask = burned.astype(bool)
    return mask


def _burn(path: str | Path, grid: GeoBox, role: str) -> tuple[Mask, dict[str, Any]]:
    file = local_path(path)
    found = read_polygons(file, grid)
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
        "inventory": found.origin.inventory,
        "outlines_from": found.origin.first and found.origin.first.isoformat(),
        "outlines_to": found.origin.last and found.origin.last.isoformat(),
        "undated": found.origin.undated,
    }
    return mask, row


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
    if row["outlines_from"] is None:
        return [*remarks, f"{role}: the outlines of {row['file']} tell no date"]
    span = " to ".join(dict.fromkeys((row["outlines_from"], row["outlines_to"])))
    text = f"{role}: outlines of {row['inventory']}, {span}"
    if image is not None:
        days = [
            abs((image - date.fromisoformat(row[key])).days)
            for key in ("outlines_from", "outlines_to")
        ]
        text += f", up to {max(days) / 365.25:.1f} years from the image"
    return [*remarks, text]


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
