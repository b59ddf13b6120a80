"""What a scene of 20 km costs on the wire: bytes of each step, beside the files' size.

Run with ``python tests/benchmarks/bench_fetch.py [SIDE]``. A server on loopback holds one
tile of Sentinel-2's own size (SIDE pixels of 10 m, 10,980 by default), of synthetic noise
that compresses about as real images do, in cloud-optimised files. The peer is one plain call of
odc-stac for the same bands and box. Results go to ``tests/benchmarks/results.json``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import odc.stac
import pystac
from catalogue_server import Catalogue
from odc.geo.geobox import GeoBox
from turns import keep

from cryonet.band import Band
from cryonet.catalogue_plan import OPTICAL, order_scene
from cryonet.catalogue_scene import fetch_scene, plan_scene
from cryonet.cog import write_cog
from cryonet.sources.area import area_grid

SIDE = 10_980
COARSE = ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22", "scl")
CORNER = (499980.0, 3200040.0)
#: 20 km in the middle of the tile.
KILOMETRES = 20.0


def write(path: Path, side: int, cell: float, *, codes: bool) -> None:
    """Write a file of one band."""
    rng = np.random.default_rng(0)
    west, north = CORNER
    box = (west, north - side * cell, west + side * cell, north)
    grid = GeoBox.from_bbox(box, crs="EPSG:32645", shape=(side, side), tight=True)
    if codes:
        data = np.full((1, side, side), 5, np.uint8)
    else:
        relief = np.linspace(0, 3000, side, dtype=np.float32)
        data = rng.integers(1500, 1756, (1, side, side), dtype=np.uint16)
        data += relief.astype(np.uint16)[None, :, None]
    write_cog(path, data, grid, [Band("numbers")], nodata=0)


def serve(folder: Path, side: int) -> Catalogue:
    """Return a catalogue of one item; bands of one resolution share a file."""
    served = Catalogue(folder)
    cells = {10.0: "ten.tif", 20.0: "twenty.tif"}
    for cell, name in cells.items():
        write(folder / name, int(side * 10 / cell), cell, codes=False)
    write(folder / "scl.tif", side // 2, 20.0, codes=True)
    assets: dict[str, Any] = {}
    for name in (*OPTICAL, "scl"):
        file = "scl.tif" if name == "scl" else cells[20.0 if name in COARSE else 10.0]
        # A query of its own keeps the bands apart for GDAL's cache.
        asset = {"href": f"{served.server.url}{file}?{name}", "roles": ["data"]}
        assets[name] = asset | {"raster:bands": [{"nodata": 0, "scale": 1e-4, "offset": -0.1}]}
    west, north = CORNER
    box = (west, north - side * 10, west + side * 10, north)
    grid = GeoBox.from_bbox(box, crs="EPSG:32645", shape=(side, side), tight=True)
    form = {"collection": "sentinel-2-c1-l2a", "stac_version": "1.1.0"}
    properties = {"proj:code": "EPSG:32645", "grid:code": "MGRS-45RVL", "platform": "sentinel-2a"}
    item = served._item("one", form, grid, datetime(2023, 10, 5, tzinfo=UTC), properties, assets)
    served.items.append(item)
    return served


def whole(folder: Path) -> int:
    """Return the bytes of all files that the item names."""
    sizes = {name: (folder / f"{name}.tif").stat().st_size for name in ("ten", "twenty", "scl")}
    return sizes["scl"] + 6 * sizes["twenty"] + 4 * sizes["ten"]


def main(side: int) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        served = serve(folder, side)
        try:
            measure(served, folder, side)
        finally:
            served.server.close()
    finally:
        shutil.rmtree(folder)


def measure(served: Catalogue, folder: Path, side: int) -> None:
    lon, lat = 87.0 + side * 5 / 98_000, 28.92 - side * 5 / 110_800
    half = KILOMETRES / 2
    box = (lon - half / 97.4, lat - half / 110.8, lon + half / 97.4, lat + half / 110.8)
    order = order_scene(box=box, days="2023-10-01/2023-10-31", catalogue=served.root)
    sent = served.server.sent
    steps, seconds = {}, {}
    for step in ("search", "load", "odc-stac"):
        sent.clear()
        start = time.perf_counter()
        if step == "search":
            plan = plan_scene(folder / "scene", order)
        elif step == "load":
            fetch_scene(folder / "scene", plan)
        else:
            plain(served, order)
        steps[step], seconds[step] = sum(sent.values()), time.perf_counter() - start
    total = whole(folder)
    grid = area_grid(order.area)
    ours = steps["search"] + steps["load"]
    result = {
        "scene pixels": list(grid.shape),
        "files, bytes": total,
        "search, bytes": steps["search"],
        "load, bytes": steps["load"],
        "share of the files": round(ours / total, 4),
        "share of the area": round(grid.shape[0] * grid.shape[1] / side**2, 4),
        "odc-stac, bytes": steps["odc-stac"],
        "bytes, cryonet to odc-stac": round(ours / steps["odc-stac"], 3),
        "seconds": {step: round(value, 2) for step, value in seconds.items()},
    }
    for key, value in result.items():
        print(f"{key}: {value:,}" if isinstance(value, int) else f"{key}: {value}")
    keep("fetch", result)


def plain(served: Catalogue, order: Any) -> None:
    """Load the same with one call of odc-stac, from addresses GDAL has not seen."""
    item = pystac.Item.from_dict(served.items[0])
    for asset in item.assets.values():
        asset.href += "_again"
    stored = {name: {"data_type": "uint16", "nodata": 0} for name in item.assets}
    odc.stac.load(
        [item],
        bands=[*OPTICAL, "scl"],
        geobox=order.grid,
        resampling={"*": "bilinear", "scl": "nearest"},
        stac_cfg={"*": {"assets": stored, "warnings": "ignore"}},
        pool=6,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SIDE)
