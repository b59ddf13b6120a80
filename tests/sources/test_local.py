"""A scene from local files: one grid, every step on record, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
from affine import Affine
from shapely import box

from cryonet.errors import CryonetError, GridError, SceneError
from cryonet.grid import geobox_of
from cryonet.progress import Cancelled
from cryonet.scene import open_scene
from cryonet.sources.local import import_scene, parse_assignments

MakeRaster = Callable[..., Path]
MakeOutlines = Callable[..., Path]

SHAPE = (40, 50)


def numbers(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1100, 9000, SHAPE).astype("uint16")


def properties(path: Path) -> dict:
    return json.loads((path / "scene.json").read_text())["properties"]


@pytest.fixture
def red(tif: MakeRaster) -> Path:
    return tif("red.tif", numbers())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "scene"


def refused(out: Path, match: str, *args: object, **options: object) -> CryonetError:
    """The import is refused in three parts, and nothing is written."""
    with pytest.raises(CryonetError, match=match) as caught:
        import_scene(out, *args, **options)
    assert not list(out.parent.iterdir())
    assert caught.value.what
    assert caught.value.rule.endswith((".", "…"))
    return caught.value


# ---- what comes out


def test_reflectance_is_number_times_scale_plus_offset(tif: MakeRaster, out: Path) -> None:
    data = np.stack([numbers(1), numbers(2)])
    data[0, 3, 4] = 0
    path = tif("b.tif", data, nodata=0)
    made = import_scene(out, {"red": f"{path}:1", "nir": f"{path}:2"}, scale=1e-4, offset=-0.1)
    scene = open_scene(made)
    assert list(scene.data_vars) == ["red", "nir"]
    wanted = np.where(data == 0, np.nan, data * 1e-4 - 0.1)
    np.testing.assert_allclose(scene["red"], wanted[0], atol=1e-6)
    np.testing.assert_allclose(scene["nir"], wanted[1], atol=1e-6)
    assert scene["red"].attrs["units"] == "1"
    assert scene.attrs["synthetic"] is False


def test_the_same_scene_with_offset_in_the_file_or_stated(tif: MakeRaster, out: Path) -> None:
    plain = tif("plain.tif", numbers())
    said = tif("said.tif", numbers(), scale=1e-4, offset=-0.1)
    first = open_scene(import_scene(out, {"red": plain}, scale=1e-4, offset=-0.1))
    second = open_scene(import_scene(out.with_name("b"), {"red": said}))
    np.testing.assert_allclose(first["red"], second["red"], atol=1e-6)
    origins = [properties(p)["cryonet:sources"][0] for p in (out, out.with_name("b"))]
    assert [o["scale_from"] for o in origins] == ["stated", "file"]
    assert [o["offset"] for o in origins] == [-0.1, -0.1]


def test_what_is_stated_overrides_the_file(tif: MakeRaster, out: Path) -> None:
    path = tif("wrong.tif", numbers(), scale=1e-4, offset=0.0)
    scene = open_scene(import_scene(out, {"red": path}, offset=-0.1))
    np.testing.assert_allclose(scene["red"], numbers() * 1e-4 - 0.1, atol=1e-6)


def test_a_wrong_offset_is_noticed(tif: MakeRaster, out: Path) -> None:
    """Dark ground in two bands: 0.02 true, stored with 1000 added."""
    data = np.stack([numbers(1), numbers(2)])
    data[:, :10] = 1200
    path = tif("b.tif", data)
    bands = {"red": f"{path}:1", "nir": f"{path}:2"}
    for name, offset, remark in (("a", -0.1, None), ("b", 0.0, "left out"), ("c", -0.2, "twice")):
        folder = out.with_name(name)
        import_scene(folder, bands, scale=1e-4, offset=offset)
        remarks = " ".join(properties(folder)["cryonet:remarks"])
        assert remark in remarks if remark else not remarks


def test_float_reflectance_needs_no_scale(tif: MakeRaster, out: Path) -> None:
    data = np.random.default_rng(0).random(SHAPE).astype("float32")
    scene = open_scene(import_scene(out, {"red": tif("r.tif", data)}))
    np.testing.assert_array_equal(scene["red"], data)
    assert properties(out)["cryonet:sources"][0]["scale_from"].startswith("none")


def test_zeros_are_masked_only_when_declared(tif: MakeRaster, out: Path) -> None:
    data = numbers()
    data[0] = 0
    path = tif("r.tif", data)
    kept = open_scene(import_scene(out, {"red": path}, scale=1e-4, offset=0))
    masked = import_scene(out.with_name("b"), {"red": path}, scale=1e-4, offset=0, nodata=0)
    assert np.isfinite(kept["red"]).all()
    assert np.isnan(open_scene(masked)["red"][0]).all()
    assert properties(masked)["cryonet:sources"][0]["nodata_from"] == "stated"


def test_nodata_by_variable(tif: MakeRaster, out: Path, red: Path) -> None:
    heights = np.full(SHAPE, 5000, dtype="int16")
    heights[0, 0] = -32768
    dem = tif("dem.tif", heights)
    options = {"dem": dem, "scale": 1e-4, "offset": 0}
    refused(out, "no elevations", {"red": red}, **options)
    refused(out, "no elevations", {"red": red}, nodata=-32768, **options)
    path = import_scene(out, {"red": red}, nodata={"elevation": -32768}, **options)
    assert np.isnan(open_scene(path)["elevation"]).sum() == 1


def test_digital_numbers_are_kept_where_none_is_new(tif: MakeRaster, out: Path) -> None:
    data = numbers()
    data[5, 5] = 0
    import_scene(out, {"red": tif("r.tif", data, nodata=0)}, scale=1e-4, offset=-0.1)
    with rasterio.open(out / "optical.tif") as source:
        assert source.dtypes == ("uint16",)
        assert source.scales == (1e-4,)
        assert source.offsets == (-0.1,)
        stored = source.read(1)
    np.testing.assert_array_equal(stored, np.where(data == 0, 65535, data))


def test_everything_comes_to_one_grid(tif: MakeRaster, outlines: MakeOutlines, out: Path) -> None:
    """Imagery at 10 m, a DEM in degrees, coherence at 40 m and phase in the next zone."""
    degrees = Affine(0.0003, 0, 86.77, 0, -0.0003, 28.105)
    heights = (np.mgrid[:60, :60][0] + 5000).astype("float32")
    coherence = np.full((30, 30), 0.6, dtype="float32")
    sign = np.where(np.indices((80, 80)).sum(axis=0) % 2, 1, -1)
    phase = (sign * (np.pi - 0.1)).astype("float32")
    next_zone = Affine(40, 0, 1_066_600, 0, -40, 3_123_000)
    path = import_scene(
        out,
        {"red": tif("r.tif", numbers())},
        dem=tif("d.tif", heights, crs="EPSG:4326", transform=degrees),
        coherence=tif("c.tif", coherence, transform=Affine(40, 0, 477900, 0, -40, 3108300)),
        phase=tif("p.tif", phase, crs="EPSG:32644", transform=next_zone),
        labels={"lake": outlines("l.gpkg", [box(86.778, 28.095, 86.78, 28.097)], crs="EPSG:4326")},
        scale=1e-4,
        offset=0,
        acquired="2020-08-31T05:00:00Z",
    )
    scene = open_scene(path)
    assert list(scene.data_vars) == ["red", "elevation", "coherence", "phase", "labels"]
    assert scene.attrs["datetime"].startswith("2020-08-31T05:00:00")
    for name in ("red", "elevation", "coherence", "phase"):
        assert np.isfinite(scene[name]).all(), name
    # Either side of the wrap, never the zero between.
    assert float(np.abs(scene["phase"]).min()) >= np.pi - 0.1001
    np.testing.assert_allclose(scene["coherence"], 0.6, atol=1e-6)
    assert (scene["labels"] == 3).any()
    warps = {w["variable"]: w for w in properties(path)["cryonet:warps"]}
    assert [w["resampling"] for w in warps.values()] == ["none", "bilinear", "bilinear", "bilinear"]
    assert warps["elevation"]["from_crs"] == "EPSG:4326"
    assert warps["phase"]["from_crs"] == "EPSG:32644"
    assert all(w["to_crs"] == "EPSG:32645" for w in warps.values())
    assert scene["coherence"].attrs["native_resolution"] == pytest.approx(40)
    assert scene["phase"].attrs["native_resolution"] == pytest.approx(40, rel=0.01)


def test_the_grid_may_follow_another_raster(tif: MakeRaster, out: Path, red: Path) -> None:
    coarse = tif(
        "d.tif", np.full((14, 17), 5000, "f4"), transform=Affine(30, 0, 478000, 0, -30, 3108140)
    )
    options = {"dem": coarse, "scale": 1e-4, "offset": 0}
    for number, like in enumerate(["dem", "elevation", coarse, str(coarse)]):
        path = import_scene(out.with_name(str(number)), {"red": red}, like=like, **options)
        scene = open_scene(path)
        assert geobox_of(scene).resolution.x == 30
        assert properties(path)["cryonet:warps"][0]["resampling"] == "average"


def test_the_resolution_may_be_set(out: Path, red: Path) -> None:
    scene = open_scene(import_scene(out, {"red": red}, scale=1e-4, offset=0, resolution=20))
    assert geobox_of(scene).resolution.x == 20
    blocks = numbers().reshape(20, 2, 25, 2).mean(axis=(1, 3)) * 1e-4
    np.testing.assert_allclose(scene["red"], blocks, atol=1e-6)


def test_a_south_up_image_comes_out_north_up(tif: MakeRaster, out: Path) -> None:
    place = Affine(10, 0, 478000, 0, 10, 3107740)
    path = tif("r.tif", numbers()[::-1], transform=place)
    scene = open_scene(import_scene(out, {"red": path}, scale=1e-4, offset=0))
    np.testing.assert_allclose(scene["red"], numbers() * 1e-4, atol=1e-6)
    assert properties(out)["cryonet:warps"][0]["resampling"] == "nearest"


def test_degrees_become_metres(tif: MakeRaster, out: Path) -> None:
    place = Affine(0.0003, 0, 86.77, 0, -0.0003, 28.105)
    data = np.full((60, 60), 0.3, dtype="float32")
    path = tif("r.tif", data, crs="EPSG:4326", transform=place)
    grid = geobox_of(open_scene(import_scene(out, {"red": path})))
    assert grid.crs.epsg == 32645
    assert properties(out)["cryonet:warps"][0]["resampling"] == "bilinear"


def test_unwrapped_phase_is_wrapped_and_said_so(tif: MakeRaster, out: Path) -> None:
    unwrapped = np.linspace(-40, 40, 2000, dtype="float32").reshape(SHAPE)
    path = import_scene(out, {}, phase=tif("unw.tif", unwrapped))
    phase = open_scene(path)["phase"]
    assert phase.attrs["note"] == "wrapped from unwrapped"
    np.testing.assert_allclose(np.exp(1j * phase), np.exp(1j * unwrapped), atol=1e-5)
    assert "wrapped" in properties(path)["cryonet:remarks"][0]


def test_sources_are_known_by_hash_not_by_folder(out: Path, red: Path) -> None:
    import_scene(out, {"red": red}, scale=1e-4, offset=0)
    source = properties(out)["cryonet:sources"][0]
    assert source["file"] == "red.tif"
    assert source["size"] == red.stat().st_size
    assert len(source["sha256"]) == 64
    assert str(red.parent) not in (out / "scene.json").read_text()


def test_a_rule_labels_the_scene(tif: MakeRaster, outlines: MakeOutlines, out: Path) -> None:
    data = numbers()
    glacier = outlines("g.gpkg", [box(478100, 3107840, 478400, 3108040)], to="EPSG:4326")
    scene = open_scene(
        import_scene(
            out, {"red": tif("r.tif", data)}, labels={"glacier": glacier},
            clean_ice_rule="red>=0.5", scale=1e-4, offset=0,
        )
    )  # fmt: skip
    inside = np.zeros(SHAPE, bool)
    inside[10:30, 10:40] = True
    wanted = np.where(inside, np.where(data >= 5000, 1, 2), 0)
    np.testing.assert_array_equal(scene["labels"], wanted)
    assert properties(out)["cryonet:labels"]["rule"] == "red>=0.5"


def test_overwriting_replaces_a_scene_and_nothing_else(out: Path, red: Path) -> None:
    options = {"scale": 1e-4, "offset": 0}
    import_scene(out, {"red": red}, **options)
    import_scene(out, {"nir": red}, overwrite=True, **options)
    assert list(open_scene(out).data_vars) == ["nir"]
    other = out.with_name("photos")
    other.mkdir()
    (other / "a.jpg").touch()
    with pytest.raises(SceneError, match="something else"):
        import_scene(other, {"red": red}, overwrite=True, **options)
    assert (other / "a.jpg").exists()


# ---- what is refused


def test_an_existing_output_is_refused(out: Path, red: Path) -> None:
    import_scene(out, {"red": red}, scale=1e-4, offset=0)
    before = (out / "scene.json").read_bytes()
    with pytest.raises(SceneError, match="exists already"):
        import_scene(out, {"red": red}, scale=1e-4, offset=0)
    assert (out / "scene.json").read_bytes() == before
    # Said before any file is looked at.
    with pytest.raises(SceneError, match="exists already"):
        import_scene(out, {"red": red.with_name("no.tif")})


def test_a_missing_scale_is_refused(out: Path, red: Path) -> None:
    error = refused(out, "has no scale", {"red": red})
    assert "red.tif:1" in str(error.value)
    assert "-0.1" in error.rule


def test_half_a_scale_is_refused(out: Path, red: Path) -> None:
    refused(out, "half a scale", {"red": red}, scale=1e-4)
    refused(out, "half a scale", {"red": red}, offset=-0.1)


@pytest.mark.parametrize("scale", [0, -1, float("nan")])
def test_an_impossible_scale_is_refused(out: Path, red: Path, scale: float) -> None:
    refused(out, "cannot be used", {"red": red}, scale=scale, offset=0)


def test_digital_numbers_taken_for_reflectance_are_refused(out: Path, red: Path) -> None:
    refused(out, "not reflectance", {"red": red}, scale=1, offset=0)


def test_a_missing_file_is_refused(out: Path, red: Path, tmp_path: Path) -> None:
    stated = {"scale": 1e-4, "offset": 0}
    refused(out, "does not exist", {"red": tmp_path / "no.tif"})
    refused(out, "does not exist", {"red": red}, dem=tmp_path / "no.tif", **stated)
    lake = {"lake": tmp_path / "no.gpkg"}
    refused(out, "does not exist", {"red": red}, labels=lake, **stated)
    refused(out, "does not exist", {"red": red}, like=tmp_path / "no.tif", **stated)


def test_a_band_out_of_range_is_refused(out: Path, red: Path) -> None:
    refused(out, "no such band", {"red": f"{red}:2"})


def test_an_unknown_band_is_refused(out: Path, red: Path) -> None:
    error = refused(out, "unknown", {"purple": red})
    assert "swir16" in error.rule


def test_a_band_twice_is_refused(out: Path, red: Path) -> None:
    stated = {"scale": 1e-4, "offset": 0}
    error = refused(out, "given twice", {"red": red, "green": f"{red}:1"}, **stated)
    assert "red and green" in str(error.value)
    refused(out, "given twice", {"red": red}, dem=red, **stated)


def test_nothing_to_import_is_refused(out: Path) -> None:
    refused(out, "nothing to import", {})


def test_no_crs_is_refused(out: Path, tif: MakeRaster) -> None:
    refused(out, "no CRS", {"red": tif("r.tif", numbers(), crs=None)})


def test_no_overlap_is_refused(out: Path, tif: MakeRaster, red: Path) -> None:
    far = tif("d.tif", np.full(SHAPE, 5000, "f4"), transform=Affine(10, 0, 378000, 0, -10, 3e6))
    refused(out, "does not overlap", {"red": red}, dem=far, scale=1e-4, offset=0)


def test_labels_elsewhere_are_refused(out: Path, outlines: MakeOutlines, red: Path) -> None:
    lake = outlines("l.gpkg", [box(10, 46, 11, 47)], crs="EPSG:4326")
    refused(out, "do not overlap", {"red": red}, labels={"lake": lake}, scale=1e-4, offset=0)


@pytest.mark.parametrize("content", [b"a text", b"<VRTDataset/>", b"", b"II*\x00 cut"])
def test_what_is_no_raster_is_refused(out: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.tif"
    path.write_bytes(content)
    refused(out, "known kind|damaged", {"red": path})


def test_a_raster_cut_short_is_refused(out: Path, tif: MakeRaster) -> None:
    noise = np.random.default_rng(0).integers(0, 9000, (300, 300)).astype("uint16")
    path = tif("r.tif", noise)
    path.write_bytes(path.read_bytes()[:100_000])
    refused(out, "damaged", {"red": path}, scale=1e-4, offset=0)


def test_no_coherence_is_refused(out: Path, tif: MakeRaster, red: Path) -> None:
    path = tif("c.tif", np.full(SHAPE, 1.5, "f4"))
    refused(out, "not coherence", {"red": red}, coherence=path, scale=1e-4, offset=0)


def test_a_dem_in_feet_is_refused(out: Path, tif: MakeRaster, red: Path) -> None:
    path = tif("d.tif", np.full(SHAPE, 8000, "f4"), unit="ft")
    refused(out, "not in metres", {"red": red}, dem=path, scale=1e-4, offset=0)


def test_rules_that_cannot_hold_are_refused(out: Path, red: Path, outlines: MakeOutlines) -> None:
    glacier = {"glacier": outlines("g.gpkg", [box(478100, 3107840, 478400, 3108040)])}
    stated = {"scale": 1e-4, "offset": 0}
    refused(out, "one way", {"red": red}, labels=glacier, **stated)
    refused(out, "another form", {"red": red}, labels=glacier, clean_ice_rule="red", **stated)
    refused(out, "needs a band", {"red": red}, labels=glacier, clean_ice_rule="nir>=0.3", **stated)
    refused(out, "no outlines", {"red": red}, clean_ice_rule="red>=0.5", **stated)


def test_a_time_that_is_none_is_refused(out: Path, red: Path) -> None:
    refused(out, "not ISO 8601", {"red": red}, acquired="last summer", scale=1e-4, offset=0)


def test_a_nodata_for_nothing_is_refused(out: Path, red: Path) -> None:
    refused(out, "no raster", {"red": red}, nodata={"nir": 0}, scale=1e-4, offset=0)


def test_feet_on_the_map_are_refused(out: Path, tif: MakeRaster) -> None:
    place = Affine(30, 0, 6_500_000, 0, -30, 2_000_000)
    path = tif("r.tif", numbers(), crs="EPSG:2225", transform=place)
    with pytest.raises(GridError, match="not in metres"):
        import_scene(out, {"red": path}, scale=1e-4, offset=0)
    assert not list(out.parent.iterdir())


# ---- progress, command-line texts


@pytest.mark.parametrize("when", [0, 1, 2])
def test_cancelling_leaves_nothing(out: Path, red: Path, tif: MakeRaster, when: int) -> None:
    class Impatient:
        def step(self, done: int, total: int, message: str = "") -> None:
            if done == when:
                raise Cancelled

    bands = {"red": red, "nir": tif("n.tif", numbers(1))}
    with pytest.raises(Cancelled):
        import_scene(out, bands, scale=1e-4, offset=0, progress=Impatient())
    assert not list(out.parent.iterdir())


def test_progress_ends_at_its_total(out: Path, red: Path) -> None:
    steps = []

    class Listener:
        def step(self, done: int, total: int, message: str = "") -> None:
            steps.append((done, total))

    import_scene(out, {"red": red}, scale=1e-4, offset=0, progress=Listener())
    assert steps == [(0, 2), (1, 2), (2, 2)]


def test_assignments() -> None:
    texts = ["red=RGB.tif:1", "nir=B4 (a=b).tif"]
    assert parse_assignments(texts) == {"red": "RGB.tif:1", "nir": "B4 (a=b).tif"}
    assert parse_assignments([]) == {}
    for text in ("red", "red=", "=a.tif", ""):
        with pytest.raises(SceneError, match="another form"):
            parse_assignments([text])
    with pytest.raises(SceneError, match="given twice"):
        parse_assignments(["red=a.tif", "red=b.tif"])


# ---- real files


def test_the_everest_scene(shared: Path, out: Path) -> None:
    """Labels equal an independent rasterisation of all outlines and red >= 140."""
    folder = shared / "everest_landsat7"
    rgb = folder / "LE71400412000304SGS00_RGB.tif"
    glaciers = folder / "15_rgi60_glacier_outlines.gpkg"
    import_scene(
        out,
        {
            "red": f"{rgb}:1",
            "green": f"{rgb}:2",
            "blue": f"{rgb}:3",
            "nir": folder / "LE71400412000304SGS00_B4.tif",
        },
        labels={"glacier": glaciers},
        clean_ice_rule="red>=0.5490",
        scale=1 / 255,
        offset=0,
        acquired="2000-10-30T04:30:00Z",
    )
    scene = open_scene(out)
    with rasterio.open(rgb) as source:
        numbers = source.read(1)
        shapes = gpd.read_file(glaciers).to_crs(source.crs).geometry
        inside = rasterio.features.geometry_mask(
            shapes, source.shape, source.transform, invert=True
        )
        assert geobox_of(scene).affine == source.transform
    wanted = np.where(inside, np.where(numbers >= 140, 1, 2), 0)
    np.testing.assert_array_equal(scene["labels"], wanted)
    np.testing.assert_allclose(scene["red"], numbers / 255, atol=1e-6)
    assert {w["resampling"] for w in properties(out)["cryonet:warps"]} == {"none"}
    digests = [s["sha256"] for s in properties(out)["cryonet:sources"]]
    assert digests[0] == "7d0505a8610fd7784cb71c03e5b242715cd1574e978c2c86553d60fd82372c30"


def test_interferometric_products(shared: Path, out: Path) -> None:
    """GAMMA products in degrees: coherence, unwrapped phase and DEM, 0 missing."""
    folder = shared / "insar_crop"
    unwrapped = folder / "cropA_20180106-20180130_VV_8rlks_eqa_unw.tif"
    import_scene(
        out,
        {},
        dem=folder / "cropA_T005A_dem.tif",
        coherence=folder / "cropA_20180106-20180130_VV_8rlks_flat_eqa_cc.tif",
        phase=unwrapped,
    )
    scene = open_scene(out)
    assert geobox_of(scene).crs.epsg == 32614
    assert 0 < float(scene["coherence"].min()) <= float(scene["coherence"].max()) <= 1
    assert 2000 < float(scene["elevation"].min()) < 2400
    assert float(np.abs(scene["phase"]).max()) <= 3.1416
    assert scene["phase"].attrs["note"] == "wrapped from unwrapped"
    # 0.00139 degrees at 19.4° north are 145.7 m by 153.7 m.
    native = scene["coherence"].attrs["native_resolution"]
    assert native == pytest.approx(np.sqrt(145.7 * 153.7), rel=5e-3)
    with rasterio.open(unwrapped) as source:
        share = (source.read(1) != 0).mean()
    assert float(scene["phase"].notnull().mean()) == pytest.approx(share, abs=0.08)
