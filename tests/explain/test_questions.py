"""Questions, views and baselines: which pixels, on which inputs, against what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from explain_ground import small_bundle, small_scene
from pyproj import Transformer
from shapely.geometry import Point, Polygon, box
from shapely.ops import transform

from cryonet.errors import ConfigError, CryonetError, GridError, SceneError
from cryonet.explain import view as views
from cryonet.explain.baselines import BASELINES, SIGMA, baseline_image
from cryonet.explain.questions import WRONG, at_pixel, correct_against_wrong, in_polygon, of_class
from cryonet.explain.view import View, surroundings
from cryonet.grid import Window
from cryonet.scene_inputs import SceneInputs


class Bands(torch.nn.Module):
    """Classes by red: below 0.35 other, then clean ice, from 0.65 debris."""

    def forward(self, image):
        red = image[:, 0] * 2 + 0.3
        return torch.stack([0.35 - red, (red - 0.35).minimum(0.65 - red), red - 0.65], dim=1)


@pytest.fixture
def bundle():
    return replace(small_bundle(), module=Bands())


@pytest.fixture
def scene():
    return small_scene()


def coded(scene):
    return np.digitize(scene["red"].values, [0.35, 0.65]).astype(np.uint8)


def whole(question, scene, mask):
    """The weights on the whole scene, which are to be those of a mean over `mask`."""
    found = np.zeros(mask.shape)
    found[question.window.slices] = question.weights
    np.testing.assert_allclose(found, mask / mask.sum(), atol=1e-12)


@pytest.mark.parametrize(("row", "col"), [(0, 0), (20, 30), (59, 69)])
def test_a_pixel_has_a_tile_round_it(bundle, scene, row, col):
    question = at_pixel(bundle, scene, row, col)
    assert (question.window.height, question.window.width) == (32, 32)
    mask = np.zeros((60, 70), bool)
    mask[row, col] = True
    whole(question, scene, mask)
    assert question.target == bundle.manifest.classes[coded(scene)[row, col]]
    assert question.label == f"{question.target} at row {row}, column {col}"
    if (row, col) == (20, 30):
        assert question.window.centre == (20 + 1, 30 + 1)
    named = at_pixel(bundle, scene, row, col, "debris", "other")
    assert (named.target, named.against) == ("debris", "other")
    assert named.label.startswith("debris against other at")


@pytest.mark.parametrize("place", [(-1, 5), (60, 5), (5, 70)])
def test_a_pixel_outside_is_refused(bundle, scene, place):
    with pytest.raises(GridError, match="outside the scene"):
        at_pixel(bundle, scene, *place)


def test_a_pixel_in_a_hole_is_refused(bundle, scene):
    scene["nir"][20, 30] = np.nan
    with pytest.raises(CryonetError, match="hole"):
        at_pixel(bundle, scene, 20, 30, "debris")
    scene["coherence"][20, 31] = np.nan  # of an optional family: filled
    at_pixel(bundle, scene, 20, 31)


def test_an_unknown_class_is_refused(bundle, scene):
    for maker in (
        at_pixel,
        lambda *a: in_polygon(*a[:2], box(*scene.odc.geobox.boundingbox), a[4]),
    ):
        with pytest.raises(ConfigError, match="no such class"):
            maker(bundle, scene, 20, 30, "lava")
    with pytest.raises(ConfigError, match="no such class"):
        of_class(bundle, scene, "lava")


def test_a_polygon_holds_the_centres_inside(bundle, scene):
    grid = scene.odc.geobox
    left, top = grid.affine * (30, 20)
    circle = Point(left, top).buffer(83)
    question = in_polygon(bundle, scene, circle, "debris", name="moraine")
    rows, cols = np.mgrid[:60, :70] + 0.5
    mask = np.hypot(rows - 20, cols - 30) < 8.3
    whole(question, scene, mask)
    assert question.label == "debris at moraine"
    back = Transformer.from_crs("EPSG:32645", "EPSG:4326", always_xy=True).transform
    degrees = in_polygon(bundle, scene, transform(back, circle), "debris", crs="EPSG:4326")
    np.testing.assert_array_equal(degrees.weights, question.weights)


def test_the_class_of_a_polygon_is_that_of_most_pixels(bundle, scene):
    scene["red"][:] = 0.1
    scene["red"][:, 35:] = 0.9
    west, south, east, north = scene.odc.geobox.boundingbox
    assert in_polygon(bundle, scene, box(west, south, east - 400, north)).target == "other"
    assert in_polygon(bundle, scene, box(west + 100, south, east, north)).target == "debris"


def test_polygons_without_pixels_are_refused(bundle, scene):
    left, top = scene.odc.geobox.affine * (30.2, 20.2)
    for shape in (box(0, 0, 10, 10), box(left, top - 1, left + 1, top), Polygon()):
        with pytest.raises(GridError, match=r"no pixel.* lies? in the polygon"):
            in_polygon(bundle, scene, shape)
    scene["red"][:] = np.nan
    with pytest.raises(CryonetError, match="hole"):
        in_polygon(bundle, scene, box(*scene.odc.geobox.boundingbox))


@pytest.mark.parametrize("by", ["map", "labels"])
def test_a_class_has_its_pixels_in_the_window(bundle, scene, by):
    scene["swir16"] = scene["red"]
    scene["nir"][:5] = np.nan
    window = Window(0, 10, 40, 50)
    question = of_class(bundle, scene, "clean_ice", window, "debris", by=by)
    codes = coded(scene) if by == "map" else scene["labels"].values
    mask = np.zeros((60, 70), bool)
    mask[window.slices] = (codes == 1)[window.slices]
    mask[:5] = False
    whole(question, scene, mask)
    assert question.against == "debris"


def test_right_pixels_are_held_against_wrong_ones(bundle, scene):
    codes, labels = coded(scene), scene["labels"].values
    scene["nir"][35:38] = np.nan
    for wrong in WRONG:
        question = correct_against_wrong(bundle, scene, "debris", wrong=wrong)
        right = (codes == 2) & (labels == 2)
        off = (codes == 2) != (labels == 2)
        off &= (codes == 2) if wrong == "mapped" else (labels == 2)
        right[35:38] = off[35:38] = False
        wanted = right / right.sum() - off / off.sum()
        np.testing.assert_allclose(question.weights, wanted, atol=1e-12)
        assert question.weights.sum() == pytest.approx(0, abs=1e-12)


def test_classes_and_errors_that_are_not_there_are_refused(bundle, scene):
    few = scene.copy(deep=True)
    few["red"][:] = 0.1
    with pytest.raises(CryonetError, match="no pixel of the class"):
        of_class(bundle, few, "debris")
    few["labels"][:] = 0
    with pytest.raises(CryonetError, match="no wrong pixel"):
        correct_against_wrong(bundle, few, "other")
    few["labels"][:] = 2
    with pytest.raises(CryonetError, match="no right pixel"):
        correct_against_wrong(bundle, few, "other")
    few["labels"][:] = 0
    few["labels"][5, 6], few["nir"][5, 6] = 1, np.nan
    with pytest.raises(CryonetError, match="no pixel of the class"):
        of_class(bundle, few, "clean_ice", by="labels")
    bare = scene.drop_vars("labels")
    with pytest.raises(SceneError, match="no labels"):
        of_class(bundle, bare, "debris", by="labels")
    with pytest.raises(SceneError, match="no labels"):
        correct_against_wrong(bundle, bare, "debris")
    with pytest.raises(ConfigError, match="source of classes"):
        of_class(bundle, scene, "debris", by="guess")
    with pytest.raises(ConfigError, match="kind of wrong"):
        correct_against_wrong(bundle, scene, "debris", wrong="bad")


def test_windows_outside_or_too_large_are_refused(bundle, scene, monkeypatch):
    with pytest.raises(GridError, match="not inside the scene"):
        of_class(bundle, scene, "debris", Window(0, 50, 30, 30))
    monkeypatch.setattr(views, "MOST_PIXELS", 40 * 40)
    with pytest.raises(GridError, match="too large"):
        of_class(bundle, scene, "debris")
    with pytest.raises(GridError, match="too large"):
        in_polygon(bundle, scene, box(*scene.odc.geobox.boundingbox))
    of_class(bundle, scene, "debris", Window(0, 0, 40, 40))


def test_a_view_at_hand_serves_every_question_inside_it(bundle, scene):
    view = View.of(bundle, scene, Window(10, 10, 40, 50))
    question = at_pixel(bundle, scene, 20, 30, view=view)
    assert question.window == view.window
    assert question.weights[10, 20] == 1
    with pytest.raises(GridError, match="not inside the view"):
        at_pixel(bundle, scene, 5, 30, view=view)
    assert of_class(bundle, scene, "debris", view=view).window == view.window


@pytest.mark.parametrize(
    ("window", "wanted"),
    [
        (Window(0, 0, 1, 1), Window(0, 0, 32, 32)),
        (Window(50, 69, 1, 1), Window(28, 38, 32, 32)),
        (Window(10, 10, 40, 4), Window(10, 0, 40, 32)),
    ],
)
def test_surroundings_are_whole_tiles_inside_the_scene(window, wanted):
    assert surroundings(window, (60, 70), 32) == wanted
    assert surroundings(window, (60, 20), 32).width == 20


def test_a_view_is_what_prediction_sees(bundle, scene):
    scene["coherence"][3, 4] = np.nan
    scene["nir"][5, 6] = np.nan
    window = Window(0, 0, 32, 40)
    view = View.of(bundle, scene, window)
    image, flags = SceneInputs(bundle.manifest, scene)[window]
    np.testing.assert_array_equal(view.image, image)
    np.testing.assert_array_equal(view.flags, flags)
    assert view.geobox == scene.odc.geobox[window.slices]
    assert view.families == tuple(layer.family for layer in bundle.manifest.layers)
    names = list(view.layers)
    gone = ~view.known
    assert gone[:, 3, 4].tolist() == [n in ("coherence", "phase_cos", "phase_sin") for n in names]
    assert gone[:, 5, 6].tolist() == [n == "nir" for n in names]
    gone[:, [3, 5], [4, 6]] = False
    assert not gone.any()  # terrain has no holes here
    assert not view.valid[5, 6]
    assert view.codes[5, 6] == 255
    np.testing.assert_array_equal(view.codes[6:], coded(scene)[window.slices][6:])


def test_baselines_mean_what_they_say(bundle, scene):
    view = View.of(bundle, scene, Window(0, 0, 40, 50))
    assert not baseline_image(view, "training mean").any()
    rock = baseline_image(view, "local rock mean")
    wanted = view.image[:, :, :20].mean(axis=(1, 2), dtype="f8")  # labels there are 0
    np.testing.assert_allclose(rock, np.broadcast_to(wanted[:, None, None], rock.shape), rtol=1e-5)
    bare = scene.drop_vars("labels")
    mapped = baseline_image(View.of(bundle, bare, view.window), "local rock mean")
    mine = coded(scene)[view.window.slices] == 0
    np.testing.assert_allclose(
        mapped[:, 0, 0], view.image[:, mine].mean(axis=1, dtype="f8"), rtol=1e-4, atol=1e-6
    )
    bare["red"][:] = 0.9
    with pytest.raises(CryonetError, match="no rock"):
        baseline_image(View.of(bundle, bare, view.window), "local rock mean")
    with pytest.raises(ConfigError, match="unknown"):
        baseline_image(view, "black")
    assert all(row.meaning for row in BASELINES.values())


def test_blurring_smooths_and_does_not_see_holes(bundle, scene):
    window = Window(0, 0, 60, 70)
    red = scene["red"].values
    for name in ("red", "nir"):
        scene[name][:] = 0.5
    flat = baseline_image(View.of(bundle, scene, window), "blurred")
    np.testing.assert_allclose(flat[:2], 0.1, rtol=1e-4)  # (0.5 − 0.3) / 2
    scene["red"][20:30, 20:40] = np.nan  # filled with the mean, 0
    holed = baseline_image(View.of(bundle, scene, window), "blurred")
    known = np.isfinite(scene["red"].values)
    np.testing.assert_allclose(holed[0][known], 0.1, rtol=1e-4)
    assert not holed[0][~known].any()  # as it was filled
    scene["red"][:] = 0.3
    scene["red"][30, 35] = 2.3
    spot = baseline_image(View.of(bundle, scene, window), "blurred")[0]
    assert spot[30, 35] == pytest.approx(1 / (2 * np.pi * SIGMA**2), rel=0.05)
    assert red.shape == spot.shape
