"""Does a GLIMS package keep the rules: reads it back and holds it against the table of fields."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely

from cryonet.errors import SceneError
from cryonet.glims_fields import DESCRIPTION, LINE_TYPES, TABLES
from cryonet.glims_id import place_of
from cryonet.glims_outlines import filled
from cryonet.glims_package import field_faults, open_rings, read_table, unpack_package
from cryonet.outlines import areas_of

#: Faults that an error tells; the rest it counts.
_TOLD = 5

#: Degrees that the place in an identifier may lie outside the outline: it is rounded.
_ROUNDED = 1e-3

#: Share by which a stated area may differ from that of the polygons.
_AREA = 0.01

Frames = Mapping[str, gpd.GeoDataFrame]


@dataclass(frozen=True, slots=True)
class PackageCheck:
    """What was found: how many polygons of each line type, and what is wrong."""

    counts: dict[str, int]
    faults: tuple[str, ...]

    def refuse(self, name: str) -> None:
        """Raise if anything is wrong.

        Raises
        ------
        SceneError
            With the first faults.
        """
        if self.faults:
            more = len(self.faults) - _TOLD
            told = "; ".join(self.faults[:_TOLD]) + (f"; and {more} more" if more > 0 else "")
            rule = "See cryonet.glims_fields for the rules."
            raise SceneError(f"the GLIMS package {name} breaks rules", told, rule)


def check_package(path: str | Path) -> PackageCheck:
    """Return what is wrong with a GLIMS package, by what stands in its files.

    Looked at are the list of files; names, types and widths of fields; the coordinate system;
    values that are required; geometries (valid, closed, in range); line types; identifiers, and
    that they agree between files and with the places of the polygons; dates; uncertainties;
    areas; and that debris, lakes and rock lie where their line type says.

    Raises
    ------
    SceneError
        If it is no ZIP archive, or so damaged that it cannot be read.
    """
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        faults = unpack_package(Path(path), folder)
        if any(fault.endswith("is missing") for fault in faults):
            return PackageCheck({}, tuple(faults))
        for name, table in TABLES.items():
            faults += field_faults(folder / f"{name}.dbf", table.fields)
            if count := open_rings(folder / f"{name}.shp"):
                faults.append(f"{name} has {count} rings that are not closed")
        text = (folder / DESCRIPTION).read_bytes().decode("utf-8", "replace")
        if not text.strip():
            faults.append(f"{DESCRIPTION} is empty")
        if faults:
            return PackageCheck({}, tuple(faults))
        frames = {name: read_table(folder / f"{name}.shp") for name in TABLES}
    for rule in (_whole, _geometries, _identifiers, _dates, _values, _places):
        faults += rule(frames)
        if faults and rule in (_whole, _geometries):
            break  # What follows needs values and geometries.
    counts = frames["glaciers"]["line_type"].value_counts()
    return PackageCheck({k: int(counts.get(k, 0)) for k in LINE_TYPES}, tuple(faults))


def _whole(frames: Frames) -> Iterator[str]:
    """Tables that are empty, values that are required, and line types."""
    for name, frame in frames.items():
        if frame.empty:
            yield f"{name} is empty"
        for field in TABLES[name].fields:
            if field.required:
                gone = frame[field.name].isna()
                if field.kind == "text":
                    gone |= frame[field.name].astype(str).str.strip() == ""
                if gone.any():
                    yield f"{name}.{field.name} has no value in {int(gone.sum())} rows"
        if "line_type" in frame:
            for kind in sorted(set(frame["line_type"].dropna()) - set(LINE_TYPES)):
                yield f"{name} has the unknown line type {kind}"
    if len(frames["session"]) > 1:
        yield f"session has {len(frames['session'])} rows, not one"


def _geometries(frames: Frames) -> Iterator[str]:
    for name, frame in frames.items():
        if frame.crs is None or not frame.crs.equals("EPSG:4326", ignore_axis_order=True):
            yield f"{name} is not in longitude and latitude on WGS 84"
        shapes = frame.geometry
        allowed = {"Polygon"} if name == "glaciers" else {"Polygon", "MultiPolygon"}
        if TABLES[name].geometry == "LineString":
            allowed = {"LineString"}
        strange = ~shapes.geom_type.isin(allowed) | shapes.is_empty | shapes.isna()
        if strange.any():
            yield f"{name} has {int(strange.sum())} geometries that are no {min(allowed)}"
            continue
        if not shapes.is_valid.all():
            yield f"{name} has {int((~shapes.is_valid).sum())} invalid geometries"
        if name == "segments" and not shapes.is_closed.all():
            yield f"{name} has {int((~shapes.is_closed).sum())} rings that are not closed"
        west, south, east, north = shapes.total_bounds
        if not (west >= -180 and east <= 180 and south >= -90 and north <= 90):
            yield f"{name} reaches beyond 180° or 90°"


def _identifiers(frames: Frames) -> Iterator[str]:
    polygons, segments, images = (frames[name] for name in ("glaciers", "segments", "images"))
    bound = polygons[polygons["line_type"] == "glac_bound"]
    if bound.empty:
        yield "glaciers has no glac_bound"
    for name in sorted(set(polygons["glac_id"]) - set(bound["glac_id"])):
        yield f"{name} has no glac_bound"
    for name, own in bound.groupby("glac_id"):
        place = place_of(str(name))
        if place is None:
            yield f"{name} is no identifier of GLIMS"
        elif not _near(place, own):
            yield f"{name} lies elsewhere than its outline"
    pairs = polygons[["glac_id", "local_id"]].drop_duplicates()
    for column in ("glac_id", "local_id"):
        for name in sorted(pairs[column][pairs[column].duplicated()].unique()):
            yield f"{column} {name} stands for several glaciers"
    keys = ["glac_id", "line_type"]
    rings = polygons.assign(rings=1 + shapely.get_num_interior_rings(polygons.geometry.to_numpy()))
    wanted = rings.groupby(keys)["rings"].sum()
    if segments.groupby(keys).size().to_dict() != wanted.to_dict():
        yield "segments has other rings than glaciers"
    if images["image_id"].duplicated().any() or segments["seg_id"].duplicated().any():
        yield "an image_id or seg_id comes twice"
    known = set(images["image_id"].astype(str))
    for text in sorted(set(polygons["img_ids"])):
        for name in text.split(","):
            if name.strip() not in known:
                yield f"img_ids names the image {name}, which images lacks"


def _near(place: tuple[float, float], outlines: gpd.GeoDataFrame) -> bool:
    lon, lat = place
    around = shapely.box(lon - _ROUNDED, lat - _ROUNDED, lon + _ROUNDED, lat + _ROUNDED)
    return bool(outlines.intersects(around).any())


def _dates(frames: Frames) -> Iterator[str]:
    today = pd.Timestamp(datetime.now(UTC).date())
    images, polygons = frames["images"]["acq_time"], frames["glaciers"]
    days = {
        "images.acq_time": images,
        "session.anlys_time": frames["session"]["anlys_time"],
        "glaciers.anlys_time": polygons["anlys_time"],
        "glaciers.src_date": polygons["src_date"],
    }
    read = {name: pd.to_datetime(values) for name, values in days.items()}
    for name, values in read.items():
        if (values > today).any():
            yield f"{name} lies in the future"
    source = read["glaciers.src_date"]
    if (read["glaciers.anlys_time"] < source).any():
        yield "glaciers.anlys_time lies before src_date"
    first, last = read["images.acq_time"].min(), read["images.acq_time"].max()
    if ((source < first) | (source > last)).any():
        yield "glaciers.src_date lies outside the days of the images"


def _values(frames: Frames) -> Iterator[str]:
    for name in ("glaciers", "segments"):
        for column in ("loc_unc_x", "loc_unc_y", "glob_unc_x", "glob_unc_y"):
            if not (frames[name][column] > 0).all():
                yield f"{name}.{column} is not above 0 everywhere"
    polygons = frames["glaciers"]
    area = pd.Series(areas_of(polygons), polygons.index)
    bound = polygons["line_type"] == "glac_bound"
    sums = area[bound].groupby(polygons["glac_id"][bound]).sum()
    area = area.where(~bound, polygons["glac_id"].map(sums))
    wrong = (polygons["area"] - area).abs() > _AREA * area
    if wrong.any():
        yield f"glaciers.area is not that of the polygons in {int(wrong.sum())} rows"
    low, high = polygons.get("min_elev"), polygons.get("max_elev")
    if low is not None and high is not None and (low > high).any():
        yield "glaciers.min_elev lies above max_elev"


def _places(frames: Frames) -> Iterator[str]:
    """Parts of a glacier that lie outside it, rock and lakes beside it that lie inside."""
    polygons = frames["glaciers"]
    bound = polygons[polygons["line_type"] == "glac_bound"].dissolve("glac_id").geometry
    rest = polygons[polygons["glac_id"].isin(bound.index)]
    wrong: dict[str, int] = {}
    for kind, name, shape in zip(rest["line_type"], rest["glac_id"], rest.geometry, strict=True):
        glacier = bound[name]
        inside = glacier.covers(shape.representative_point())
        right = inside != (kind in ("intrnl_rock", "pro_lake"))
        if kind == "intrnl_rock":
            right = right and filled(glacier).covers(shape.representative_point())
        if not right:
            wrong[kind] = wrong.get(kind, 0) + 1
    for kind, count in wrong.items():
        yield f"{count} polygons of {kind} do not lie where they should"
