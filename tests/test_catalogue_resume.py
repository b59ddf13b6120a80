"""A download that is stopped, resumed, damaged, or led astray; and one from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogue_server import BOX, TILE, Image, catalogue, cloudy
from test_catalogue_scene import PATIENCE, check_truth, fetched, order_of, values_of
from test_predict import make_bundle
from typer.testing import CliRunner

from cryonet import catalogue_scene
from cryonet.catalogue_journal import Journal
from cryonet.catalogue_scene import fetch_scene, plan_scene
from cryonet.classes import NODATA
from cryonet.cli import app
from cryonet.errors import SceneError
from cryonet.predict import predict_scene
from cryonet.prediction import open_prediction, write_prediction
from cryonet.progress import Cancelled
from cryonet.scene import open_scene, read_item

pytestmark = [pytest.mark.network, pytest.mark.allow_hosts(["127.0.0.1"])]


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_scene, "WINDOW", 96)


class StopAt:
    """Cancels at a step, as a user would."""

    def __init__(self, step: int) -> None:
        self.left, self.told = step, []

    def step(self, done: int, total: int, message: str = "") -> None:
        assert 0 <= done <= total
        self.told.append((done, total, message))
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.tif"))}


class TestStopped:
    def test_what_was_loaded_is_kept_and_the_end_is_the_same(self, tmp_path: Path) -> None:
        out = tmp_path / "scene"
        with catalogue(tmp_path / "web", Image(), Image(day=9)) as served:
            fetched(tmp_path / "whole", served, composite="median", images=2)
            order = order_of(served, composite="median", images=2)
            progress = StopAt(10**9)
            fetch_scene(
                tmp_path / "told",
                plan_scene(tmp_path / "told", order, patience=PATIENCE),
                patience=PATIENCE,
                progress=progress,
            )
            assert progress.told[-1][0] == progress.told[-1][1]
            searches = len(served.searches)
            kept = []
            for step in (0, 2, 3, 4):
                plan = plan_scene(out, order, patience=PATIENCE)
                with pytest.raises(Cancelled, match="what was read is kept"):
                    fetch_scene(out, plan, patience=PATIENCE, progress=StopAt(step))
                assert not out.exists()
                kept.append(len(list(Journal(out).folder.glob("window*"))))
            assert kept == sorted(kept) and 0 < kept[-1] < 4
            rest = StopAt(10**9)
            plan = plan_scene(out, order, patience=PATIENCE)
            fetch_scene(out, plan, patience=PATIENCE, progress=rest)
            loaded = [text for _, _, text in rest.told if "sentinel-2a" in text]
            assert len(loaded) == 2 * (4 - kept[-1])  # passes of the windows that were not kept
            assert len(served.searches) == searches + 2  # the first plan's, and no other
        assert files_of(out) == files_of(tmp_path / "whole")
        properties = [read_item(path)["properties"] for path in (out, tmp_path / "whole")]
        differ = [key for key in properties[0] if properties[0][key] != properties[1].get(key)]
        assert set(differ) <= {"created", "updated"}
        assert not Journal(out).folder.exists()

    def test_a_search_that_is_cancelled_leaves_nothing(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image()) as served, pytest.raises(Cancelled):
            plan_scene(tmp_path / "scene", order_of(served), patience=PATIENCE, progress=StopAt(2))
        assert [path.name for path in tmp_path.iterdir()] == ["web"]

    def test_a_torn_window_is_loaded_again(self, tmp_path: Path) -> None:
        out = tmp_path / "scene"
        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            plan = plan_scene(out, order_of(served), patience=PATIENCE)
            with pytest.raises(Cancelled):
                fetch_scene(out, plan, patience=PATIENCE, progress=StopAt(4))
            windows = sorted(Journal(out).folder.glob("window*"))
            assert len(windows) >= 2
            windows[0].write_bytes(windows[0].read_bytes()[:-900])
            torn = bytearray(windows[1].read_bytes())
            torn[len(torn) // 2] ^= 255
            windows[1].write_bytes(torn)
            fetched(out, served)
        check_truth(out)

    def test_another_order_does_not_go_on_from_it(self, tmp_path: Path) -> None:
        out = tmp_path / "scene"
        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            plan = plan_scene(out, order_of(served), patience=PATIENCE)
            with pytest.raises(Cancelled):
                fetch_scene(out, plan, patience=PATIENCE, progress=StopAt(4))
            other = order_of(served, resolution=20, composite="median")
            with pytest.raises(SceneError, match="unfinished: resolution, composite"):
                plan_scene(out, other, patience=PATIENCE)
            assert Journal(out).folder.is_dir()
            plan = plan_scene(out, other, overwrite=True, patience=PATIENCE)
            fetch_scene(out, plan, patience=PATIENCE)
        with open_scene(out) as scene:
            assert scene.odc.geobox.resolution.x == 20

    def test_a_full_disk_is_an_error_that_keeps_what_there_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "scene"

        def full(*args: Any, **options: Any) -> None:
            raise OSError(28, "No space left on device")

        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            plan = plan_scene(out, order_of(served), patience=PATIENCE)
            with monkeypatch.context() as patch:
                patch.setattr("cryonet.catalogue_journal.np.savez", full)
                with pytest.raises(SceneError, match=r"cannot be kept.*No space left"):
                    fetch_scene(out, plan, patience=PATIENCE)
            assert not out.exists()
            fetched(out, served)
        check_truth(out)

    def test_a_scene_that_exists_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "scene").mkdir()
        with catalogue(tmp_path / "web", Image()) as served:
            with pytest.raises(SceneError, match="exists already"):
                plan_scene(tmp_path / "scene", order_of(served))
            assert served.searches == []


class TestHostile:
    """T25: an item can name anything."""

    @pytest.mark.parametrize(
        "href", ["file:///etc/passwd", "s3://bucket/a.tif", "/vsimem/a.tif", "/vsicurl/http://a/b"]
    )
    def test_files_that_are_not_on_the_web_are_refused(self, href: str, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            served.items[0]["assets"]["red"]["href"] = href
            with pytest.raises(SceneError, match="not on the web"):
                fetched(tmp_path / "scene", served)

    def test_a_vrt_is_not_opened(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret.tif"
        with catalogue(tmp_path / "web", Image(), dem=False) as served:
            path = tmp_path / "web" / "files" / served.items[0]["id"] / "red.tif"
            secret.write_bytes(path.read_bytes())
            path.write_text(
                f'<VRTDataset rasterXSize="360" rasterYSize="420"><VRTRasterBand dataType="UInt16" '
                f'band="1"><SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource>'
                f"</VRTRasterBand></VRTDataset>"
            )
            with pytest.raises(SceneError, match=r"red.*not recognized as being in a supported"):
                fetched(tmp_path / "scene", served)

    def test_links_of_items_are_not_followed(self, tmp_path: Path) -> None:
        with catalogue(tmp_path / "web", Image()) as served:
            assert any("catalogue.invalid" in link["href"] for link in served.items[0]["links"])
            fetched(tmp_path / "scene", served)
            assert not any("invalid" in asked for asked in served.server.asked)


class TestBytes:
    def test_only_what_is_needed_is_read(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)

        def noise(shape: tuple[int, int]) -> Any:
            return rng.integers(4, 7, shape, dtype=np.uint8)

        tile = TILE.pad(1024)[:2048, :2048]  # 20 km, of which 2 are wanted
        with catalogue(tmp_path / "web", Image(tile=tile, codes=noise), dem=False) as served:
            out = tmp_path / "scene"
            plan = plan_scene(out, order_of(served), patience=PATIENCE)
            looked = dict(served.server.sent)
            fetch_scene(out, plan, patience=PATIENCE)
            sent = served.server.sent
            sizes = {path: (tmp_path / "web" / path).stat().st_size for path in sent}
        scl = next(path for path in sent if path.endswith("scl.tif"))
        assert looked[scl] < sizes[scl] / 3  # overviews, for the search
        fine = [path for path in sent if path.endswith(("blue.tif", "nir.tif"))]
        assert len(fine) == 2 and all(sent[path] < sizes[path] / 4 for path in fine)


class TestEndToEnd:
    def test_from_search_to_prediction(self, tmp_path: Path) -> None:
        images = Image(codes=cloudy(slice(0, 0.5))), Image(day=10, codes=cloudy(slice(0.5, 1)))
        runner = CliRunner()
        with catalogue(tmp_path / "web", *images) as served:
            where = [*map(str, BOX), "--dates", "2023-10-01/2023-10-31", "--catalog", served.root]
            fetch = ["scene", "fetch", str(tmp_path / "scene"), "--bbox", *where]
            shown = runner.invoke(app, [*fetch, "--max-cloud", "90", "--search-only"])
            assert shown.exit_code == 0 and "2 passes over" in shown.output
            assert not (tmp_path / "scene").exists()
            made = runner.invoke(app, [*fetch, "--max-cloud", "90"])
        assert made.exit_code == 0, made.output
        assert "Copernicus Sentinel data (2023)" in made.output
        assert np.isfinite(values_of(tmp_path / "scene")["red"]).all()
        layers = ["layers", "compute", str(tmp_path / "scene"), str(tmp_path / "layers.tif")]
        done = runner.invoke(app, layers)
        assert done.exit_code == 0 and "left out coherence" in done.output
        with open_scene(tmp_path / "scene") as scene:
            found = predict_scene(make_bundle(), scene)
        write_prediction(found, tmp_path / "map", passport={})
        assert (open_prediction(tmp_path / "map")["classes"] != NODATA).all()

    def test_refusals_are_one_line_and_2(self, tmp_path: Path) -> None:
        fetch = ["scene", "fetch", str(tmp_path / "scene"), "--dates", "2023-10-01/2023-10-31"]
        for more, words in [
            (["--area", "atlantis"], "there is no such area"),
            (["--bbox", "0", "0", "1", "95"], "does not lie on the Earth"),
            (["--area", "khumbu", "--catalog", "none"], "no such catalogue"),
            (["--area", "khumbu", "--max-cloud", "101"], "the max_cloud cannot be used"),
            (["--area", "khumbu", "--composite", "mean"], "the composite cannot be used"),
            (["--area", "khumbu", "--catalog", "http://127.0.0.1:9"], "does not answer"),
        ]:
            result = CliRunner().invoke(app, [*fetch, *more])
            assert result.exit_code == 2 and words in result.output, result.output
        assert list(tmp_path.iterdir()) == []

    def test_areas_are_listed(self) -> None:
        shown = CliRunner().invoke(app, ["scene", "areas"])
        assert shown.exit_code == 0 and "poiqu" in shown.output and "oetztal" in shown.output
