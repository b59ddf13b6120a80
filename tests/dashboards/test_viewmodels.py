from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from cryonet.errors import ConfigError, GridError, SceneError
from cryonet.grid import Window
from dashboards.project import open_project, project_from_environment
from dashboards.results import show, write_pictures
from dashboards.viewmodels import KEPT_RUNS, MapPage, bounds_of, duration, window_of

GEOBOX = GeoBox.from_bbox((300000, 3100000, 300960, 3100640), crs="EPSG:32645", shape=(64, 96))


@pytest.fixture
def page(project):
    made = MapPage(project)
    yield made
    made.close()


def poll(page, until, seconds=10.0):
    limit = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < limit, (page.status, page.error)
        page.poll()
        time.sleep(0.005)


def middle(project, share=0.5):
    """Bounds of the middle of the scene."""
    south, west, north, east = bounds_of(project.geobox)
    dy, dx = (north - south) * (1 - share) / 2, (east - west) * (1 - share) / 2
    return (south + dy, west + dx, north - dy, east - dx)


class TestWindow:
    def test_the_bounds_of_a_grid_are_all_of_it(self):
        assert window_of(GEOBOX, bounds_of(GEOBOX)) == Window(0, 0, 64, 96)
        assert window_of(GEOBOX, (20, 80, 40, 90)) == Window(0, 0, 64, 96)

    @pytest.mark.parametrize(
        "window", [Window(0, 0, 10, 10), Window(20, 30, 30, 40), Window(60, 90, 4, 6)]
    )
    def test_a_window_comes_back_from_its_bounds(self, window):
        # The box round a rotated window is larger, by its tilt only.
        found = window_of(GEOBOX, bounds_of(GEOBOX[window.slices]))
        assert abs(found.row - window.row) <= 2
        assert abs(found.col - window.col) <= 2
        assert window.height <= found.height <= window.height + 3
        assert window.width <= found.width <= window.width + 3

    def test_south_up_rasters_too(self):
        flipped = GEOBOX.flipy()
        whole = bounds_of(GEOBOX)
        north_half = ((whole[0] + whole[2]) / 2, *whole[1:])
        assert window_of(GEOBOX, north_half).row == 0
        assert window_of(flipped, north_half).row == pytest.approx(32, abs=2)

    def test_elsewhere_is_refused(self):
        with pytest.raises(GridError, match=r"outside the scene.*Move the map"):
            window_of(GEOBOX, (10, 20, 11, 21))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (8.4, "8 s"), (89, "89 s"), (200, "3 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


class TestPage:
    def test_opens_on_the_finished_map(self, page, project):
        assert page.shown is project.opened
        assert page.prediction_on
        assert page.base == "true-colour"
        assert not page.active
        assert page.outline() == ()
        assert page.extent() == "1.0 × 1.0 km"

    def test_areas_beside_the_labels(self, page):
        rows = {row.name: row for row in page.areas()}
        # 96 × 96 pixels of 10 m; UTM stretches lengths by up to 0.06 % here.
        half = 96 * 48 * 1e-4
        assert rows["clean_ice"].mapped == pytest.approx(half, rel=2e-3)
        assert rows["lake"].mapped == pytest.approx(half, rel=2e-3)
        assert rows["debris"].mapped == 0
        assert rows["debris"].labelled == pytest.approx(900e-4, rel=2e-3)
        assert sum(r.labelled for r in rows.values()) == pytest.approx(2 * half, rel=2e-3)
        assert page.shown.extent == pytest.approx(2 * half, rel=2e-3)

    def test_run_on_a_drawn_rectangle(self, page, project, stand_in):
        bounds = middle(project)
        page.draw(bounds)
        assert page.area == "rectangle"
        stand_in.hold = True
        page.run()
        assert page.active
        poll(page, lambda: page.status.startswith("0 of 4 tiles"))
        stand_in.go.release(2)
        poll(page, lambda: page.status.startswith("2 of 4 tiles, about"))
        assert page.share == 0.5
        stand_in.go.release(9)
        poll(page, lambda: not page.active)
        assert page.error == page.status == ""
        assert stand_in.windows == [window_of(project.geobox, bounds)]
        assert [r.title for r in page.results] == ["Whole scene", "Run 1"]
        assert page.shown.title == "Run 1"
        assert {page.shown.classes, page.shown.confidence} <= set(project.store._pictures)
        assert page.shown.extent == pytest.approx(0.25 * page.results[0].extent, rel=0.1)
        assert page.outline() == (), "the drawn rectangle is that edge already"
        page.rectangle = None
        assert len(page.outline()) >= 5

    def test_run_on_the_view(self, page, project, stand_in):
        page.view = (0.0, 0.0, 60.0, 170.0)
        page.run()
        poll(page, lambda: not page.active)
        assert stand_in.windows == [project.whole]

    def test_what_the_scene_lacked_is_said(self, page, stand_in):
        stand_in.missing = ["coherence", "phase"]
        page.run()
        poll(page, lambda: not page.active)
        assert page.status == "The scene lacks coherence, phase: the training mean stands in."
        assert page.shown.note == page.status

    def test_cancel_leaves_the_map_and_no_file(self, page, project, stand_in):
        before = len(project.store)
        stand_in.hold = True
        page.run()
        poll(page, lambda: bool(stand_in.windows))
        page.cancel()
        page.poll()
        assert page.status == "Cancelling after this tile"
        stand_in.go.release()
        poll(page, lambda: not page.active)
        assert page.status.startswith("Cancelled")
        assert page.shown is project.opened
        assert len(project.store) == before
        assert list(Path(page._folder.name).iterdir()) == []
        stand_in.hold = False
        page.run()
        poll(page, lambda: not page.active)
        assert page.status == ""
        assert page.shown.title == "Run 2"

    def test_without_a_rectangle_it_says_what_to_do(self, page, stand_in):
        page.area = "rectangle"
        page.run()
        assert "no rectangle is drawn" in page.error
        assert "square button" in page.extent()
        assert not page.active
        page.draw((10.0, 20.0, 11.0, 21.0))
        assert page.error == "", "drawing takes the message away"
        page.run()
        assert "outside the scene" in page.error
        assert stand_in.windows == []

    def test_errors_are_sentences(self, page, stand_in, caplog):
        stand_in.fail = SceneError("the scene lacks nir", "red", "Add it.")
        page.run()
        poll(page, lambda: not page.active)
        assert page.error == "the scene lacks nir: red. Add it."
        stand_in.fail = RuntimeError("out of memory")
        with caplog.at_level(logging.CRITICAL):
            page.run()
            assert page.error == "", "a new run takes the old message away"
            poll(page, lambda: not page.active)
        assert "RuntimeError: out of memory" in page.error

    def test_only_the_latest_runs_are_kept(self, page, project):
        for _ in range(KEPT_RUNS + 2):
            page.run()
            poll(page, lambda: not page.active)
        titles = [r.title for r in page.results]
        assert titles == ["Whole scene", *(f"Run {n}" for n in range(3, KEPT_RUNS + 3))]
        assert len(project.store) == 4 + 2 * len(page.results)

    def test_without_a_model(self, scene_folder):
        plain = open_project(scene_folder)
        page = MapPage(plain)
        page.run()
        assert (page.active, page.shown, page.outline()) == (False, None, ())
        rows = page.areas()
        assert all(row.mapped is None for row in rows)
        assert sum(row.labelled for row in rows) > 0
        page.close()
        plain.close()


class TestSessions:
    def test_two_users_do_not_disturb_each_other(self, project, stand_in):
        first, second = MapPage(project), MapPage(project)
        first.prediction_opacity = 0.1
        first.draw(middle(project))
        stand_in.hold = True
        first.run()
        poll(first, lambda: bool(stand_in.windows))
        second.run()
        second.poll()
        assert second.status == "Waiting: 1 run before yours"
        stand_in.hold = False
        stand_in.go.release()
        poll(second, lambda: not second.active)
        poll(first, lambda: not first.active)
        assert second.prediction_opacity == 0.6
        assert second.rectangle is None
        assert [len(page.results) for page in (first, second)] == [2, 2]
        assert first.shown.window != second.shown.window
        first.close()
        assert second.shown.classes in project.store
        second.close()
        assert len(project.store) == 6, "the scene's pictures and the opened map remain"

    def test_closing_stops_the_run_and_deletes_the_files(self, project, stand_in):
        page = MapPage(project)
        folder = Path(page._folder.name)
        page.run()
        poll(page, lambda: not page.active)
        assert (folder / "run-1" / "classes.tif").is_file()
        stand_in.hold = True
        page.run()
        poll(page, lambda: len(stand_in.windows) == 2)
        began = time.monotonic()
        page.close()
        assert time.monotonic() - began < 1, "nobody waits for the tile that is running"
        stand_in.go.release(9)
        limit = time.monotonic() + 10
        while folder.exists():
            assert time.monotonic() < limit
            time.sleep(0.01)
        assert len(project.store) == 6


class TestOpening:
    def test_a_prediction_of_another_grid_is_refused(self, project, tmp_path):
        part = project.model.predict(project.scene, Window(0, 0, 20, 20), _Quiet())
        write_pictures(part, tmp_path)
        with pytest.raises(GridError, match="differ in size"):
            show(tmp_path, project.scene, project.whole, project.store, title="x")

    def test_a_missing_prediction_is_refused(self, scene_folder, tmp_path):
        with pytest.raises(SceneError, match="does not exist"):
            open_project(scene_folder, prediction=tmp_path)

    def test_the_environment_must_name_a_scene(self, monkeypatch):
        monkeypatch.delenv("CRYONET_SCENE", raising=False)
        with pytest.raises(ConfigError, match="no scene is named"):
            project_from_environment()

    def test_a_scene_with_nothing_to_draw(self, project, tmp_path):
        from cryonet.scene import scene_from_arrays
        from cryonet.scene_writer import write_scene

        dull = scene_from_arrays(
            {"coherence": np.full((64, 96), 0.5, np.float32)}, GEOBOX, attrs={"id": "dull"}
        )
        write_scene(dull, tmp_path / "dull")
        with pytest.raises(ConfigError, match="nothing to draw"):
            open_project(tmp_path / "dull")


class _Quiet:
    def step(self, done, total, message=""):
        return None
