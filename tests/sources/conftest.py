"""Small rasters and outlines on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

#: North-up pixels of 10 m in UTM zone 45 north, near Everest.
PLACE = Affine(10, 0, 478000, 0, -10, 3108140)

MakeRaster = Callable[..., Path]
MakeOutlines = Callable[..., Path]


@pytest.fixture
def place() -> Affine:
    return PLACE


@pytest.fixture
def tif(tmp_path: Path) -> MakeRaster:
    """A factory of GeoTIFFs: name, array (y, x) or (band, y, x), and what to say of it."""

    def make(
        name: str,
        data: NDArray[Any],
        *,
        transform: Affine | None = PLACE,
        crs: str | None = "EPSG:32645",
        scale: float | None = None,
        offset: float | None = None,
        unit: str | None = None,
        **profile: Any,
    ) -> Path:
        bands = data if data.ndim == 3 else data[None]
        path = tmp_path / name
        settings = {"driver": "GTiff", "dtype": str(bands.dtype), "crs": crs, **profile}
        if transform is not None:
            settings["transform"] = transform
        count, height, width = bands.shape
        with pytest.warns(NotGeoreferencedWarning) if transform is None else _quiet():
            target = rasterio.open(path, "w", count=count, height=height, width=width, **settings)
        with target:
            target.write(bands)
            if scale is not None:
                target.scales = [scale] * count
            if offset is not None:
                target.offsets = [offset] * count
            if unit is not None:
                target.units = [unit] * count
        return path

    return make


class _quiet:  # noqa: N801 - a context that does nothing
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def outlines(tmp_path: Path) -> MakeOutlines:
    """A factory of vector files: name, shapes in `crs`, written in `to` if given."""

    def make(
        name: str, shapes: Sequence[Any], *, crs: str | None = "EPSG:32645", to: str | None = None
    ) -> Path:
        frame = gpd.GeoDataFrame({"n": np.arange(len(shapes))}, geometry=list(shapes), crs=crs)
        if to is not None:
            frame = frame.to_crs(to)
        path = tmp_path / name
        frame.to_file(path)
        return path

    return make


@pytest.fixture
def shared() -> Path:
    """The real files for tests, where they exist."""
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real files of ../shared/data are not here")
    return folder.resolve()
