"""The shapefiles of a GLIMS package: their fields, which are required, and the line types.

What is sourced: that a package has the shapefiles session, glaciers, segments and images, that
fields of one's own are ignored and optional ones may be left out (Raup and Khalsa 2008, GLIMS
data transfer specification 1.2); that outlines are closed polygons in longitude and latitude on
WGS 84, nunataks holes in them, with local and global uncertainties, image ids, days, instrument
and platform, analysts and a description of the processing, and the line types of further
polygons (NSIDC, Information for GLIMS data providers); names, types and widths, from the public
schema of the GLIMS database and the page that describes its downloaded fields. Where these are
silent it is our choice: that ``glaciers`` holds the polygons and ``segments`` their rings, that
``img_ids`` ties polygons to images, and which fields are required.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: What a polygon bounds: a glacier, a nunatak in it, its debris, lakes on it and at it.
LINE_TYPES = ("glac_bound", "intrnl_rock", "debris_cov", "supra_lake", "pro_lake")

#: A text in a shapefile is at most so many bytes long, a name of a field so many characters.
LONGEST, LONGEST_NAME = 254, 10

#: The whole description of the processing, which no field can hold.
DESCRIPTION = "processing.txt"

Kind = Literal["text", "integer", "real", "date"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a shapefile; `width` is that of a text, in bytes."""

    name: str
    kind: Kind
    width: int = 0
    required: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One shapefile."""

    geometry: Literal["Polygon", "LineString"]
    fields: tuple[Field, ...]


_UNCERTAINTY = tuple(
    Field(name, "real") for name in ("loc_unc_x", "loc_unc_y", "glob_unc_x", "glob_unc_y")
)
_SYNTHETIC = Field("synthetic", "integer", required=False)

#: Every shapefile by name. ``area_unc``, ``rgi_match``, ``rgi_overl``, ``img_ids``, ``ring`` and
#: ``synthetic`` are fields of our own.
TABLES: Mapping[str, Table] = {
    "session": Table(
        "Polygon",
        (
            Field("anlst_surn", "text", 80),
            Field("anlst_givn", "text", 80),
            Field("anlst_affl", "text", 254),
            Field("analysts", "text", 254),
            Field("submit_sur", "text", 80),
            Field("submit_giv", "text", 80),
            Field("submit_aff", "text", 254),
            Field("rc_id", "integer", required=False),
            Field("geog_area", "text", 254, required=False),
            Field("anlys_time", "date"),
            Field("proc_desc", "text", 254),
            _SYNTHETIC,
        ),
    ),
    "glaciers": Table(
        "Polygon",
        (
            Field("line_type", "text", 20),
            Field("glac_id", "text", 20),
            Field("local_id", "text", 30),
            Field("anlys_time", "date"),
            Field("src_date", "date"),
            Field("rec_status", "text", 20),
            Field("glac_stat", "text", 20),
            Field("area", "real"),
            Field("area_unc", "real", required=False),
            Field("min_elev", "integer", required=False),
            Field("mean_elev", "integer", required=False),
            Field("max_elev", "integer", required=False),
            *_UNCERTAINTY,
            Field("img_ids", "text", 254),
            Field("rgi_match", "text", 30, required=False),
            Field("rgi_overl", "real", required=False),
            _SYNTHETIC,
        ),
    ),
    "segments": Table(
        "LineString",
        (
            Field("seg_id", "integer"),
            Field("glac_id", "text", 20),
            Field("line_type", "text", 20),
            Field("seg_type", "text", 30),
            Field("ring", "integer"),
            *_UNCERTAINTY,
        ),
    ),
    "images": Table(
        "Polygon",
        (
            Field("image_id", "integer"),
            Field("orig_id", "text", 100),
            Field("inst_name", "text", 10),
            Field("platform", "text", 50),
            Field("acq_time", "date"),
            _SYNTHETIC,
        ),
    ),
}
