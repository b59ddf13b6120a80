"""Interferometric products on the grid of a scene: values, records, refusals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from insar_files import BURST, GAMMA, ONE_BURST, numbers, parameters, write_cslc, write_hyp3
from odc.geo.geobox import GeoBox
from typer.testing import CliRunner

from cryonet.cli import app
from cryonet.errors import GridError, SceneError
from cryonet.insar_scene import add_insar
from cryonet.layers import build_stack
from cryonet.progress import Cancelled
from cryonet.scene import open_scene, read_item, scene_from_arrays
from cryonet.scene_info import describe
from cryonet.scene_writer import add_to_scene, write_scene
from cryonet.sources.local import import_scene

MakeProduct = Callable[..., Path]

#: Pixels of 20 m over the middle of the made-up products.
PLACE = Affine(20, 0, 478080, 0, -20, 3108080)
SHAPE = (12, 16)


@pytest.fixture
def hyp3(tif: MakeProduct, tmp_path: Path) -> MakeProduct:
    return partial(write_hyp3, tif, tmp_path)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    red = np.random.default_rng(1).uniform(0.1, 0.6, SHAPE).astype(np.float32)
    made = scene_from_arrays({"red": red}, GeoBox(SHAPE, PLACE, "EPSG:32645"))
    properties = {"datetime": "2019-07-11T05:00:00Z", "cryonet:remarks": ["kept"]}
    return write_scene(made, tmp_path / "scene", properties=properties)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def loaded(scene: Path) -> xr.Dataset:
    with open_scene(scene) as opened:
        return opened.load()


def test_a_product_comes_with_its_pair_and_leaves_the_rest_alone(
    scene: Path, hyp3: MakeProduct
) -> None:
    before = contents(scene)
    assert add_insar(scene, [hyp3()]) == scene
    after = contents(scene)
    assert set(after) == {*before, "coherence.tif", "phase.tif"}
    assert after["optical.tif"] == before["optical.tif"]
    properties = read_item(scene)["properties"]
    pair = properties["cryonet:insar"]
    assert pair["kind"] == "hyp3_gamma" and pair["looks"] == 80
    assert (pair["primary_date"], pair["secondary_date"]) == ("2019-07-04", "2019-07-16")
    assert pair["temporal_baseline_days"] == 12 and pair["native_resolution"] == 80
    assert pair["wavelength"] == pytest.approx(0.05547, abs=1e-5)
    assert pair["layover_shadow_pixels"] is None
    names = [row["file"] for row in properties["cryonet:sources"]]
    assert names == [f"{GAMMA}_corr.tif", f"{GAMMA}_wrapped_phase.tif"]
    assert all(len(row["sha256"]) == 64 for row in properties["cryonet:sources"])
    assert [row["variable"] for row in properties["cryonet:warps"]] == ["coherence", "phase"]
    assert properties["cryonet:remarks"] == [
        "kept", "the interferometric pair lies 5 days from the image",
    ]  # fmt: skip
    with rasterio.open(scene / "phase.tif") as file:
        assert file.tags()["CRYONET_INPUT"] == "measured"
    opened = loaded(scene)
    for name in ("coherence", "phase"):
        assert opened[name].attrs["native_resolution"] == 80 and opened[name].attrs["looks"] == 80
    layers = build_stack(opened, ["coherence", "phase_cos", "phase_sin"])
    assert np.isfinite(layers["phase_cos"]).any()


def test_values_are_those_of_the_product_between_its_pixels_linear(
    scene: Path, hyp3: MakeProduct
) -> None:
    add_insar(scene, [hyp3()])
    opened = loaded(scene)
    known, phase = numbers()
    # Pixel (r, c) of 20 m has its centre (r + 0.5) / 4 + 0.5 product pixels down.
    rows, cols = ((np.arange(n) + 0.5) / 4 + 0.5 for n in SHAPE)

    def linear(values: np.ndarray) -> np.ndarray:
        grid = xr.DataArray(values, dims=("y", "x"))
        return grid.interp(y=rows, x=cols).values

    inside = np.isfinite(linear(np.where(known == 0, np.nan, known)))
    assert inside.mean() > 0.5
    np.testing.assert_allclose(opened["coherence"].values[inside], linear(known)[inside], atol=0.01)
    turned = linear(np.cos(phase)) + 1j * linear(np.sin(phase))
    error = np.angle(np.exp(1j * opened["phase"].values) / turned)[inside]
    assert np.abs(error * np.abs(turned)[inside]).max() < 0.02


def test_neighbouring_bursts_fill_each_others_gaps(
    scene: Path, hyp3: MakeProduct, tmp_path: Path
) -> None:
    text = parameters(ONE_BURST, (10, 2))
    first = hyp3(BURST, text=text)
    second = hyp3(BURST.replace("372326", "372327"), text=text)
    for folder, part in ((first, np.s_[:, :3]), (second, np.s_[:, 3:])):
        for path in folder.glob("*.tif"):
            with rasterio.open(path, "r+") as file:
                values = file.read(1)
                values[part] = 0
                file.write(values, 1)
    gaps = []
    for number, products in enumerate(([first], [second], [first, second])):
        copy = tmp_path / f"copy-{number}"
        write_scene(loaded(scene), copy)
        add_insar(copy, products)
        gaps.append(np.isnan(loaded(copy)["coherence"].values))
    assert gaps[0].any() and gaps[1].any()
    np.testing.assert_array_equal(gaps[2], gaps[0] & gaps[1])


def test_images_are_made_an_interferogram_of_the_looks_asked_for(tmp_path: Path) -> None:
    grid = GeoBox((12, 10), Affine(10, 0, 478000, 0, -10, 3108160), "EPSG:32645")
    made = scene_from_arrays({"red": np.full((12, 10), 0.2, np.float32)}, grid)
    scene = write_scene(made, tmp_path / "scene")
    pair = [write_cslc(tmp_path, day) for day in ("2022-12-28", "2023-01-09")]
    add_insar(scene, pair, looks=(2, 4))
    record = read_item(scene)["properties"]["cryonet:insar"]
    assert record["looks"] == 8 and record["native_resolution"] == 20
    assert record["kind"] == "opera_cslc_pair" and record["temporal_baseline_days"] == 12
    assert np.isfinite(loaded(scene)["coherence"].values).all()


@pytest.mark.parametrize(
    ("break_it", "error", "words"),
    [
        (lambda make, scene: [], SceneError, "there is no product"),
        (
            lambda make, scene: [make(), make(BURST, text=parameters(ONE_BURST, (10, 2)))],
            SceneError,
            "not of one pair",
        ),
        (lambda make, scene: [scene], SceneError, "kind of the product is unknown"),
        (lambda make, scene: [make(coherence=False)], SceneError, "no coherence"),
    ],
)
def test_what_cannot_be_added_leaves_the_scene_as_it_was(
    scene: Path, hyp3: MakeProduct, break_it: Any, error: type[Exception], words: str
) -> None:
    before = contents(scene)
    with pytest.raises(error, match=words):
        add_insar(scene, break_it(hyp3, scene))
    assert contents(scene) == before
    assert [path.name for path in scene.parent.iterdir() if path.name.startswith(".")] == []


def test_variables_of_another_grid_are_not_added(scene: Path) -> None:
    before = contents(scene)
    grid = GeoBox((12, 17), PLACE, "EPSG:32645")
    added = scene_from_arrays({"coherence": np.full((12, 17), 0.5, np.float32)}, grid)
    with pytest.raises(GridError, match="the scene"):
        add_to_scene(scene, added, properties={})
    assert contents(scene) == before


def test_a_product_of_another_place_is_refused(tmp_path: Path, hyp3: MakeProduct) -> None:
    grid = GeoBox(SHAPE, Affine(20, 0, 578080, 0, -20, 3108080), "EPSG:32645")
    made = scene_from_arrays({"red": np.full(SHAPE, 0.2, np.float32)}, grid)
    scene = write_scene(made, tmp_path / "far")
    with pytest.raises(GridError, match="does not overlap"):
        add_insar(scene, [hyp3()])


def test_a_product_without_values_over_the_scene_is_refused(scene: Path, hyp3: MakeProduct) -> None:
    folder, before = hyp3(), contents(scene)
    for path in folder.glob("*.tif"):
        with rasterio.open(path, "r+") as file:
            values = file.read(1)
            values[:, :7] = 0
            file.write(values, 1)
    with pytest.raises(SceneError, match="no pixel of the scene has a coherence"):
        add_insar(scene, [folder])
    assert contents(scene) == before


def test_an_unwrapped_phase_and_hidden_pixels_are_recorded(scene: Path, hyp3: MakeProduct) -> None:
    codes = np.ones((6, 8), np.uint8)
    codes[2:4, 3] = 3
    add_insar(scene, [hyp3(wrapped=False, mask=codes)])
    opened = loaded(scene)
    assert opened["phase"].attrs["note"] == "wrapped from unwrapped"
    assert read_item(scene)["properties"]["cryonet:insar"]["layover_shadow_pixels"] == 2
    # The middle of product pixel (2, 3): nothing near it is known.
    assert np.isnan(opened["coherence"].values[6, 10])


def test_a_second_pair_replaces_the_first_only_if_asked(scene: Path, hyp3: MakeProduct) -> None:
    add_insar(scene, [hyp3()])
    before = contents(scene)
    burst = hyp3(BURST, text=parameters(ONE_BURST, (10, 2)))
    with pytest.raises(SceneError, match="has it already: coherence, phase"):
        add_insar(scene, [burst])
    assert contents(scene) == before
    add_insar(scene, [burst], overwrite=True)
    assert read_item(scene)["properties"]["cryonet:insar"]["looks"] == 20


def test_cancelling_leaves_the_scene_as_it_was(scene: Path, hyp3: MakeProduct) -> None:
    class Stop:
        def step(self, done: int, total: int, what: str) -> None:
            if what == "writing":
                raise Cancelled

    before = contents(scene)
    with pytest.raises(Cancelled):
        add_insar(scene, [hyp3()], progress=Stop())
    assert contents(scene) == before


def test_a_real_pair_keeps_its_statistics(shared: Path, tmp_path: Path) -> None:
    crop = shared / "insar_crop"
    dem = crop / "cropA_T005A_dem.tif"
    scene = import_scene(tmp_path / "scene", {}, dem=dem)
    add_insar(scene, [crop])
    opened = loaded(scene)
    with rasterio.open(next(crop.glob("*_cc.tif"))) as file:
        values = file.read(1)
    values = values[values != 0]
    ours = opened["coherence"].values
    ours = ours[np.isfinite(ours)]
    assert ours.mean() == pytest.approx(values.mean(), abs=0.01)
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    np.testing.assert_allclose(
        np.quantile(ours, quantiles), np.quantile(values, quantiles), atol=0.03
    )
    with rasterio.open(dem) as file:
        heights = file.read(1).astype(float)
    heights = heights[heights != 0]
    made = opened["elevation"].values
    assert np.nanmean(made) == pytest.approx(heights.mean(), rel=0.02)
    pair = read_item(scene)["properties"]["cryonet:insar"]
    assert pair["temporal_baseline_days"] == 24 and "looks" not in pair
    remarks = read_item(scene)["properties"]["cryonet:remarks"]
    assert remarks == ["the looks of the coherence are not known: its bias is not either"]
    assert describe(scene).pair == "2018-01-06 to 2018-01-30 (24 days), unknown looks"


def test_the_command(scene: Path, hyp3: MakeProduct) -> None:
    assert describe(scene).pair == ""
    found = CliRunner().invoke(app, ["scene", "add-insar", str(scene), str(hyp3())])
    assert found.exit_code == 0 and "coherence" in found.output
    assert "2019-07-04 to 2019-07-16 (12 days), 80 looks" in found.output
    again = CliRunner().invoke(app, ["scene", "add-insar", str(scene), str(hyp3())])
    assert again.exit_code == 2
