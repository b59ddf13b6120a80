from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from cryonet.errors import GridError, LayerError
from cryonet.grid import Window, check_same_grid, geobox_of
from cryonet.layers import LAYERS, STACKS, build_stack, texture
from cryonet.layers.texture import glcm
from cryonet.progress import Cancelled

SHAPE = (40, 53)
windows = st.builds(
    lambda r0, c0, h, w: Window(r0, c0, min(h, SHAPE[0] - r0), min(w, SHAPE[1] - c0)),
    st.integers(0, SHAPE[0] - 1),
    st.integers(0, SHAPE[1] - 1),
    st.integers(1, 20),
    st.integers(1, 20),
)


def cut(data: xr.Dataset, window: Window) -> xr.Dataset:
    rows, cols = window.slices
    return data.isel(y=rows, x=cols)


@pytest.fixture(scope="module")
def holed(make_scene, fits) -> tuple[xr.Dataset, xr.Dataset]:
    scene = make_scene(SHAPE, seed=5, holes=0.02)
    return scene, build_stack(scene, list(LAYERS), fits=fits)


@settings(max_examples=25, deadline=None)
@given(window=windows)
def test_crop_with_halo_then_compute_is_compute_then_crop(holed, fits, window):
    scene, stack = holed
    for halo in {spec.halo for spec in LAYERS.values()}:
        names = [name for name, spec in LAYERS.items() if spec.halo == halo]
        outer = window.expand(halo, SHAPE)
        part = cut(build_stack(cut(scene, outer), names, fits=fits), window.within(outer))
        for name in names:
            np.testing.assert_array_equal(part[name], cut(stack, window)[name], err_msg=name)


@pytest.mark.parametrize("chunks", [(40, 53), (16, 16), (7, 53), (39, 52)])
def test_a_lazy_scene_gives_the_same_values(holed, fits, chunks):
    scene, stack = holed
    lazy = build_stack(scene.chunk({"y": chunks[0], "x": chunks[1]}), list(LAYERS), fits=fits)
    for name in LAYERS:
        assert isinstance(lazy[name].data, da.Array)
        assert lazy[name].dtype == np.float32
    xr.testing.assert_identical(lazy.compute(), stack)


def test_chunks_make_a_scene_in_memory_lazy(holed, fits):
    scene, stack = holed
    lazy = build_stack(scene, list(LAYERS), fits=fits, chunks=17)
    assert all(isinstance(layer.data, da.Array) for layer in lazy.values())
    xr.testing.assert_identical(lazy.compute(), stack)


def test_chunks_of_one_pixel_give_the_same_values(make_scene):
    scene = make_scene((4, 5), seed=6)
    names = ["ndsi", "slope", "roughness"]
    lazy = build_stack(scene.chunk({"y": 1, "x": 1}), names)
    xr.testing.assert_identical(lazy.compute(), build_stack(scene, names))


def test_layers_lie_on_the_scenes_grid_with_units_names_and_family(holed):
    scene, stack = holed
    assert list(stack.data_vars) == list(LAYERS)
    check_same_grid(geobox_of(stack), geobox_of(scene))
    for name, spec in LAYERS.items():
        assert stack[name].dtype == np.float32 and stack[name].dims == ("y", "x")
        assert stack[name].attrs == {
            "units": spec.units,
            "long_name": spec.long_name,
            "family": spec.family,
        }
        check_same_grid(geobox_of(stack[name]), geobox_of(scene))
    assert stack.attrs == scene.attrs | {"absent": {}}


def test_every_value_is_finite_or_nan_and_most_are_there(holed):
    _, stack = holed
    for name, layer in stack.items():
        assert not np.isinf(layer).any(), name
        assert layer.notnull().mean() > 0.7, name


def test_a_scene_without_holes_gives_layers_without_holes(make_scene, fits):
    for shape in ((1, 1), (1, 6), (7, 1), (2, 2), (9, 8)):
        stack = build_stack(make_scene(shape), fits=fits)
        for name, layer in stack.items():
            # One pixel alone makes no pair, so it has no texture.
            alone = shape == (1, 1) and LAYERS[str(name)].family == "texture"
            assert layer.notnull().all() != alone, (name, shape)


def test_a_hole_spreads_by_the_halo_and_no_further(make_scene, fits):
    scene = make_scene((9, 11))
    for variable in scene.values():
        variable[0, 0] = variable[4, 5] = np.nan
    for name, layer in build_stack(scene, fits=fits).items():
        halo = LAYERS[str(name)].halo
        expected = np.zeros((9, 11), bool)
        # Texture lives on the pairs that are left, as long as half of the window is known.
        if LAYERS[str(name)].family != "texture":
            expected[: halo + 1, : halo + 1] = True
            expected[4 - halo : 5 + halo, 5 - halo : 6 + halo] = True
        np.testing.assert_array_equal(layer.isnull(), expected, err_msg=str(name))


@pytest.mark.parametrize("lazy", [False, True])
def test_infinite_values_count_as_missing(make_scene, fits, lazy):
    scene, holed = make_scene((9, 11)), make_scene((9, 11))
    for name in scene.data_vars:
        scene[name][2, 3], scene[name][6, 8] = np.inf, -np.inf
        holed[name][2, 3] = holed[name][6, 8] = np.nan
    given_scene = scene.chunk({"y": 4, "x": 4}) if lazy else scene
    found, expected = (build_stack(s, fits=fits) for s in (given_scene, holed))
    xr.testing.assert_identical(found.compute(), expected)


def test_the_scene_is_left_as_it_was(make_scene, fits):
    scene = make_scene((6, 7), holes=0.1)
    before = scene.copy(deep=True)
    stack = build_stack(scene, fits=fits)
    for layer in stack.values():
        layer[:] = 7.0
    xr.testing.assert_identical(scene, before)


def test_without_fits_the_fitted_layers_are_absent_and_say_why(make_scene, fits):
    scene = make_scene((5, 6))
    absent = build_stack(scene).attrs["absent"]
    fitted = {name for name, spec in LAYERS.items() if spec.family in ("pca", "texture")}
    assert set(absent) == fitted and len(fitted) == 11
    assert absent["pca_1"] == ["a fit of pca"]
    assert absent["texture_asm"] == ["a fit of texture"]
    half = fits.model_copy(update={"pca": None})
    assert all(name.startswith("pca") for name in build_stack(scene, fits=half).attrs["absent"])
    with pytest.raises(LayerError, match="pca_2 needs a fit of pca"):
        build_stack(scene, ["pca_2"])


def test_absent_layers_are_reported_in_the_attributes(make_scene):
    scene = make_scene((5, 6))[["green", "nir", "coherence"]]
    stack = build_stack(scene)
    assert list(stack.data_vars) == ["green", "nir", "ndwi", "coherence"]
    assert stack.attrs["absent"]["ndsi"] == ["swir16"]
    assert stack.attrs["absent"]["s3"] == ["red", "swir16"]
    assert stack.attrs["absent"]["slope"] == ["elevation"]
    assert set(stack.attrs["absent"]) == set(STACKS["full"]) - set(stack.data_vars)
    with pytest.raises(LayerError, match="ndsi needs swir16"):
        build_stack(scene, ["ndwi", "ndsi"])


def test_a_geographic_grid_is_refused_for_terrain_and_only_for_terrain(make_scene):
    scene = make_scene((5, 6)).odc.assign_crs("EPSG:4326")
    scene = scene.assign_coords(y=scene.y / 1e5, x=scene.x / 1e4)
    with pytest.raises(GridError, match=r"not measured in metres: WGS 84\. Warp the scene"):
        build_stack(scene)
    stack = build_stack(scene, ["ndsi", "elevation", "phase_cos"])
    assert list(stack.data_vars) == ["ndsi", "elevation", "phase_cos"]


def test_the_cell_size_comes_from_the_grid(make_scene):
    fine, coarse = make_scene((8, 9)), make_scene((8, 9), cell=(40.0, -40.0))
    tan = [np.tan(np.radians(build_stack(s, ["slope"])["slope"])) for s in (fine, coarse)]
    np.testing.assert_allclose(tan[0].values, 2 * tan[1].values, rtol=1e-5)
    with pytest.raises(GridError, match="not square"):
        build_stack(make_scene((8, 9), cell=(20.0, -10.0)))


def test_progress_is_told_of_each_layer_and_can_stop_the_work(make_scene):
    class Log:
        def __init__(self) -> None:
            self.steps: list[tuple[int, int]] = []

        def step(self, done: int, total: int, message: str = "") -> None:
            self.steps.append((done, total))

    class Stop:
        def step(self, done: int, total: int, message: str = "") -> None:
            raise Cancelled

    log = Log()
    build_stack(make_scene((4, 5)), ["red", "slope"], progress=log)
    assert log.steps == [(0, 2), (1, 2), (2, 2)]
    with pytest.raises(Cancelled):
        build_stack(make_scene((4, 5)), progress=Stop())


def test_rows_that_share_a_pass_are_computed_in_one(make_scene, fits, monkeypatch):
    calls = []

    def counted(*args, **more):
        calls.append(more["measures"])
        return glcm(*args, **more)

    monkeypatch.setattr(texture, "glcm", counted)
    build_stack(make_scene((20, 21)), "texture", fits=fits)
    assert [len(measures) for measures in calls] == [8]
