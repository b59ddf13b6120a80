"""The synthetic teaching scene: relief, ice, cover, imagery and radar put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from geopandas import GeoDataFrame
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.features import rasterize

from cryonet.errors import SceneError
from cryonet.progress import SILENT, Progress
from cryonet.scene import scene_from_arrays
from cryonet.scene_writer import Storage
from cryonet.synthetic.cover import (
    Cover,
    cover_debris,
    cover_plants,
    cover_snow,
    hummocks,
)
from cryonet.synthetic.drainage import Grid
from cryonet.synthetic.fractal import ragged_patches
from cryonet.synthetic.ice import Glaciers, carve_troughs, glaciers_within, grow_glaciers
from cryonet.synthetic.imagery import OPTICAL, ground_fractions, light, simulate_bands
from cryonet.synthetic.insar import PAIR, simulate_insar
from cryonet.synthetic.lakes import ponds, proglacial_lakes
from cryonet.synthetic.region import REGIONS, Region
from cryonet.synthetic.relief import make_relief

#: How each asset of a synthetic scene is stored, for `cryonet.scene_writer.write_scene`.
STORAGE: Mapping[str, Storage] = {"optical": OPTICAL}

#: Pixel side of a generated scene, m.
CELL = 10.0

#: Smallest side of a scene, pixels.
SMALLEST = 64


def make_scene(
    size: int = 1024,
    *,
    seed: int = 0,
    region: str = "poiqu",
    elevation: NDArray[np.floating[Any]] | None = None,
    outlines: GeoDataFrame | NDArray[np.bool_] | None = None,
    geobox: GeoBox | None = None,
    progress: Progress = SILENT,
) -> xr.Dataset:
    """Return a synthetic scene with all input families and its true labels.

    With the same libraries, the same arguments give the same bytes. The optical bands hold
    exactly the values that `STORAGE` keeps, so writing and reading the scene loses nothing.

    Parameters
    ----------
    size
        Side of the generated scene, pixels of 10 m; unused when `elevation` is given.
    seed
        Seed of everything random.
    region
        ``"poiqu"`` or ``"montblanc"``.
    elevation
        Heights ``(y, x)``, m, without gaps, that replace the generated relief. They are
        kept as they are, but for lakes, which are levelled.
    outlines
        Glacier outlines in any CRS, or a mask ``(y, x)``, that replace the generated ice.
    geobox
        Grid of `elevation`, projected, in metres.

    Raises
    ------
    SceneError
        If the region is unknown, the scene too small, or the arrays do not fit the grid.
    """
    chosen = _region(region)
    if elevation is None:
        if size < SMALLEST:
            raise SceneError("the scene is too small", size, f"Give {SMALLEST} pixels or more.")
        geobox = _place(size, chosen)
    elif geobox is None:
        raise SceneError("the elevation has no grid", None, "Give its GeoBox with it.")
    else:
        _check_elevation(elevation, geobox)
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
    given = None if outlines is None else _burn(outlines, geobox)
    if elevation is None:
        glaciers = _generate(size, chosen, given, streams[0], progress)
    else:
        glaciers = _glaciers(np.asarray(elevation, float), chosen, given, geobox, progress)
    cell = abs(float(geobox.resolution.x))
    progress.step(1, 4, "debris, lakes, snow and plants")
    cover = _cover(glaciers, chosen, streams[1], cell=cell, generated=elevation is None)
    progress.step(2, 4, "imagery")
    arrays = _image(cover, chosen, streams[2], cell=cell)
    progress.step(3, 4, "interferogram")
    arrays["elevation"] = cover.surface.astype(np.float32)
    arrays["coherence"], arrays["phase"] = simulate_insar(
        cover, glaciers.speed, streams[3], cell=cell
    )
    arrays["labels"] = cover.labels
    attrs = _attributes(chosen, seed, glaciers.equilibrium_line, real=elevation is not None)
    scene = scene_from_arrays(arrays, geobox, attrs=attrs)
    for name in ("coherence", "phase"):
        scene[name].attrs |= {"looks": PAIR.looks, "native_resolution": PAIR.native_resolution}
    progress.step(4, 4, "scene")
    return scene


def _region(name: str) -> Region:
    if name not in REGIONS:
        known = ", ".join(REGIONS)
        raise SceneError("there is no such region", name, f"Known are: {known}.")
    return REGIONS[name]


def _place(size: int, region: Region) -> GeoBox:
    to_map = Transformer.from_crs("EPSG:4326", region.crs, always_xy=True)
    east, north = to_map.transform(region.longitude, region.latitude)
    left = round((east - size * CELL / 2) / CELL) * CELL
    top = round((north + size * CELL / 2) / CELL) * CELL
    return GeoBox((size, size), Affine(CELL, 0, left, 0, -CELL, top), region.crs)


def _check_elevation(elevation: NDArray[np.floating[Any]], geobox: GeoBox) -> None:
    if elevation.shape != tuple(geobox.shape):
        pair = f"{elevation.shape} on {tuple(geobox.shape)}"
        raise SceneError("the elevation does not fit its grid", pair, "Give one height a pixel.")
    if min(elevation.shape) < SMALLEST:
        rule = f"Give {SMALLEST} pixels or more a side."
        raise SceneError("the elevation is too small", elevation.shape, rule)
    gaps = int(np.count_nonzero(~np.isfinite(elevation)))
    if gaps:
        raise SceneError("the elevation has gaps", f"{gaps} pixels", "Fill them first.")
    if geobox.crs is None or not geobox.crs.projected:
        raise SceneError("the grid is not in metres", str(geobox.crs), "Warp to a projected CRS.")


def _burn(outlines: GeoDataFrame | NDArray[np.bool_], geobox: GeoBox) -> NDArray[np.bool_]:
    if isinstance(outlines, np.ndarray):
        if outlines.shape != tuple(geobox.shape):
            pair = f"{outlines.shape} on {tuple(geobox.shape)}"
            raise SceneError("the outlines do not fit the grid", pair, "Give one value a pixel.")
        return outlines.astype(bool)
    if outlines.crs is None:
        raise SceneError("the outlines have no CRS", len(outlines), "Set the CRS first.")
    shapes = outlines.to_crs(str(geobox.crs)).geometry
    burned = rasterize(
        [(shape, 1) for shape in shapes if shape is not None and not shape.is_empty],
        out_shape=tuple(geobox.shape),
        transform=geobox.affine,
        dtype="uint8",
    )
    return np.asarray(burned == 1)


def _generate(
    size: int,
    region: Region,
    given: NDArray[np.bool_] | None,
    rng: np.random.Generator,
    progress: Progress,
) -> Glaciers:
    # The range is made wider than the scene, so that no valley knows where the scene ends.
    margin = max(8, size // 8)
    bed = make_relief((size + 2 * margin,) * 2, region, rng, cell=CELL, progress=progress)
    bed = carve_troughs(bed, cell=CELL, margin=margin, progress=progress)
    inner = (slice(margin, -margin),) * 2
    if given is not None:
        return glaciers_within(bed[inner], given, cell=CELL)
    whole = grow_glaciers(bed, cell=CELL, share=region.ice_share, margin=margin, progress=progress)
    # The range stands where its equilibrium line lies at the region's height.
    lift = region.equilibrium_line - whole.equilibrium_line
    return Glaciers(
        mask=whole.mask[inner],
        thickness=whole.thickness[inner],
        surface=whole.surface[inner] + lift,
        speed=whole.speed[inner],
        equilibrium_line=region.equilibrium_line,
    )


def _glaciers(
    elevation: Grid,
    region: Region,
    given: NDArray[np.bool_] | None,
    geobox: GeoBox,
    progress: Progress,
) -> Glaciers:
    cell = abs(float(geobox.resolution.x))
    if given is None:
        grown = grow_glaciers(
            elevation, cell=cell, share=region.ice_share, margin=0, progress=progress
        )
        return replace(grown, surface=elevation)
    return glaciers_within(elevation, given, cell=cell)


def _cover(
    glaciers: Glaciers, region: Region, rng: np.random.Generator, *, cell: float, generated: bool
) -> Cover:
    total = glaciers.mask.size
    surface = glaciers.surface
    debris = cover_debris(glaciers, region.debris_share, rng, cell=cell)
    if generated:
        surface = surface + hummocks(debris, rng, cell=cell)
    surface, lakes = proglacial_lakes(
        surface,
        glaciers.mask,
        count=round(0.85 * region.lake_share * total),
        rng=rng,
        cell=cell,
        build=generated,
    )
    surface, small = ponds(surface, debris, count=round(0.15 * region.lake_share * total), rng=rng)
    labels = np.zeros(glaciers.mask.shape, np.uint8)
    labels[glaciers.mask] = 1
    labels[debris] = 2
    labels[lakes | small] = 3
    snow = cover_snow(glaciers, surface, rng, cell=cell)
    snow[labels >= 2] = 0.0
    plants = cover_plants(
        glaciers,
        surface,
        rng,
        cell=cell,
        line=region.vegetation_line,
        most=region.vegetation_cover,
    )
    plants[labels == 3] = 0.0
    return Cover(labels=labels, surface=surface, snow=snow, plants=plants)


def _image(
    cover: Cover, region: Region, rng: np.random.Generator, *, cell: float
) -> dict[str, NDArray[Any]]:
    sun, sky = light(
        cover.surface,
        cover.labels == 3,
        cell=cell,
        azimuth=region.sun_azimuth,
        elevation=region.sun_elevation,
    )
    bands = simulate_bands(ground_fractions(cover, region, rng), sun, sky, rng)
    missing = ragged_patches(sun.shape, rng, share=0.004)
    return {name: np.where(missing, np.float32(np.nan), band) for name, band in bands.items()}


def _attributes(region: Region, seed: int, line: float, *, real: bool) -> dict[str, Any]:
    return {
        "id": f"synthetic-{region.name}-{seed}",
        "title": region.title + (", on given terrain" if real else ""),
        "synthetic": True,
        "region": region.name,
        "seed": int(seed),
        "datetime": region.datetime,
        "view:sun_azimuth": region.sun_azimuth,
        "view:sun_elevation": region.sun_elevation,
        "equilibrium_line": round(line, 1),
    }
