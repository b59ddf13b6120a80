"""What a scene holds is told in figures, and fits a narrow terminal."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from rich.console import Console

from cryonet.errors import SceneError
from cryonet.scene import VARIABLES, scene_from_arrays
from cryonet.scene_info import describe, scene_table, scene_tables
from cryonet.scene_writer import write_scene

GRID = GeoBox((50, 40), Affine(10, 0, 478000, 0, -10, 3108140), "EPSG:32645")


@pytest.fixture
def scene() -> xr.Dataset:
    """Every variable there is, half of the red band missing, all classes and 255."""
    arrays = {name: np.full((50, 40), 0.25, dtype="float32") for name in VARIABLES}
    arrays["red"] = np.arange(2000, dtype="float32").reshape(50, 40) / 2000
    arrays["red"][:25] = np.nan
    arrays["nir"] = np.full((50, 40), np.nan, dtype="float32")
    arrays["labels"] = np.repeat(np.array([0, 1, 2, 3, 255], "uint8"), 400).reshape(50, 40)
    warps = [
        {
            "variable": name,
            "file": f"S1-GUNW-A-R-115-tops-20200112-20191231-{name}.tif",
            "band": 1,
            "from_crs": "EPSG:4326",
            "from_resolution": [0.00083333333, 0.00083333333],
            "to_crs": "EPSG:32645",
            "to_resolution": [10.0, 10.0],
            "resampling": "bilinear" if name != "red" else "none",
        }
        for name in ("red", "elevation", "coherence")
    ]
    made = scene_from_arrays(
        arrays,
        GRID,
        attrs={
            "id": "synthetic-poiqu-0",
            "title": "Synthetic teaching scene of a valley like Poiqu, with every variable",
            "synthetic": True,
            "datetime": "2020-08-31T05:00:00Z",
            "cryonet:warps": warps,
            "cryonet:remarks": ["phase: wrapped from unwrapped"],
        },
    )
    made["coherence"].attrs["native_resolution"] = 40.0
    return made


def shown(scene: xr.Dataset | Path, width: int = 80) -> str:
    page = io.StringIO()
    console = Console(file=page, width=width)
    for table in scene_tables(describe(scene)):
        console.print(table)
    return page.getvalue()


def test_the_figures(scene: xr.Dataset) -> None:
    info = describe(scene)
    assert (info.id, info.synthetic, info.crs) == ("synthetic-poiqu-0", True, "EPSG:32645")
    assert info.shape == (50, 40)
    assert info.resolution == (10, 10)
    assert info.bounds == (478000, 3107640, 478400, 3108140)
    red = next(v for v in info.variables if v.name == "red")
    assert red.coverage == 0.5
    assert (red.minimum, red.maximum) == (0.5, pytest.approx(1999 / 2000))
    assert red.median == pytest.approx(0.74975)
    nir = next(v for v in info.variables if v.name == "nir")
    assert nir.coverage == 0
    assert np.isnan([nir.minimum, nir.median, nir.maximum]).all()
    natives = {v.name: v.native_resolution for v in info.variables}
    assert natives["coherence"] == 40
    assert natives["phase"] is None


def test_label_shares_and_areas(scene: xr.Dataset) -> None:
    rows = describe(scene).labels
    assert [r.code for r in rows] == [0, 1, 2, 3, 255]
    assert [r.share for r in rows] == [0.2] * 5
    # 400 pixels of 100 m².
    assert [r.km2 for r in rows] == pytest.approx([0.04] * 5)


def test_a_folder_gives_the_same_figures(scene: xr.Dataset, tmp_path: Path) -> None:
    path = write_scene(scene, tmp_path / "s")
    assert repr(describe(path)) == repr(describe(scene))
    assert shown(path) == shown(scene)


def test_a_scene_without_labels_or_warps(scene: xr.Dataset) -> None:
    bare = scene[["red"]]
    bare.attrs = {}
    info = describe(bare)
    assert info.labels == info.warps == info.remarks == ()
    assert info.synthetic is None
    assert "unknown" in shown(bare)
    assert "Labels" not in shown(bare)


def test_it_fits_eighty_columns_and_cuts_nothing(scene: xr.Dataset) -> None:
    page = shown(scene)
    assert max(len(line) for line in page.splitlines()) <= 80
    assert "…" not in page.replace("478000 … 478400", "").replace("3107640 … 3108140", "")
    for name in (*VARIABLES, "clean_ice", "debris", "lake", "unlabelled", "EPSG:4326 0.0008333"):
        assert name in page, name
    assert "synthetic: generated, not observed" in page
    assert "1 of 3 bands lie on the grid as they are" in page
    assert "wrapped from unwrapped" in page
    assert "50 rows × 40 columns" in page


def test_shares_say_all_or_nothing_only_when_it_is(scene: xr.Dataset) -> None:
    green = np.full((100, 100), 0.2, dtype="float32")
    green[0, 0] = np.nan
    grid = GeoBox((100, 100), GRID.affine, GRID.crs)
    made = scene_from_arrays({"green": green, "red": green * 0 + 1, "blue": green * np.nan}, grid)
    assert ">99.9 %" in shown(made)
    made["green"][:] = np.nan
    made["green"][0, 0] = 0.1
    assert "<0.1 %" in shown(made)


def test_the_first_table_says_what_the_scene_is(scene: xr.Dataset) -> None:
    assert scene_table(describe(scene)).row_count == 9


def test_no_scene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="there is no scene"):
        describe(tmp_path)
