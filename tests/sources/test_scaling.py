"""Scale and offset in every form they come in; the same scene whatever the form."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryonet.errors import SceneError
from cryonet.scene import BANDS, open_scene, read_item
from cryonet.sources.local import import_scene
from cryonet.sources.scaling import SENTINEL2, item_scaling, product_scaling, read_scaling

MakeRaster = Callable[..., Path]

#: A scene of three bands with shadow, rock and snow, as reflectance.
REFLECTANCE = {
    band: np.random.default_rng(seed).uniform(0.01, 0.9, (20, 30)).round(4)
    for seed, band in enumerate(("green", "red", "nir"))
}


def raster_bands(scale: float | None = 1e-4, offset: float | None = -0.1) -> dict[str, Any]:
    stated = {"scale": scale, "offset": offset}
    return {"raster:bands": [{k: v for k, v in stated.items() if v is not None}]}


def item(*, named: str = "red", properties: dict[str, Any] | None = None, **more: Any) -> Any:
    """A STAC item whose assets go by common names, or by Sentinel-2's."""
    keys = [name if named == "red" else SENTINEL2[name][0] for name in REFLECTANCE]
    assets = {key: {"href": f"{key}.tif", **copy.deepcopy(more)} for key in keys}
    when = {"datetime": "2019-07-01T00:00:00Z", **(properties or {})}
    return {"type": "Feature", "id": "made-up", "properties": when, "assets": assets}


def product(baseline: str, offset: int | None, *, bands: int = 13) -> str:
    """The lines of an MTD_MSIL2A.xml that count here."""
    rows = "".join(
        f'<BOA_ADD_OFFSET band_id="{number}">{offset}</BOA_ADD_OFFSET>' for number in range(bands)
    )
    listed = (
        "" if offset is None else f"<BOA_ADD_OFFSET_VALUES_LIST>{rows}</BOA_ADD_OFFSET_VALUES_LIST>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><n1:P xmlns:n1="https://example.org/psd">'
        f"<n1:General_Info><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>"
        '<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
        f"{listed}</n1:General_Info></n1:P>"
    )


#: Metadata of numbers without an offset, and of numbers with one, in each form.
HARMONISED = {
    "raster bands": item(**raster_bands(offset=0)),
    "bands of STAC 1.1": item(bands=[{"raster:scale": 1e-4, "raster:offset": 0}]),
    "asset of STAC 1.1": item(**{"raster:scale": 1e-4, "raster:offset": 0}),
    "earth search": item(**raster_bands(), properties={"earthsearch:boa_offset_applied": True}),
    "planetary computer": item(named="B04", properties={"s2:processing_baseline": "02.12"}),
    "sentinel cogs": item(
        named="B04", properties={"sentinel:product_id": "S2A_MSIL2A_20200714T115221_N0214_R123"}
    ),
    "old safe": product("02.12", None),
    "safe with zeros": product("05.10", 0),
}
RAW = {
    "raster bands": item(**raster_bands()),
    "bands of STAC 1.1": item(bands=[{"raster:scale": 1e-4, "raster:offset": -0.1}]),
    "earth search": item(**raster_bands(), properties={"earthsearch:boa_offset_applied": False}),
    "planetary computer": item(named="B04", properties={"s2:processing_baseline": "05.09"}),
    "baseline with scale": item(
        **raster_bands(offset=None), properties={"s2:processing_baseline": "04.00"}
    ),
    "safe": product("05.10", -1000),
}
FORMS = [(False, name) for name in HARMONISED] + [(True, name) for name in RAW]


def written(folder: Path, metadata: Any) -> Path:
    """Write an item, or a SAFE folder, and return where."""
    if isinstance(metadata, str):
        path = folder / "S2A.SAFE"
        path.mkdir(exist_ok=True)
        (path / "MTD_MSIL2A.xml").write_text(metadata)
        return path
    path = folder / "item.json"
    path.write_text(json.dumps(metadata))
    return path


@pytest.fixture
def files(tif: MakeRaster) -> Callable[[bool], dict[str, Path]]:
    """The scene's numbers, with the offset of baseline 04.00 or without."""

    def make(raw: bool) -> dict[str, Path]:
        shift = 0.1 if raw else 0.0
        return {
            band: tif(f"{band}-{raw}.tif", np.rint((values + shift) * 1e4).astype(np.uint16))
            for band, values in REFLECTANCE.items()
        }

    return make


@pytest.mark.parametrize(("raw", "form"), FORMS)
def test_the_right_metadata_gives_the_same_reflectance_in_every_form(
    files: Any, tmp_path: Path, raw: bool, form: str
) -> None:
    metadata = written(tmp_path, (RAW if raw else HARMONISED)[form])
    scene = import_scene(tmp_path / "scene", files(raw), metadata=metadata)
    with open_scene(scene) as opened:
        for band, values in REFLECTANCE.items():
            np.testing.assert_allclose(opened[band].values, values, atol=1e-6)
    assert read_item(scene)["properties"]["cryonet:remarks"] == []


@pytest.mark.parametrize(("raw", "form"), FORMS)
def test_the_wrong_metadata_is_noticed_in_the_dark_pixels(
    files: Any, tmp_path: Path, raw: bool, form: str
) -> None:
    metadata = written(tmp_path, (RAW if raw else HARMONISED)[form])
    scene = import_scene(tmp_path / "scene", files(not raw), metadata=metadata)
    remarks = read_item(scene)["properties"]["cryonet:remarks"]
    expected = "was an offset applied twice" if raw else "was an offset of -0.1 left out"
    assert any(expected in text for text in remarks)


def test_missing_metadata_is_refused_until_the_user_states_it(files: Any, tmp_path: Path) -> None:
    silent = written(tmp_path, item(named="B04", **raster_bands(offset=None)))
    with pytest.raises(SceneError, match="does not say how reflectance is stored"):
        import_scene(tmp_path / "scene", files(True), metadata=silent)
    with pytest.raises(SceneError, match="green has no scale"):
        import_scene(tmp_path / "scene", files(True))
    scene = import_scene(tmp_path / "scene", files(True), scale=1e-4, offset=-0.1)
    with open_scene(scene) as opened:
        np.testing.assert_allclose(opened["red"].values, REFLECTANCE["red"], atol=1e-6)


def test_what_the_user_states_comes_first(files: Any, tmp_path: Path) -> None:
    wrong = written(tmp_path, HARMONISED["raster bands"])
    scene = import_scene(tmp_path / "scene", files(True), metadata=wrong, offset=-0.1)
    with open_scene(scene) as opened:
        np.testing.assert_allclose(opened["nir"].values, REFLECTANCE["nir"], atol=1e-6)
    sources = read_item(scene)["properties"]["cryonet:sources"]
    assert {row["scale_from"] for row in sources} == {"stated"}


def test_files_that_say_otherwise_than_the_metadata_are_named(
    tif: MakeRaster, tmp_path: Path
) -> None:
    numbers = np.rint((REFLECTANCE["red"] + 0.1) * 1e4).astype(np.uint16)
    red = tif("red.tif", numbers, scale=1e-4, offset=0.0)
    metadata = written(tmp_path, RAW["raster bands"])
    scene = import_scene(tmp_path / "scene", {"red": red}, metadata=metadata)
    remarks = read_item(scene)["properties"]["cryonet:remarks"]
    assert any("the file states 0.0001 and 0.0" in text for text in remarks)


def test_float_reflectance_is_taken_as_it_is(tif: MakeRaster, tmp_path: Path) -> None:
    red = tif("red.tif", REFLECTANCE["red"].astype(np.float32))
    metadata = written(tmp_path, RAW["raster bands"])
    scene = import_scene(tmp_path / "scene", {"red": red}, metadata=metadata)
    with open_scene(scene) as opened:
        np.testing.assert_allclose(opened["red"].values, REFLECTANCE["red"], atol=1e-6)


def test_only_true_says_that_the_offset_was_taken_off() -> None:
    for value in (False, "false", "true", 1, None):
        made = item(**raster_bands(), properties={"earthsearch:boa_offset_applied": value})
        assert item_scaling(made)["red"].offset == -0.1


def test_the_date_says_nothing() -> None:
    for made in (*HARMONISED.values(), *RAW.values()):
        if isinstance(made, dict):
            other = copy.deepcopy(made)
            other["properties"]["datetime"] = "2025-07-01T00:00:00Z"
            assert item_scaling(made) == item_scaling(other)


@pytest.mark.parametrize(
    ("name", "offset", "origin"),
    [
        ("sentinel2_c1_l2a_item.json", -0.1, "the item's raster bands"),
        ("sentinel2_l2a_baseline0212_item.json", 0.0, "the item's raster bands"),
        ("sentinel2_l2a_baseline0509_item.json", -0.1, "the item's raster bands"),
        ("planetary_computer_s2_l2a_item.json", 0.0, "s2:processing_baseline: 02.12"),
        ("sentinel_cogs_item.json", 0.0, "sentinel:product_id: 02.14"),
    ],
)
def test_real_items_of_public_catalogues(
    shared: Path, name: str, offset: float, origin: str
) -> None:
    found = read_scaling(shared / "stac" / name)
    assert set(found) == set(BANDS)
    for scaling in found.values():
        assert (scaling.scale, scaling.offset, scaling.origin) == (1e-4, offset, origin)


def test_every_band_has_its_own_offset_in_a_product() -> None:
    rows = "".join(
        f'<BOA_ADD_OFFSET band_id="{number}">{-1000 - number}</BOA_ADD_OFFSET>'
        for number in range(13)
    )
    text = product("05.10", None).replace("</n1:General_Info>", f"{rows}</n1:General_Info>")
    found = product_scaling(text.encode())
    # Numbers follow the order of wavelengths, with B8A between B8 and B9.
    assert found["blue"].offset == pytest.approx(-0.1001)
    assert found["nir"].offset == pytest.approx(-0.1007)
    assert found["nir08"].offset == pytest.approx(-0.1008)
    assert found["swir22"].offset == pytest.approx(-0.1012)
    assert set(found) == set(BANDS)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (product("05.10", None), "there is no BOA_ADD_OFFSET"),
        (product("", None), "there is no BOA_ADD_OFFSET"),
        (product("05.10", -1000, bands=5), "a band has no BOA_ADD_OFFSET: .*rededge2"),
        (product("05.10", -1000).replace(">-1000<", ">much<"), "is no number"),
        (product("05.10", -1000).replace(">10000<", ">0<"), "no BOA_QUANTIFICATION_VALUE"),
        ("<x/>", "no BOA_QUANTIFICATION_VALUE"),
        ("<x", "is not XML"),
        (BOMB, "is not XML"),
    ],
)
def test_broken_products_are_refused(text: str, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        product_scaling(text.encode())


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"type": "Feature", "id": "dem", "properties": {}, "assets": {}}, "no Sentinel-2 band"),
        ({"type": "Feature", "id": "x", "properties": [], "assets": 3}, "no Sentinel-2 band"),
        (item(**raster_bands(scale=-1.0)), "scale cannot be used"),
        (item(**{"raster:bands": [{"scale": True, "offset": 0}]}), "scale cannot be used"),
        (item(**{"raster:bands": [{"scale": 1e-4, "offset": "no"}]}), "offset cannot be used"),
        (item(**{"raster:bands": "none"}), "does not say"),
    ],
)
def test_broken_items_are_refused(made: Any, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        item_scaling(made)


def test_files_that_are_no_metadata_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    with pytest.raises(SceneError, match="does not exist"):
        read_scaling(path)
    with pytest.raises(SceneError, match="does not exist"):
        read_scaling(tmp_path)
    for text, message in (
        ("{", "not JSON"), ("[" * 100_000, "not JSON"), ('{"type": "Catalog"}', "not a STAC item"),
        (" " * 2**21, "too long"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(SceneError, match=message):
            read_scaling(path)
