"""From two predictions' folders to a folder that tells what changed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from odc.geo.xr import wrap_xr
from pyproj import Transformer
from scipy import ndimage

from cryonet.areas import BUFFER, CORRELATION
from cryonet.atomic import check_replaceable, whole_folder
from cryonet.band import Band
from cryonet.change import (
    KINDS,
    IceChange,
    change_codes,
    common_part,
    glacier_changes,
    lake_changes,
    total_change,
)
from cryonet.classes import NODATA
from cryonet.cog import origin_tags, write_cog
from cryonet.errors import SceneError
from cryonet.file_hash import file_sha256
from cryonet.glaciers import Numbers
from cryonet.grid import geobox_of
from cryonet.prediction import PASSPORT, open_prediction
from cryonet.progress import SILENT, Progress
from cryonet.sources.divides import Divides, read_divides

SUMMARY = "change.json"

# Of a larger map the picture has every so many-th pixel: it is 1000 pixels wide itself.
_PICTURE = 4000


def run_change(
    before: str | Path,
    after: str | Path,
    out: str | Path,
    *,
    divides: str | Path | None = None,
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> IceChange:
    """Write what changed between two predictions as a folder; return the change of all ice.

    It holds ``change.tif`` (the kinds of `cryonet.change`, as a COG with colours), ``change.png``,
    ``glaciers.csv`` and ``lakes.csv`` (a row each, areas in km²) and ``change.json`` (totals, and
    which predictions they are of).

    Parameters
    ----------
    divides
        A vector file of an inventory, to divide glaciers by and name them.
    correlation, buffer
        As for `cryonet.areas.estimate_areas`.

    Raises
    ------
    SceneError
        If the folder exists and is something else, or may not be replaced.
    GridError
        If the pixels of the two do not coincide, or they do not overlap.
    """
    target = check_replaceable(out, marker=SUMMARY, overwrite=overwrite, error=SceneError)
    progress.step(0, 4, "reading")
    first, second = common_part(open_prediction(before), open_prediction(after))
    geobox = geobox_of(first)
    known = read_divides(divides, geobox) if divides else None
    progress.step(1, 4, "measuring glaciers")
    options = {"correlation": correlation, "buffer": buffer}
    glaciers, numbers = glacier_changes(
        first, second, divides=known.numbers if known else None, **options
    )
    lakes = lake_changes(first, second)
    total = total_change(first, second, **options)
    progress.step(2, 4, "drawing")
    codes = wrap_xr(
        change_codes(first["classes"].values, second["classes"].values), geobox, nodata=NODATA
    )
    synthetic = any(data.attrs.get("synthetic") for data in (first, second))
    with whole_folder(target, error=SceneError) as work:
        _write_map(codes, work, synthetic=synthetic)
        progress.step(3, 4, "writing")
        placed = _placed(glaciers, numbers, first, known)
        for name, rows in (("glaciers", placed), ("lakes", lakes)):
            rows.assign(synthetic=synthetic).to_csv(work / f"{name}.csv", index=False)
        told = _summary(codes, (before, after), (first, second), total, lakes)
        (work / SUMMARY).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    progress.step(4, 4, "written")
    return total


def _write_map(codes: xr.DataArray, folder: Path, *, synthetic: bool) -> None:
    from matplotlib.figure import Figure

    from cryonet.plotting import plot_change

    write_cog(
        folder / "change.tif",
        codes.values[None],
        geobox_of(codes),
        [Band("change", "kind")],
        nodata=NODATA,
        colours={kind.code: kind.rgb for kind in KINDS},
        tags={f"KIND_{kind.code}": kind.name for kind in KINDS}
        | origin_tags({"synthetic": synthetic}),
    )
    figure = Figure(figsize=(7, 8), layout="constrained")
    step = -(-max(codes.shape) // _PICTURE)
    codes = codes[::step, ::step]
    plot_change(codes, title="Change" + (" (synthetic)" if synthetic else ""), ax=figure.subplots())
    figure.savefig(folder / "change.png", dpi=140, bbox_inches="tight")


def _placed(
    rows: pd.DataFrame, numbers: Numbers, data: xr.Dataset, known: Divides | None
) -> pd.DataFrame:
    """Return the glaciers with the place of a pixel inside, and the inventory's name."""
    if rows.empty:
        return rows
    geobox = geobox_of(data)
    index = rows["number"].to_numpy()
    windows = ndimage.find_objects(numbers)
    places = np.array([_deepest(numbers, n, windows[n - 1]) for n in index], float)
    x, y = np.transpose([geobox.affine * (col + 0.5, row + 0.5) for row, col in places])
    assert geobox.crs is not None
    lon, lat = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True).transform(x, y)
    found = rows.assign(lon=np.round(lon, 5), lat=np.round(lat, 5))
    if known is not None:
        under = known.numbers[places[:, 0].astype(int), places[:, 1].astype(int)]
        names = known.outlines[known.identifier].astype(str)
        found["rgi_id_match"] = [names.iloc[n - 1] if n else None for n in under]
    return found


def _deepest(numbers: Numbers, number: int, window: tuple[slice, slice]) -> tuple[int, int]:
    """Return row and column of the pixel furthest from the edge: inside whatever the shape."""
    depth = ndimage.distance_transform_edt(np.pad(numbers[window] == number, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return window[0].start + int(row), window[1].start + int(col)


def _summary(
    codes: xr.DataArray,
    folders: tuple[str | Path, str | Path],
    maps: tuple[xr.Dataset, xr.Dataset],
    total: IceChange,
    lakes: pd.DataFrame,
) -> dict[str, Any]:
    seen, counts = np.unique(codes.values, return_counts=True)
    pixels = dict(zip(seen.tolist(), counts.tolist(), strict=True))
    return {
        "format": "cryonet-change/1",
        "predictions": [
            {
                "folder": Path(folder).name,
                "passport_sha256": file_sha256(Path(folder) / PASSPORT),
                "datetime": str(data.attrs.get("datetime", "")),
                "model": str(data.attrs.get("model", "")),
                "synthetic": bool(data.attrs.get("synthetic")),
                "corrections": data.attrs.get("corrections"),
            }
            for folder, data in zip(folders, maps, strict=True)
        ],
        "ice_km2": {key: round(value, 6) for key, value in asdict(total).items()},
        "lakes_km2": {
            key: round(float(lakes[key].sum()), 6) for key in ("before", "after", "growth")
        },
        "pixels": {kind.name: pixels.get(kind.code, 0) for kind in KINDS},
    }
