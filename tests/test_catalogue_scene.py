"""From an area and days to a scene: a STAC API on loopback, its faults, and the way back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogue_server import (
    BLOB,
    BOX,
    TILE,
    Catalogue,
    Image,
    catalogue,
    centres,
    cloudy,
    ground,
    truth,
)
from loopback import Answer, Request
from numpy.typing import NDArray
from planetary_computer import sas
from planetary_computer.settings import Settings
from pyproj import Transformer

from conftest import SHARED
from cryonet import catalogue_scene
from cryonet.catalogue_journal import Journal
from cryonet.catalogue_plan import OPTICAL, Order, order_scene
from cryonet.catalogue_scene import fetch_scene, plan_scene
from cryonet.errors import SceneError
from cryonet.grid import geobox_of
from cryonet.progress import SILENT, Progress
from cryonet.scene import open_scene, read_item
from cryonet.sources.patience import Patience
from cryonet.sources.scaling import SENTINEL2

pytestmark = [pytest.mark.network, pytest.mark.allow_hosts(["127.0.0.1"])]

#: Quick to try again, and to give up.
PATIENCE = Patience(attempts=4, pause=0.01, longest=0.05, timeout=1)

#: A third of the tile, from its top.
TOP, MIDDLE, BOTTOM = slice(0, 1 / 3), slice(1 / 3, 2 / 3), slice(2 / 3, 1)


def order_of(served: Catalogue, **changes: Any) -> Order:
    wanted: dict[str, Any] = {"box": BOX, "days": "2023-10-01/2023-11-30", "months": "10,11"}
    return order_scene(**{**wanted, "catalogue": served.root, **changes})


def fetched(
    out: Path, served: Catalogue, *, progress: Progress = SILENT, **changes: Any
) -> dict[str, Any]:
    """Make a scene and return its properties."""
    plan = plan_scene(out, order_of(served, **changes), patience=PATIENCE, progress=progress)
    fetch_scene(out, plan, patience=PATIENCE, progress=progress)
    assert [file.name for file in out.parent.iterdir() if "fetch" in file.name] == []
    return dict(read_item(out)["properties"])


def values_of(path: Path) -> dict[str, NDArray[np.float32]]:
    with open_scene(path) as scene:
        return {str(name): scene[name].values for name in scene.data_vars}


def check_truth(path: Path, day: float | NDArray[np.float32] = 0, atol: float = 1.6e-4) -> None:
    """Compare a scene with the planes its images were made of; stored numbers step by 1e-4."""
    with open_scene(path) as scene:
        grid = geobox_of(scene)
        for name in OPTICAL:
            expected = truth(name, grid, 0) + np.float32(0.005) * day
            found = scene[name].values
            np.testing.assert_allclose(found, expected, atol=atol, err_msg=name)


def rows_of(path: Path) -> NDArray[np.float64]:
    """Return where the rows of a scene lie in the tile: 0 at its top, 1 at its bottom."""
    with open_scene(path) as scene:
        _, y = centres(geobox_of(scene))
    top, bottom = TILE.boundingbox.top, TILE.boundingbox.bottom
    return (top - y) / (top - bottom)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_scene, "WINDOW", 96)


class TestScene:
    @pytest.mark.parametrize("form", ["bands", "applied", "cogs"])
    def test_every_form_of_item_gives_the_same_reflectance(self, form: str, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(form=form)) as served:
            fetched(tmp_path / "scene", served)
        check_truth(tmp_path / "scene")

    @pytest.mark.parametrize("name", ["sentinel2_c1_l2a", "planetary_computer_s2_l2a"])
    @pytest.mark.skipif(not SHARED.is_dir(), reason="the real items are not here")
    def test_real_items_are_understood(self, name: str, tmp_path: Path) -> None:
        real = json.loads((SHARED / "stac" / f"{name}_item.json").read_text())
        with catalogue(tmp_path / "web") as served:
            offset = -0.1 if "c1" in name else 0.0
            ours = served.add(Image(offset=offset))
            for key, asset in real["assets"].items():
                band = next((b for b, (n, _) in SENTINEL2.items() if key in (b, n)), key.lower())
                if band in ours["assets"]:
                    place = {k: v for k, v in ours["assets"][band].items() if k.startswith("proj")}
                    asset |= {"href": ours["assets"][band]["href"], **place}
            for key in ("proj:epsg", "proj:code"):
                real["properties"].pop(key, None)
            real["properties"] |= {"datetime": ours["properties"]["datetime"], "proj:epsg": 32645}
            real |= {key: ours[key] for key in ("geometry", "bbox", "collection")}
            served.items[0] = real
            rows = fetched(tmp_path / "scene", served)["cryonet:sources"]
        check_truth(tmp_path / "scene")
        assert rows[0]["item"] == real["id"] and rows[0]["offset"] == offset

    def test_elevation_has_no_seam_where_tiles_meet(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image()) as served:
            fetched(tmp_path / "scene", served)
        with open_scene(tmp_path / "scene") as scene:
            x, y = centres(geobox_of(scene))
            to_degrees = Transformer.from_crs("EPSG:32645", "EPSG:4326", always_xy=True)
            lon, lat = to_degrees.transform(*np.broadcast_arrays(x, y))
            assert lon.min() < 87 < lon.max() and lat.min() < 28 < lat.max()
            # 16 m a pixel of the DEM: warped alone, tiles end up to half of that off.
            np.testing.assert_allclose(scene["elevation"].values, ground(lon, lat), atol=0.05)

    def test_the_record_tells_where_all_is_from(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(day=2)) as served:
            found = fetched(tmp_path / "scene", served)
            item = served.items[0]
        assert found["datetime"].startswith("2023-10-07T04:47:11")
        assert found["view:sun_elevation"] == 52 and found["synthetic"] is False
        assert "Copernicus Sentinel data (2023)" in found["cryonet:terms"]
        assert "WorldDEM-30" in found["cryonet:terms"]
        image, *dem = found["cryonet:sources"]
        assert image["item"] == item["id"] and image["href"] == item["links"][0]["href"]
        assert (image["scale"], image["offset"]) == (1e-4, -0.1)
        assert image["share_of_pass"] == 1 and len(dem) == 4
        warped = found["cryonet:warps"]
        warps = {row["file"].rpartition("/")[2]: row["resampling"] for row in warped}
        assert warps["red"] == warps["scl"] == "nearest" and warps["swir16"] == "bilinear"
        assert found["cryonet:remarks"] == []

    def test_another_zone_comes_to_the_areas_own(self, tmp_path: Path) -> None:
        # T7: imagery of zone 44, a DEM in degrees, a scene in zone 45.
        tile = TILE.to_crs("EPSG:32644", resolution=60)
        with catalogue(tmp_path / "web", Image(tile=tile.zoom_to(resolution=10))) as served:
            found = fetched(tmp_path / "scene", served)
        made = values_of(tmp_path / "scene")
        assert found["proj:code"] == "EPSG:32645"
        assert {row["from_crs"] for row in found["cryonet:warps"]} == {"EPSG:32644", "EPSG:4326"}
        assert all(np.isfinite(made[name]).all() for name in OPTICAL)


class TestComposite:
    def test_each_pixel_is_of_the_best_pass_that_shows_it(
        self, tmp_path: Path, small_windows: None
    ) -> None:
        images = Image(day=0, codes=cloudy(MIDDLE)), Image(day=20, codes=cloudy(slice(0, 0.6)))
        with catalogue(tmp_path / "web", *images) as served:
            found = fetched(tmp_path / "scene", served, max_cloud=0.9)
        rows = rows_of(tmp_path / "scene")
        made = values_of(tmp_path / "scene")
        # Of the area, between .31 and .68, the second pass shows more.
        hidden = (rows > 1 / 3) & (rows < 0.6)
        both = rows > 2 / 3
        assert hidden.any() and both.any()
        with open_scene(tmp_path / "scene") as scene:
            grid = geobox_of(scene)
        margin = 0.006  # a pixel of 20 m
        for name in OPTICAL:
            first, later = truth(name, grid, 0), truth(name, grid, 20)
            expected = np.where(rows > 0.6, later, first)
            off = np.abs(made[name] - expected) > 1.6e-4
            seams = np.min([np.abs(rows - edge) for edge in (1 / 3, 0.6, 2 / 3)], axis=0) < margin
            assert not (off & ~hidden & ~seams).any(), name
            assert np.isnan(made[name][np.broadcast_to(hidden & ~seams, off.shape)]).all()
        shares = [row["share_of_pass"] for row in found["cryonet:sources"][:2]]
        bare = np.isnan(made["red"]).mean()
        assert sum(shares) == pytest.approx(1 - bare) and shares[0] > shares[1] > 0
        text = f"{bare:.2%} of the pixels are seen clearly by none"
        assert any(text in remark for remark in found["cryonet:remarks"])

    @pytest.mark.parametrize("code", [1, 3, 8, 9, 10])
    def test_saturation_shadow_and_cloud_are_left_out(self, code: int, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(codes=cloudy(TOP, code)), dem=False) as served:
            fetched(tmp_path / "scene", served, max_cloud=0.9)
        rows = rows_of(tmp_path / "scene")[:, 0]
        bare = np.isnan(values_of(tmp_path / "scene")["nir"]).all(axis=1)
        assert (bare == (rows < 1 / 3)).mean() > 0.99

    def test_snow_shadowed_relief_and_what_is_unclassified_stay(self, tmp_path: Path) -> None:
        def mixed(shape: tuple[int, int]) -> NDArray[np.uint8]:
            return np.resize(np.array([2, 7, 11, 4, 5, 6], np.uint8), shape)

        with catalogue(tmp_path / "web", Image(codes=mixed), dem=False) as served:
            fetched(tmp_path / "scene", served)
        check_truth(tmp_path / "scene")

    def test_the_median_is_of_each_band(self, tmp_path: Path, small_windows: None) -> None:
        images = [Image(day=day) for day in (0, 5, 15)] + [Image(day=40, codes=cloudy(slice(0, 1)))]
        with catalogue(tmp_path / "web", *images, dem=False) as served:
            found = fetched(tmp_path / "scene", served, composite="median", images=3)
        check_truth(tmp_path / "scene", day=5)
        assert len([r for r in found["cryonet:sources"] if r["variable"] == "optical"]) == 3
        assert any("elevation: 100.00%" in remark for remark in found["cryonet:remarks"])

    def test_tiles_of_one_pass_lie_beside_each_other(self, tmp_path: Path) -> None:
        left, right = TILE[:, :180], TILE[:, 120:]
        images = [Image(tile=left, name="45RVL"), Image(tile=right, name="45RWL", minute=1)]
        with catalogue(tmp_path / "web", *images, dem=False) as served:
            plan = plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE)
            assert len(plan.candidates) == 1 and len(plan.images[0]) == 2
            fetch_scene(tmp_path / "scene", plan, patience=PATIENCE)
        check_truth(tmp_path / "scene", atol=1.2e-3)  # a file's edge has no neighbour to lean on


class TestOffset:
    """T5: the same scene with the offset right, wrong and missing."""

    def test_right_metadata_gives_identical_reflectance(self, tmp_path: Path) -> None:
        made = []
        for offset in (0.0, -0.1):
            with catalogue(tmp_path / f"{offset}", Image(offset=offset), dem=False) as served:
                fetched(tmp_path / f"scene{offset}", served)
            made.append(values_of(tmp_path / f"scene{offset}"))
        for name in OPTICAL:
            np.testing.assert_allclose(made[0][name], made[1][name], atol=1e-6)

    @pytest.mark.parametrize(
        ("stated", "words"), [(0.0, "was an offset of -0.1 left out"), (-0.2, "applied twice")]
    )
    def test_wrong_metadata_is_noticed(self, stated: float, words: str, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            for asset in served.items[0]["assets"].values():
                if "raster:bands" in asset:
                    asset["raster:bands"][0]["offset"] = stated
            found = fetched(tmp_path / "scene", served)
        assert any(words in remark for remark in found["cryonet:remarks"])

    def test_missing_metadata_is_refused_until_it_is_stated(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(form="planetary"), dem=False) as served:
            item = served.items[0]
            del item["properties"]["s2:processing_baseline"]
            for asset in item["assets"].values():
                asset["href"] = asset["href"].replace("http://", served.server.url)
            with pytest.raises(SceneError, match="does not say how reflectance is stored"):
                fetched(tmp_path / "scene", served)
            found = fetched(tmp_path / "scene", served, scale=1e-4, offset=-0.1)
        check_truth(tmp_path / "scene")
        assert found["cryonet:sources"][0]["scale_from"] == "stated"

    def test_half_a_scale_is_refused(self) -> None:
        with pytest.raises(SceneError, match="half a scale"):
            order_scene(box=BOX, days="2023-10-01/2023-10-02", scale=1e-4)


class TestRanking:
    def test_cloud_counts_over_the_area_not_over_the_tile(self, tmp_path: Path) -> None:
        images = Image(day=0, codes=cloudy(slice(0, 0.9))), Image(day=2)
        with catalogue(tmp_path / "web", *images, dem=False) as served:
            # What the tiles' averages say is the wrong way round.
            for item, share in zip(served.items, (1, 95), strict=True):
                item["properties"]["eo:cloud_cover"] = share
            plan = plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE)
        assert [c.acquisition.time.day for c in plan.candidates] == [7, 5]
        assert plan.chosen == [0]
        assert plan.candidates[0].cover.cloud == 0 and plan.candidates[1].cover.cloud > 0.8

    def test_too_much_cloud_is_refused_with_the_clearest(self, tmp_path: Path) -> None:
        with (
            catalogue(tmp_path / "web", Image(codes=cloudy(slice(0, 1))), dem=False) as served,
            pytest.raises(SceneError, match=r"1 passes, the clearest 100%, 30% allowed"),
        ):
            fetched(tmp_path / "scene", served)

    def test_a_pass_is_used_only_up_to_the_cloud_allowed(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(codes=cloudy(slice(0, 0.45))), dem=False) as served:
            plan = plan_scene(tmp_path / "a", order_of(served, max_cloud=0.5), patience=PATIENCE)
            assert 0.3 < plan.candidates[0].cover.cloud < 0.5
            with pytest.raises(SceneError, match="no pass is clear enough"):
                plan_scene(tmp_path / "b", order_of(served), patience=PATIENCE)

    def test_no_more_passes_are_loaded_than_are_needed(self, tmp_path: Path) -> None:
        images = [Image(day=day) for day in (0, 2, 4)]
        with catalogue(tmp_path / "web", *images, dem=False) as served:
            out = tmp_path / "scene"
            best = plan_scene(out, order_of(served), patience=PATIENCE)
            order = order_of(served, composite="median", images=2)
            median = plan_scene(out, order, patience=PATIENCE)
        assert (best.chosen, median.chosen) == ([0], [0, 1])

    def test_a_newer_processing_takes_the_place_of_an_older(self, tmp_path: Path) -> None:
        images = Image(form="cogs"), Image(form="applied"), Image(form="bands")
        with catalogue(tmp_path / "web", *images, dem=False) as served:
            plan = plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE)
        used = [item.collection_id for item in plan.acquisitions[0].items]
        assert len(plan.candidates) == 1 and used == ["sentinel-2-c1-l2a"]

    def test_every_page_of_the_answer_is_read(self, tmp_path: Path) -> None:
        images = [Image(day=day) for day in range(3)]
        with catalogue(tmp_path / "web", *images, dem=False) as served:
            served.page = 1
            plan = plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE)
            assert len(served.searches) == 4
        assert [c.acquisition.time.day for c in plan.candidates] == [5, 6, 7]

    def test_a_time_too_long_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cryonet.sources.catalogue.MOST", 1)
        with (
            catalogue(tmp_path / "web", Image(), Image(day=1), dem=False) as served,
            pytest.raises(SceneError, match="too many images"),
        ):
            plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE)

    def test_pictures_are_named(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            plan = plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE)
        assert plan.candidates[0].acquisition.thumbnail.endswith("thumbnail.jpg")


@pytest.fixture
def planetary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """A catalogue that stands in for blob storage, too, as a proxy, and gives out tokens."""
    with catalogue(tmp_path / "web", Image(form="planetary")) as served:
        monkeypatch.setenv("GDAL_HTTP_PROXY", served.server.url.removeprefix("http://"))
        monkeypatch.setattr(Settings.get(), "sas_url", f"{served.server.url}sas")
        sas.TOKEN_CACHE.clear()
        yield served
        sas.TOKEN_CACHE.clear()


Fault = Callable[[Request], Answer | None]


def bursts(status: int, every: int = 5) -> Fault:
    """Refuse two requests in `every`."""
    count = iter(range(10**9))
    return lambda _: Answer(status) if next(count) % every in (1, 2) else None


def each_once(answer: Answer) -> Fault:
    """Answer the first request for each range of pixels wrongly."""
    seen: set[Any] = set()

    def fault(request: Request) -> Answer | None:
        if request.span is None or (request.path, request.span) in seen:
            return None
        seen.add((request.path, request.span))
        return answer

    return fault


class TestFaults:
    """T18: bounded retries, new signatures, never silent nodata."""

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(lambda: bursts(503), id="503 in bursts"),
            pytest.param(lambda: bursts(429), id="429 in bursts"),
            pytest.param(lambda: bursts(403, every=9), id="403 in bursts"),
            pytest.param(lambda: each_once(Answer(cut=0.4)), id="truncated ranges"),
            pytest.param(lambda: each_once(Answer(cut=0.4, honest=True)), id="short ranges"),
            pytest.param(lambda: each_once(Answer(wait=0.02)), id="slow"),
        ],
    )
    def test_passing_faults_change_nothing(
        self, fault: Callable[[], Fault], tmp_path: Path, small_windows: None
    ) -> None:
        with catalogue(tmp_path / "web", Image()) as served:
            served.server.fault = fault()
            found = fetched(tmp_path / "scene", served)
        check_truth(tmp_path / "scene")
        assert found["cryonet:remarks"] == []
        assert np.isfinite(values_of(tmp_path / "scene")["elevation"]).all()

    def test_a_server_that_hangs_is_given_up_and_asked_again(self, tmp_path: Path) -> None:
        asked: list[float] = []

        def fault(request: Request) -> Answer | None:
            if not request.path.endswith("nir.tif") or request.span is None:
                return None
            asked.append(time.monotonic())
            return Answer(wait=6) if len(asked) == 1 else None

        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            served.server.fault = fault
            fetched(tmp_path / "scene", served)
        check_truth(tmp_path / "scene")
        assert asked[1] - asked[0] < 5  # before the first answer came

    def test_an_expired_signature_is_renewed(self, tmp_path: Path, planetary: Catalogue) -> None:
        # 403 after the first reads: the token of the time expires, and only a new one opens.
        def fault(request: Request) -> Answer | None:
            if not request.path.startswith(BLOB):
                return None
            used.append(request.query)
            expired = len(used) > 8 and "st=1&" in request.query
            return Answer(403) if expired or "st=" not in request.query else None

        used: list[str] = []
        planetary.server.fault = fault
        fetched(tmp_path / "scene", planetary)
        check_truth(tmp_path / "scene")
        assert planetary.tokens >= 2 and any("st=2&" in query for query in used)

    def test_a_signature_is_renewed_before_it_expires(
        self, tmp_path: Path, planetary: Catalogue
    ) -> None:
        planetary.lifetime = timedelta(seconds=30)  # less than a read may take
        fetched(tmp_path / "scene", planetary)
        assert planetary.tokens > 10

    def test_what_stays_refused_is_an_error_and_nothing_is_lost(
        self, tmp_path: Path, small_windows: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Or GDAL would have all of these small files at hand since the search.
        monkeypatch.setenv("CPL_VSIL_CURL_NON_CACHED", "/vsicurl/http")
        out = tmp_path / "scene"
        with catalogue(tmp_path / "web", Image()) as served:
            plan = plan_scene(out, order_of(served), patience=PATIENCE)
            reads = iter(range(10**9))
            served.server.fault = lambda r: Answer(403) if next(reads) > 250 else None
            with pytest.raises(SceneError, match=r"cannot be read.*403.*Tried 4 times") as refused:
                fetch_scene(out, plan, patience=PATIENCE)
            assert "What was read is kept" in str(refused.value) and not out.exists()
            kept = set(Journal(out).folder.glob("window-*.npz"))
            assert kept
            served.server.fault = lambda _: None
            fetched(out, served)
            assert len(served.searches) == 2  # images and DEM, once
        check_truth(out)

    def test_what_is_not_there_is_asked_for_once(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            (tmp_path / "web" / "files" / served.items[0]["id"] / "green.tif").unlink()
            with pytest.raises(SceneError, match=r"green.*404.*Tried 1 times"):
                plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE)

    def test_offline_it_says_so(self, tmp_path: Path) -> None:
        order = order_scene(box=BOX, days="2023-10-01/2023-10-31", catalogue="http://127.0.0.1:9")
        with pytest.raises(SceneError, match=r"does not answer.*Check the network"):
            plan_scene(tmp_path / "scene", order, patience=PATIENCE)

    def test_something_else_at_the_address_is_named(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", dem=False) as served:
            (tmp_path / "web" / "page.html").write_text("<html>hello</html>")
            order = order_of(served, catalogue=f"{served.server.url}page.html")
            with pytest.raises(SceneError, match=r"cannot be read.*no STAC API"):
                plan_scene(tmp_path / "scene", order, patience=PATIENCE)
            with pytest.raises(SceneError, match="has no image"):
                plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE)
