"""A scene keeps its rules in memory, and damaged ones on disk are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from cryonet.band import Band
from cryonet.cog import write_cog
from cryonet.errors import CryonetError, GridError, SceneError
from cryonet.grid import geobox_of
from cryonet.scene import (
    BANDS,
    VARIABLES,
    check_scene,
    coverage,
    data_assets,
    open_scene,
    read_item,
    scene_from_arrays,
)
from cryonet.scene_writer import Storage, write_scene

GRID = GeoBox((6, 9), Affine(10, 0, 478000, 0, -10, 3108140), "EPSG:32645")


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    red = rng.random((6, 9)).astype("float32")
    red[0, :3] = np.nan
    labels = rng.integers(0, 4, (6, 9)).astype("uint8")
    labels[5] = 255
    elevation = (5000 + rng.random((6, 9))).astype("float32")
    return {"red": red, "nir": red + 0.1, "elevation": elevation, "labels": labels}


@pytest.fixture
def scene() -> xr.Dataset:
    made = scene_from_arrays(arrays(), GRID, attrs={"id": "a", "synthetic": True})
    made["nir"].attrs["looks"] = 4
    return made


@pytest.fixture
def folder(scene: xr.Dataset, tmp_path: Path) -> Path:
    return write_scene(scene, tmp_path / "scene")


def test_every_variable_is_described() -> None:
    for name, variable in VARIABLES.items():
        assert variable.name == name
        assert variable.units
        assert variable.limits[0] < variable.limits[1]
    assert BANDS[:4] == ("coastal", "blue", "green", "red")
    assert set(VARIABLES) - set(BANDS) == {"elevation", "coherence", "phase"}


def test_a_scene_names_units_and_lies_on_its_grid(scene: xr.Dataset) -> None:
    assert geobox_of(scene) == GRID
    assert scene["elevation"].attrs["units"] == "m"
    assert scene["red"].attrs["long_name"] == "red (665 nm) reflectance"
    assert all(scene[n].dtype == np.float32 for n in ("red", "nir", "elevation"))


def test_coverage_counts_what_is_known(scene: xr.Dataset) -> None:
    shares = coverage(scene)
    assert shares["red"] == pytest.approx(51 / 54)
    assert shares["elevation"] == 1
    assert shares["labels"] == pytest.approx(45 / 54)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.rename(red="purple"), "unknown variable"),
        (lambda s: s.astype("float64"), "not float32"),
        (lambda s: s.transpose("x", "y"), "other dimensions"),
        (lambda s: s[["labels"]], "empty"),
        (lambda s: s.assign(labels=s["labels"].astype("int64")), "not class codes"),
        (lambda s: s.assign(labels=s["labels"] * 0 + np.uint8(7)), "unknown codes"),
        (lambda s: s.assign(red=s["red"].assign_attrs(units="percent")), "other units"),
    ],
)
def test_broken_rules_are_named(
    scene: xr.Dataset, change: Callable[[xr.Dataset], xr.Dataset], match: str
) -> None:
    with xr.set_options(keep_attrs=True), pytest.raises(SceneError, match=match):
        check_scene(change(scene))


def test_a_mirrored_grid_is_refused() -> None:
    south_up = GeoBox((6, 9), Affine(10, 0, 478000, 0, 10, 3108080), "EPSG:32645")
    with pytest.raises(GridError, match="mirrored"):
        scene_from_arrays({"red": arrays()["red"]}, south_up)


def test_an_array_of_another_size_is_refused() -> None:
    with pytest.raises(SceneError, match="does not fit the grid"):
        scene_from_arrays({"red": np.zeros((9, 6), "f4")}, GRID)


def test_no_crs_is_refused() -> None:
    bare = xr.DataArray(
        np.zeros((3, 3), "f4"),
        dims=("y", "x"),
        coords={"y": [2.0, 1.0, 0.0], "x": [0.0, 1.0, 2.0]},
        attrs={"units": "1"},
    )
    with pytest.raises(GridError, match="no georeference"):
        check_scene(xr.Dataset({"red": bare}))


@pytest.mark.parametrize("chunks", [None, 4])
def test_what_was_written_is_read(folder: Path, scene: xr.Dataset, chunks: int | None) -> None:
    for path in (folder, folder / "scene.json"):
        found = open_scene(path, chunks=chunks)
        xr.testing.assert_equal(found.compute(), scene)
        assert geobox_of(found) == GRID
        assert found.attrs["id"] == "a"
        assert found.attrs["synthetic"] is True
        assert (found["red"].chunks is not None) == (chunks is not None)
        assert found["nir"].attrs["looks"] == 4
        assert "looks" not in found["red"].attrs


def test_the_grid_is_said_once(folder: Path) -> None:
    """Attributes that repeat the grid would be wrong as soon as the scene is cut."""
    assert not [k for k in open_scene(folder).attrs if k.startswith("proj:") or k == "gsd"]


def test_an_unknown_time_stays_unknown(folder: Path, tmp_path: Path) -> None:
    found = open_scene(folder)
    assert "datetime" not in found.attrs
    again = write_scene(found, tmp_path / "again")
    assert "unknown" in read_item(again)["properties"]["cryonet:datetime"]


@pytest.mark.parametrize("chunks", [None, 4])
def test_integers_decode_with_scale_offset_and_nodata(
    scene: xr.Dataset, tmp_path: Path, chunks: int | None
) -> None:
    stored = {"optical": Storage("uint16", 1e-4, -0.1, 0)}
    found = open_scene(write_scene(scene, tmp_path / "s", storage=stored), chunks=chunks)
    np.testing.assert_allclose(found["red"], scene["red"], atol=0.5001e-4)
    np.testing.assert_array_equal(found["red"].isnull(), scene["red"].isnull())
    assert found["red"].dtype == np.float32


def test_no_scene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="there is no scene"):
        open_scene(tmp_path)
    with pytest.raises(SceneError, match="there is no scene"):
        open_scene(tmp_path / "nowhere")


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "scene.json"
    item = json.loads(file.read_text())
    change(item)
    file.write_text(json.dumps(item))


def band(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return item["assets"]["optical"]["bands"][index]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda i: i.update(type="Collection"), "not a STAC Item"),
        (lambda i: i.pop("id"), "no id"),
        (lambda i: i.pop("assets"), "no assets"),
        (lambda i: i.pop("properties"), "no properties"),
        (lambda i: i["assets"].clear(), "no data"),
        (lambda i: [a.update(roles=["thumbnail"]) for a in i["assets"].values()], "no data"),
        (lambda i: i["assets"]["optical"].pop("bands"), "not described properly"),
        (lambda i: i["assets"]["optical"].update(bands=[]), "not described properly"),
        (lambda i: i["assets"]["optical"].pop("href"), "not described properly"),
        (lambda i: band(i).update({"raster:scale": 0}), "not described properly"),
        (lambda i: band(i).update({"raster:scale": "big"}), "not described properly"),
        (lambda i: band(i).update({"ofset": 1}), "not described properly"),
        (lambda i: band(i).update(name="green"), "differ in bands"),
        (lambda i: i["assets"]["optical"]["bands"].reverse(), "differ in bands"),
        (lambda i: i["assets"]["optical"].update(href="../other.tif"), "outside"),
        (lambda i: i["assets"]["optical"].update(href="/etc/hostname"), "outside"),
        (lambda i: i["assets"]["optical"].update(href="./gone.tif"), "does not exist"),
        (lambda i: i["assets"]["optical"].update(href="a\0b.tif"), "no file name"),
        (lambda i: i["assets"]["optical"].update(href="a" * 5000), "no file name"),
        (lambda i: [a.update(roles=5) for a in i["assets"].values()], "no data"),
        (lambda i: i.update(more=["x" * 1000] * 6000), "too long"),
        (lambda i: i["assets"].update(copy=i["assets"]["optical"]), "comes twice"),
    ],
)
def test_a_damaged_item_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], match: str
) -> None:
    edit(folder, change)
    with pytest.raises(SceneError, match=match) as caught:
        open_scene(folder)
    assert caught.value.rule


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"Feature"'])
def test_an_item_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "scene.json").write_text(text)
    with pytest.raises(SceneError, match=r"not JSON|not a STAC Item"):
        open_scene(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "optical.tif").rename(tmp_path / "elsewhere.tif")
    (folder / "optical.tif").symlink_to(tmp_path / "elsewhere.tif")
    with pytest.raises(SceneError, match="outside"):
        open_scene(folder)


def test_an_asset_on_another_grid_is_refused(folder: Path) -> None:
    moved = GeoBox((6, 9), Affine(10, 0, 478005, 0, -10, 3108140), "EPSG:32645")
    data = arrays()["elevation"][None]
    write_cog(folder / "elevation.tif", data, moved, [Band("elevation", "m")], nodata=np.nan)
    with pytest.raises(GridError, match="differ in position"):
        open_scene(folder)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((300, 300)).astype("float32")
    place = GeoBox((300, 300), GRID.affine, GRID.crs)
    folder = write_scene(scene_from_arrays({"red": noise}, place), tmp_path / "s")
    file = folder / "optical.tif"
    file.write_bytes(file.read_bytes()[:150_000])
    with pytest.raises(SceneError, match="damaged"):
        open_scene(folder)


def test_a_file_that_is_no_raster_is_refused(folder: Path) -> None:
    (folder / "optical.tif").write_text("<VRTDataset/>")
    with pytest.raises(CryonetError, match="known kind"):
        open_scene(folder)


def test_strange_labels_are_refused(folder: Path) -> None:
    data = np.full((1, 6, 9), 9, dtype="uint8")
    write_cog(folder / "labels.tif", data, GRID, [Band("labels", "class code")], nodata=255)
    with pytest.raises(SceneError, match="unknown codes"):
        open_scene(folder)


def test_thumbnails_and_other_keys_are_passed_over(folder: Path) -> None:
    edit(folder, lambda i: i["assets"].update(thumb={"href": "a.png", "roles": ["thumbnail"]}))
    edit(folder, lambda i: i["assets"]["optical"].update({"eo:snow": 3}))
    assert set(data_assets(read_item(folder))) == {"optical", "elevation", "labels"}
    assert "red" in open_scene(folder)
