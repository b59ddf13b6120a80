"""What a scene holds, in figures and as tables for an 80-column terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rich import box
from rich.table import Table

from cryonet.classes import CLASSES, NODATA
from cryonet.grid import geobox_of, pixel_areas
from cryonet.scene import check_scene, open_scene


@dataclass(frozen=True, slots=True)
class VariableInfo:
    """One variable: its units, the share of pixels that hold a value, and their range.

    `native_resolution` is the pixel side in metres of the product it was made from, where
    the scene records it. The range is NaN where no pixel has a value.
    """

    name: str
    units: str
    long_name: str
    coverage: float
    minimum: float
    median: float
    maximum: float
    native_resolution: float | None = None


@dataclass(frozen=True, slots=True)
class LabelShare:
    """One label class: its share of all pixels, and its area in km²."""

    code: int
    name: str
    title: str
    share: float
    km2: float


@dataclass(frozen=True, slots=True)
class SceneInfo:
    """A scene in figures.

    Attributes
    ----------
    id, title, datetime
        As its item has them; `datetime` is empty when unknown.
    synthetic
        Whether it was generated; None where the scene does not say.
    crs, shape, resolution, bounds
        Its grid: rows and columns, pixel sides in CRS units, (west, south, east, north).
    variables, labels, warps, remarks
        Rows, in the scene's order.
    pair
        Days and looks of the interferometric pair; empty where there is none.
    """

    id: str
    title: str
    datetime: str
    synthetic: bool | None
    crs: str
    shape: tuple[int, int]
    resolution: tuple[float, float]
    bounds: tuple[float, float, float, float]
    variables: tuple[VariableInfo, ...]
    labels: tuple[LabelShare, ...] = ()
    warps: tuple[Mapping[str, Any], ...] = ()
    remarks: tuple[str, ...] = ()
    pair: str = ""


def describe(scene: xr.Dataset | str | Path) -> SceneInfo:
    """Return the figures of a scene, in memory or in a folder; it is read band by band.

    Raises
    ------
    SceneError
        If it is not a scene.
    """
    data = check_scene(scene) if isinstance(scene, xr.Dataset) else open_scene(scene, chunks=2048)
    grid = geobox_of(data)
    assert grid.crs is not None
    edges = grid.boundingbox
    attrs = data.attrs
    synthetic = attrs.get("synthetic")
    return SceneInfo(
        id=str(attrs.get("id", "")),
        title=str(attrs.get("title", "")),
        datetime=str(attrs.get("datetime") or ""),
        synthetic=None if synthetic is None else bool(synthetic),
        crs=f"EPSG:{grid.crs.epsg}" if grid.crs.epsg else grid.crs.proj.name,
        shape=(int(grid.shape[0]), int(grid.shape[1])),
        resolution=(abs(grid.resolution.x), abs(grid.resolution.y)),
        bounds=(edges.left, edges.bottom, edges.right, edges.top),
        variables=tuple(_variable(data[n]) for n in data.data_vars if n != "labels"),
        labels=_labels(data["labels"].values, grid) if "labels" in data else (),
        warps=tuple(attrs.get("cryonet:warps", ())),
        remarks=tuple(str(r) for r in attrs.get("cryonet:remarks", ())),
        pair=_pair(attrs.get("cryonet:insar") or {}),
    )


def _pair(insar: Mapping[str, Any]) -> str:
    if not insar:
        return ""
    days = [insar.get(key) or "unknown" for key in ("primary_date", "secondary_date")]
    baseline, looks = insar.get("temporal_baseline_days"), insar.get("looks")
    span = "" if baseline is None else f" ({baseline} days)"
    return f"{days[0]} to {days[1]}{span}, {looks or 'unknown'} looks"


def _variable(data: xr.DataArray) -> VariableInfo:
    values = data.values
    known = values[np.isfinite(values)]
    low, middle, high = (
        (float(known.min()), float(np.median(known)), float(known.max()))
        if known.size
        else (np.nan, np.nan, np.nan)
    )
    native = data.attrs.get("native_resolution")
    return VariableInfo(
        name=str(data.name),
        units=str(data.attrs["units"]),
        long_name=str(data.attrs.get("long_name", "")),
        coverage=known.size / values.size,
        minimum=low,
        median=middle,
        maximum=high,
        native_resolution=None if native is None else float(native),
    )


def _labels(codes: NDArray[np.uint8], grid: GeoBox) -> tuple[LabelShare, ...]:
    areas = pixel_areas(grid)[:, 0]
    named = [(c.code, c.name, c.title) for c in CLASSES]
    rows = []
    for code, name, title in [*named, (NODATA, "unlabelled", "not labelled")]:
        counts = (codes == code).sum(axis=1)
        share = float(counts.sum() / codes.size)
        rows.append(LabelShare(code, name, title, share, float((areas * counts).sum())))
    return tuple(rows)


def scene_tables(info: SceneInfo) -> list[Table]:
    """Return the tables that show `info`: the scene, its variables, labels, warps, remarks."""
    tables = [scene_table(info), _variable_table(info.variables)]
    if info.labels:
        tables.append(_label_table(info.labels))
    if info.warps:
        tables.append(_warp_table(info.warps))
    if info.remarks:
        remarks = _table("Remarks", ("", "left"))
        for text in info.remarks:
            remarks.add_row(text)
        tables.append(remarks)
    return tables


def scene_table(info: SceneInfo) -> Table:
    """Return what the scene is and its grid as a table of two columns."""
    kind = {True: "synthetic: generated, not observed", False: "from observations", None: "–"}
    west, south, east, north = info.bounds
    table = Table(title="Scene", box=box.SIMPLE, show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "id": info.id or "–",
        "title": info.title or "–",
        "time": info.datetime or "unknown",
        "kind": kind[info.synthetic],
        **({"radar": info.pair} if info.pair else {}),
        "CRS": info.crs,
        "size": f"{info.shape[0]:,} rows × {info.shape[1]:,} columns",
        "pixel": " × ".join(f"{side:.10g}" for side in info.resolution),
        "x": f"{west:.10g} … {east:.10g}",
        "y": f"{south:.10g} … {north:.10g}",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _table(title: str, *columns: tuple[str, str]) -> Table:
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    return table


def _variable_table(variables: Sequence[VariableInfo]) -> Table:
    figures = ("known", "min", "median", "max", "native m")
    table = _table(
        "Variables",
        ("name", "left"),
        ("unit", "left"),
        ("what", "left"),
        *((name, "right") for name in figures),
    )
    for column in (0, 1, *range(3, 8)):
        table.columns[column].no_wrap = True
    for row in variables:
        table.add_row(
            row.name,
            row.units,
            row.long_name,
            _share(row.coverage),
            *(_figure(v) for v in (row.minimum, row.median, row.maximum)),
            "–" if row.native_resolution is None else f"{row.native_resolution:.4g}",
        )
    return table


def _label_table(labels: Sequence[LabelShare]) -> Table:
    table = _table(
        "Labels",
        ("code", "right"),
        ("name", "left"),
        ("what", "left"),
        ("share", "right"),
        ("km²", "right"),
    )
    for row in labels:
        if row.code != NODATA or row.share:
            table.add_row(str(row.code), row.name, row.title, _share(row.share), f"{row.km2:.3f}")
    return table


def _warp_table(warps: Sequence[Mapping[str, Any]]) -> Table:
    moved = [row for row in warps if row.get("resampling") != "none"]
    still = len(warps) - len(moved)
    kept = f"{still} of {len(warps)} bands lie on the grid as they are"
    if not moved:
        table = _table("Warps", ("", "left"))
        table.add_row(kept)
        return table
    names = ("name", "file", "from", "to", "resampling")
    table = _table("Warps", *((name, "left") for name in names))
    table.caption, table.caption_justify = kept if still else None, "left"
    for column in (0, 2, 3, 4):
        table.columns[column].no_wrap = True
    for row in moved:
        table.add_row(
            str(row.get("variable", "")),
            f"{row.get('file', '')}:{row.get('band', '')}",
            _grid_text(row, "from"),
            _grid_text(row, "to"),
            str(row.get("resampling", "")),
        )
    return table


def _grid_text(warp: Mapping[str, Any], side: str) -> str:
    crs = str(warp.get(f"{side}_crs", ""))
    name = crs if crs.startswith("EPSG:") else "own CRS"
    sides = warp.get(f"{side}_resolution", ())
    return f"{name} {' × '.join(f'{float(s):.4g}' for s in dict.fromkeys(sides))}".strip()


def _share(share: float) -> str:
    """Return a share as per cent that says 100 or 0 only when it is."""
    text = f"{share:.1%}".replace("%", " %")
    if share > 0 and text == "0.0 %":
        return "<0.1 %"
    return ">99.9 %" if share < 1 and text == "100.0 %" else text


def _figure(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4g}"
