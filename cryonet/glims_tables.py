"""The tables of a GLIMS package: from outlines, people and images to rows by shapefile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from cryonet.errors import GridError
from cryonet.glims_fields import TABLES
from cryonet.glims_id import distinct_ids
from cryonet.glims_images import SourceImage
from cryonet.glims_submission import Submission
from cryonet.outlines import areas_of

#: Longitude and latitude on WGS 84.
DEGREES = "EPSG:4326"


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds for every polygon of a package.

    Attributes
    ----------
    source_date
        The day that the outlines stand for.
    analysed
        The day of the analysis.
    uncertainty
        ``loc_unc_x``, ``loc_unc_y``, ``glob_unc_x`` and ``glob_unc_y``, metres.
    """

    source_date: date
    analysed: date
    uncertainty: Mapping[str, float]
    synthetic: bool


def glims_tables(
    features: gpd.GeoDataFrame,
    glaciers: pd.DataFrame,
    images: Sequence[SourceImage],
    submission: Submission,
    facts: Facts,
    *,
    footprint: Mapping[str, Any],
    description: str,
) -> dict[str, gpd.GeoDataFrame]:
    """Return the rows of each shapefile of `cryonet.glims_fields.TABLES`, on WGS 84.

    Parameters
    ----------
    features
        Of `cryonet.glims_outlines.glims_outlines`.
    glaciers
        A row a glacier with its ``number`` and the attributes of
        `cryonet.outline_attributes.with_attributes`.
    footprint
        GeoJSON of the ground that the images cover, degrees.
    description
        The short one.

    Raises
    ------
    GridError
        If an outline crosses the antimeridian.
    CryonetError
        If there are not enough identifiers for the glaciers.
    """
    placed = features.to_crs(DEGREES)
    bounds = placed.bounds
    if (bounds["maxx"] - bounds["minx"] > 180).any():
        rule = "Map the ground to the east and to the west of it apart."
        raise GridError("an outline crosses the antimeridian", "180°", rule)
    ids = _ids(placed, glaciers)
    outline = shapely.geometry.shape(dict(footprint))
    tables = {
        "session": _session(submission, facts, outline, description),
        "glaciers": _polygons(features, placed, glaciers, ids, images, facts),
        "images": _images(images, outline, facts),
    }
    tables["segments"] = _segments(tables["glaciers"], facts)
    return {name: tables[name][[*_names(name), "geometry"]] for name in TABLES}


def _names(table: str) -> list[str]:
    return [field.name for field in TABLES[table].fields]


def _ids(placed: gpd.GeoDataFrame, glaciers: pd.DataFrame) -> dict[int, str]:
    bound = placed[placed["line_type"] == "glac_bound"].dissolve("number").geometry
    points = list(zip(glaciers["cenlon"], glaciers["cenlat"], strict=True))
    shapes = [bound[number] for number in glaciers["number"]]
    return dict(zip(glaciers["number"], distinct_ids(points, shapes), strict=True))


def _session(
    submission: Submission, facts: Facts, outline: Any, description: str
) -> gpd.GeoDataFrame:
    first, sender = submission.analysts[0], submission.submitter
    row = {
        "anlst_surn": first.surname,
        "anlst_givn": first.given,
        "anlst_affl": submission.organisation,
        "analysts": "; ".join(map(str, submission.analysts)),
        "submit_sur": sender.surname,
        "submit_giv": sender.given,
        "submit_aff": submission.organisation,
        "rc_id": submission.centre,
        "geog_area": submission.region,
        "anlys_time": facts.analysed,
        "proc_desc": description,
        "synthetic": int(facts.synthetic),
    }
    return gpd.GeoDataFrame([row], geometry=[outline], crs=DEGREES)


def _images(images: Sequence[SourceImage], outline: Any, facts: Facts) -> gpd.GeoDataFrame:
    rows = [
        {
            "image_id": number,
            "orig_id": image.name,
            "inst_name": image.instrument,
            "platform": image.platform,
            "acq_time": image.day,
            "synthetic": int(facts.synthetic),
        }
        for number, image in enumerate(images, start=1)
    ]
    return gpd.GeoDataFrame(rows, geometry=[outline] * len(rows), crs=DEGREES)


def _polygons(
    features: gpd.GeoDataFrame,
    placed: gpd.GeoDataFrame,
    glaciers: pd.DataFrame,
    ids: Mapping[int, str],
    images: Sequence[SourceImage],
    facts: Facts,
) -> gpd.GeoDataFrame:
    own = glaciers.set_index("number")
    number = placed["number"]
    bound = (placed["line_type"] == "glac_bound").to_numpy()
    area = areas_of(features)
    # Of a glacier in several parts each row tells the area of the whole.
    sums = pd.Series(area[bound]).groupby(number[bound].to_numpy()).sum()
    area = np.where(bound, number.map(sums), area)
    found = placed.assign(
        glac_id=number.map(ids),
        local_id=number.map(own["cryonet_id"]),
        anlys_time=facts.analysed,
        src_date=facts.source_date,
        rec_status="okay",
        glac_stat="exists",
        area=area,
        img_ids=",".join(str(k) for k in range(1, len(images) + 1)),
        synthetic=int(facts.synthetic),
        **facts.uncertainty,
    )
    columns = {
        "area_unc": "area_pm_buffer_km2", "min_elev": "zmin_m", "mean_elev": "zmean_m",
        "max_elev": "zmax_m", "rgi_match": "rgi_id_match", "rgi_overl": "rgi_overlap",
    }  # fmt: skip
    for name, source in columns.items():
        values = number.map(own[source]) if source in own else pd.Series(None, number.index)
        # Attributes of the glacier; those of its parts are not known.
        found[name] = values.where(bound, None)
    return found


def _segments(polygons: gpd.GeoDataFrame, facts: Facts) -> gpd.GeoDataFrame:
    rows: list[dict[str, Any]] = []
    lines: list[Any] = []
    for name, kind, shape in zip(
        polygons["glac_id"], polygons["line_type"], polygons.geometry, strict=True
    ):
        for place, ring in enumerate((shape.exterior, *shape.interiors)):
            rows.append(
                {
                    "seg_id": len(rows) + 1,
                    "glac_id": name,
                    "line_type": kind,
                    "seg_type": "measured",
                    "ring": place,
                    **facts.uncertainty,
                }
            )
            lines.append(shapely.LineString(ring.coords))
    return gpd.GeoDataFrame(rows, columns=_names("segments"), geometry=lines, crs=DEGREES)
