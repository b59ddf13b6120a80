"""Interferometric products on the grid of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.errors import SceneError
from cryonet.grid import geobox_of
from cryonet.layers.interferometry import interferogram
from cryonet.progress import SILENT, Progress
from cryonet.scene import open_scene, read_item, scene_from_arrays
from cryonet.scene_writer import add_to_scene
from cryonet.sources.insar import read_products
from cryonet.sources.insar_product import InsarProduct
from cryonet.sources.raster import fingerprint
from cryonet.sources.warp import plan_route, record, resample, resample_phase

Array = NDArray[np.float32]

#: Rows and columns of images that make a pixel: 40 m by 40 m of OPERA's 10 m by 5 m samples.
#: Our choice, near the finest of HyP3's products.
LOOKS = (4, 8)


def add_insar(
    scene: str | Path,
    products: Sequence[str | Path],
    *,
    looks: tuple[int, int] = LOOKS,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Bring coherence and phase of a pair of radar images to a scene on disk; return it.

    Several products of one pair, as those of neighbouring bursts, fill each other's gaps; the
    first given comes first. The phase is resampled as cosine and sine, coherence is never
    averaged nor made finer than linear, and both keep their native resolution. The item
    lists the files with their hashes (``cryonet:sources``), the warps, and the pair
    (``cryonet:insar``): dates, temporal baseline, looks, wavelength, pixels left out as layover
    or shadow.

    Parameters
    ----------
    scene
        Folder of a scene.
    products
        What `cryonet.sources.insar.read_products` reads.
    looks
        Rows and columns of samples a pixel is made of, where a product is a pair of images.
    overwrite
        Replace a coherence and phase that the scene has already.

    Raises
    ------
    SceneError
        If a product cannot be read, they are not of one pair, or no pixel of the scene has a
        value. The scene is then as it was.
    GridError
        If a product does not overlap the scene.
    """
    with open_scene(scene) as opened:
        target = geobox_of(opened)
    total = len(products) + 2
    progress.step(0, total, "reading products")
    found = [_formed(product, looks) for product in read_products(products)]
    _check_one_pair(found)
    merged = {
        name: np.full(tuple(target.shape), np.nan, np.float32) for name in ("coherence", "phase")
    }
    warps = []
    for done, product in enumerate(found, 1):
        progress.step(done, total, f"warping {product.files[0]}")
        for name, values, step in _placed(product, target):
            gaps = np.isnan(merged[name])
            merged[name][gaps] = values[gaps]
            warps.append(step)
    if not np.isfinite(merged["coherence"]).any():
        names = ", ".join(product.files[0] for product in found)
        raise SceneError("no pixel of the scene has a coherence", names, "Give what covers it.")
    added = scene_from_arrays(merged, target, attrs={"synthetic": False})
    for data in added.values():
        data.attrs |= _about(found)
    if any(product.wrapped for product in found):
        added["phase"].attrs["note"] = "wrapped from unwrapped"
    pair, item = _pair(found), read_item(scene)["properties"]
    # Where no time was stated the time of writing stands in.
    taken = None if "cryonet:datetime" in item else item.get("datetime")
    properties = {
        "cryonet:insar": pair,
        "cryonet:sources": _sources(products, found),
        "cryonet:warps": warps,
        "cryonet:remarks": _remarks(pair, taken),
    }
    progress.step(total - 1, total, "writing")
    path = add_to_scene(scene, added, properties=properties, overwrite=overwrite)
    progress.step(total, total, "written")
    return path


def _formed(product: InsarProduct, looks: tuple[int, int]) -> InsarProduct:
    """Return the product with coherence and phase, made of its images if it has those."""
    if product.coherence is not None:
        return product
    made = interferogram(*product.images(), looks=looks)
    attrs = made["coherence"].attrs
    return InsarProduct(
        kind=product.kind,
        grid=geobox_of(made),
        looks=int(attrs["looks"]),
        native_resolution=float(attrs["native_resolution"]),
        primary_date=product.primary_date,
        secondary_date=product.secondary_date,
        wavelength=product.wavelength,
        files=product.files,
        coherence=made["coherence"].values,
        phase=made["phase"].values,
        hidden=product.hidden,
    )


def _check_one_pair(found: Sequence[InsarProduct]) -> None:
    # Coherence of other days or looks is another quantity: a seam between the two would lie.
    pairs = {(p.kind, p.primary_date, p.secondary_date, p.looks) for p in found}
    if len(pairs) > 1:
        shown = "; ".join(f"{p.files[0]} ({_days(p)}, {p.looks or 'unknown'} looks)" for p in found)
        raise SceneError("the products are not of one pair", shown, "Add one pair to a scene.")


def _days(product: InsarProduct) -> str:
    days = (product.primary_date, product.secondary_date)
    return " to ".join(str(day) if day else "unknown" for day in days)


def _placed(product: InsarProduct, target: GeoBox) -> list[tuple[str, Array, dict[str, Any]]]:
    made = []
    for name, values in (("coherence", product.coherence), ("phase", product.phase)):
        assert values is not None
        route = plan_route(product.grid, target, variable=name, what=product.files[0])
        part = np.ascontiguousarray(values[route.window.slices])
        warp = resample_phase if name == "phase" else resample
        file = product.files[min(1, len(product.files) - 1) if name == "phase" else 0]
        step = record(route, product.grid, target, variable=name, file=file, band=1)
        made.append((name, warp(part, product.grid, route, target), step.as_dict()))
    return made


def _about(found: Sequence[InsarProduct]) -> dict[str, Any]:
    side = max(product.native_resolution for product in found)
    looks = found[0].looks
    return {"native_resolution": side} | ({"looks": looks} if looks is not None else {})


def _pair(found: Sequence[InsarProduct]) -> dict[str, Any]:
    first = found[0]
    days = (first.primary_date, first.secondary_date)
    masked = [product.hidden for product in found if product.hidden is not None]
    return {
        "kind": first.kind,
        "primary_date": days[0] and days[0].isoformat(),
        "secondary_date": days[1] and days[1].isoformat(),
        "temporal_baseline_days": (days[1] - days[0]).days if days[0] and days[1] else None,
        "wavelength": first.wavelength,
        "layover_shadow_pixels": sum(masked) if masked else None,
        **_about(found),
    }


def _sources(paths: Sequence[str | Path], found: Sequence[InsarProduct]) -> list[dict[str, Any]]:
    used = {name for product in found for name in product.files}
    files: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        files += [file for file in inside if not path.is_dir() or file.name in used]
    return [{"variable": "coherence, phase", **fingerprint(file)} for file in files]


def _remarks(pair: dict[str, Any], taken: str | None) -> list[str]:
    remarks = []
    if pair["temporal_baseline_days"] is None:
        remarks.append("the days of the interferometric pair are not known")
    elif taken:
        image = datetime.fromisoformat(taken).date()
        near = min(
            abs(image - date.fromisoformat(pair[key])) for key in ("primary_date", "secondary_date")
        )
        remarks.append(f"the interferometric pair lies {near.days} days from the image")
    if pair.get("looks") is None:
        remarks.append("the looks of the coherence are not known: its bias is not either")
    return remarks
