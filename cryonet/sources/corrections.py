"""Corrections of a vector file: its polygons on the grid of a map, each with class and author."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from odc.geo.geobox import GeoBox

from cryonet.classes import CLASSES
from cryonet.corrections import Correction
from cryonet.errors import GridError, SceneError
from cryonet.sources.inventory import parse_day
from cryonet.sources.polygons import near_grid, open_features

#: Columns that are read besides that of the class: who drew a polygon, on which day, and why.
COLUMNS = ("by", "date", "comment")


def read_corrections(
    path: str | Path,
    geobox: GeoBox,
    *,
    classes: Sequence[str],
    field: str = "class",
    by: str = "",
    comment: str = "",
) -> tuple[Correction, ...]:
    """Return the polygons of a file in its order, in the CRS of the map.

    Nothing is mended: a polygon that cannot be used is named and refused.

    Parameters
    ----------
    path
        GeoPackage, shapefile or GeoJSON, of any CRS, with one layer.
    classes
        Those of the map. The class stands in the column `field` as name or as number.
    by, comment
        Who drew them and why, where the columns ``by`` and ``comment`` do not tell.

    Raises
    ------
    SceneError
        If the file is none or has no polygon, or a polygon is invalid, has no known class, no
        author or a date that is none.
    GridError
        If a polygon lies outside the map.
    """
    frame, where = open_features(path, columns=(field, *COLUMNS))
    if frame.empty:
        raise SceneError("the file has no polygons", where.name, "Draw one at least.")
    if field not in frame:
        rule = "Give each polygon one, or name the column with --field."
        raise SceneError("the polygons have no class", f"{where.name}: {field}", rule)
    _check_shapes(frame)
    shapes, outside = _placed(frame, geobox, where.name)
    names = _names(classes)
    return tuple(
        Correction(
            shape=shape,
            code=_code(row.get(field), names, classes, place),
            by=_author(_text(row.get("by")) or by.strip(), place),
            date=_date(_text(row.get("date")), place),
            comment=_text(row.get("comment")) or comment.strip(),
            outside=share,
        )
        for place, (row, shape, share) in enumerate(
            zip(frame.to_dict("records"), shapes, outside, strict=True), start=1
        )
    )


def _check_shapes(frame: gpd.GeoDataFrame) -> None:
    for place, shape in enumerate(frame.geometry, start=1):
        what, rule = f"polygon {place}", "Draw it anew, or take it out."
        if shape is None or shape.is_empty or shape.geom_type not in ("Polygon", "MultiPolygon"):
            kind = "nothing" if shape is None else shape.geom_type
            raise SceneError("a correction is no polygon", f"{what}: {kind}", rule)
        if not np.isfinite(shapely.get_coordinates(shape)).all():
            raise SceneError("a correction has coordinates that are no numbers", what, rule)
        if not shape.is_valid:
            reason = shapely.is_valid_reason(shape)
            raise SceneError("a correction is not valid", f"{what}: {reason}", rule)


def _placed(frame: gpd.GeoDataFrame, geobox: GeoBox, name: str) -> tuple[list[Any], list[float]]:
    """Return the polygons in the CRS of the map, and the share of each that lies outside it."""
    numbered = frame.geometry.reset_index(drop=True)
    near = near_grid(numbered, geobox)
    extent = geobox.extent.geom
    shares = shapely.area(shapely.intersection(near.to_numpy(), extent)) / near.area
    lost = [k + 1 for k in numbered.index if k not in near.index or not shares[k] > 0]
    if lost:
        which = ", ".join(map(str, lost[:9]))
        rule = "Give polygons of the ground of the map, in the CRS they name."
        raise GridError("corrections lie outside the map", f"{name}: polygon {which}", rule)
    if not near.is_valid.all():
        broken = near.index[~near.is_valid][0] + 1
        rule = "Draw it in the CRS of the map."
        raise SceneError("a correction is not valid on the map", f"polygon {broken}", rule)
    return list(near), [max(0.0, float(1 - share)) for share in shares]


def _names(classes: Sequence[str]) -> dict[str, int]:
    """Return what each class may be called."""
    titles = {c.title: c.code for c in CLASSES[: len(classes)]}
    return {**titles, **{name: code for code, name in enumerate(classes)}}


def _code(value: Any, names: Mapping[str, int], classes: Sequence[str], place: int) -> int:
    text = _text(value)
    if text.removesuffix(".0").isdecimal():
        code = int(text.removesuffix(".0"))
        if code < len(classes):
            return code
    elif text in names:
        return names[text]
    known = ", ".join(f"{code} {name}" for code, name in enumerate(classes))
    raise SceneError("the class is unknown", f"polygon {place}: {text!r}", f"Known are: {known}.")


def _author(text: str, place: int) -> str:
    if not text:
        rule = "Fill its column by, or give --by."
        raise SceneError("a correction has no author", f"polygon {place}", rule)
    return text


def _date(text: str, place: int) -> str:
    if text and parse_day(text) is None:
        rule = "Write 2024-09-15."
        raise SceneError("the date of a correction is none", f"polygon {place}: {text}", rule)
    # A column of dates comes as midnights.
    return text.removesuffix(" 00:00:00")


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value).strip()
