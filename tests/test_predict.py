"""Prediction: holes, channels by name, odd sizes, windows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import grid
from cryonet.bundle import Bundle
from cryonet.config import ModelConfig
from cryonet.errors import BundleError, ConfigError, CryonetError, GridError
from cryonet.grid import Window
from cryonet.layers import LAYERS
from cryonet.manifest import LayerEntry, Manifest, TrainingRecord
from cryonet.model_pass import pick_device
from cryonet.normalise import LayerStatistics
from cryonet.predict import predict_scene
from cryonet.prediction import open_prediction, read_passport, write_prediction
from cryonet.remarks import prediction_remarks
from cryonet.scene import scene_from_arrays

PLAIN = LayerStatistics(mean=0, std=1, low=-1e6, high=1e6, fill=0)


class PerPixel(torch.nn.Module):
    """Logits that are the first layers themselves: what goes in can be seen coming out."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.seen = 0

    def forward(self, image):
        self.seen += len(image)
        assert torch.isfinite(image).all()
        return image[:, : self.classes]


def make_bundle(layers=("red", "nir", "green"), classes=3, tile=64, overlap=0.25) -> Bundle:
    manifest = Manifest(
        title="per pixel",
        created="2026-01-01T00:00:00+00:00",
        model=ModelConfig(),
        layers=tuple(LayerEntry.of(LAYERS[name], PLAIN) for name in layers),
        classes=("other", "clean_ice", "debris", "lake")[:classes],
        resolution=10,
        tile=tile,
        overlap=overlap,
        parameters=0,
        weights_sha256="",
        training=TrainingRecord(
            config={}, seed=0, scenes=(), epoch=1, epochs=1, interrupted=False, seconds=0,
            device="cpu", versions={}, metrics={},
        ),
    )  # fmt: skip
    return Bundle(PerPixel(classes), manifest)


def make_scene(height=100, width=130, seed=0, **changes) -> xr.Dataset:
    generator = np.random.default_rng(seed)
    arrays = {n: generator.random((height, width), np.float32) for n in ("red", "green", "nir")}
    return scene_from_arrays({**arrays, **changes}, grid(height, width), attrs={"id": "s"})


def expected(scene: xr.Dataset, names=("red", "nir", "green")) -> np.ndarray:
    logits = np.stack([scene[n].values for n in names])
    powers = np.exp(np.where(np.isfinite(logits), logits, 0))
    return powers / powers.sum(axis=0)


@pytest.mark.parametrize("shape", [(1, 1), (7, 200), (64, 64), (65, 129)])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("flips", [False, True])
def test_any_size_is_predicted_exactly(shape, overlap, flips):
    """T16, T2 through the whole of predict_scene."""
    scene = make_scene(*shape)
    found = predict_scene(make_bundle(), scene, device="cpu", overlap=overlap, flips=flips)
    np.testing.assert_allclose(found["probabilities"].values, expected(scene), atol=1e-5)
    np.testing.assert_array_equal(found["classes"].values, expected(scene).argmax(axis=0))
    assert found.odc.geobox == scene.odc.geobox


def test_channels_go_by_name_not_by_place():
    """T6: two bands swapped in the scene change nothing."""
    scene = make_scene()
    swapped = scene[["nir", "green", "red"]].assign_attrs(scene.attrs)
    one, two = (predict_scene(make_bundle(), s, device="cpu") for s in (scene, swapped))
    np.testing.assert_array_equal(one["probabilities"].values, two["probabilities"].values)


def test_a_missing_or_renamed_band_is_refused_by_name():
    """T6."""
    scene = make_scene()
    with pytest.raises(BundleError, match="nir"):
        predict_scene(make_bundle(), scene.drop_vars("nir"), device="cpu")
    with pytest.raises(BundleError, match="nir"):
        predict_scene(make_bundle(), scene.rename(nir="nir08"), device="cpu")


def test_holes_differ_by_band_and_unite():
    """T4: 30 % random holes, NaN and infinity, other holes in each band."""
    generator = np.random.default_rng(1)
    scene = make_scene(90, 110)
    union = np.zeros((90, 110), bool)
    for name, bad in (("red", np.nan), ("nir", np.inf), ("green", -np.inf)):
        holes = generator.random((90, 110)) < 0.12
        scene[name].values[holes] = bad
        union |= holes
    assert 0.25 < union.mean() < 0.4
    found = predict_scene(make_bundle(), scene, device="cpu")
    np.testing.assert_array_equal(found["classes"].values == 255, union)
    np.testing.assert_array_equal(np.isnan(found["probabilities"].values).any(axis=0), union)
    np.testing.assert_array_equal(np.isnan(found["confidence"].values), union)
    right = np.broadcast_to(~union, (3, 90, 110))
    np.testing.assert_allclose(
        found["probabilities"].values[right], expected(scene)[right], atol=1e-5
    )


def test_real_zeros_are_data():
    """T4: zero is a value unless it was declared missing."""
    scene = make_scene(40, 40)
    scene["red"].values[:10] = 0
    found = predict_scene(make_bundle(), scene, device="cpu")
    assert (found["classes"].values != 255).all()


def test_a_tile_without_data_never_reaches_the_model():
    """T4."""
    scene = make_scene(64, 192)
    scene["red"].values[:, 64:] = np.nan
    bundle = make_bundle()
    found = predict_scene(bundle, scene, device="cpu", overlap=0)
    assert bundle.module.seen == 1
    assert (found["classes"].values[:, 64:] == 255).all()


def test_a_window_is_the_part_of_the_whole():
    scene, window = make_scene(150, 170), Window(31, 47, 20, 33)
    whole = predict_scene(make_bundle(), scene, device="cpu")
    part = predict_scene(make_bundle(), scene, device="cpu", window=window)
    cut = whole.isel(y=window.slices[0], x=window.slices[1])
    np.testing.assert_allclose(part["probabilities"].values, cut["probabilities"].values, atol=1e-5)
    assert part.odc.geobox == cut.odc.geobox
    with pytest.raises(GridError, match="window"):
        predict_scene(make_bundle(), scene, device="cpu", window=Window(140, 0, 20, 20))


def test_terrain_at_a_windows_edge_is_that_of_the_whole():
    generator = np.random.default_rng(0)
    elevation = generator.normal(5000, 3, (120, 120)).astype(np.float32)
    scene = make_scene(120, 120, elevation=elevation)
    bundle = make_bundle(layers=("slope", "tpi", "red"), tile=32)
    window = Window(50, 50, 40, 40)
    whole = predict_scene(bundle, scene, device="cpu", overlap=0)
    part = predict_scene(bundle, scene, device="cpu", window=window, overlap=0)
    cut = whole["classes"].values[window.slices]
    np.testing.assert_array_equal(part["classes"].values, cut)


def test_grid_and_device_that_do_not_fit_are_refused():
    scene = make_scene()
    coarse = scene_from_arrays(
        {n: scene[n].values for n in ("red", "green", "nir")}, grid(100, 130, cell=30)
    )
    with pytest.raises(GridError, match="30 m"):
        predict_scene(make_bundle(), coarse, device="cpu")
    with pytest.raises(ConfigError, match="tpu"):
        pick_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="cuda"):
            pick_device("cuda")


def test_confidence_runs_from_zero_to_one():
    flat = {n: np.zeros((32, 32), np.float32) for n in ("red", "green", "nir")}
    scene = scene_from_arrays(flat, grid(32, 32))
    unsure = predict_scene(make_bundle(), scene, device="cpu")
    np.testing.assert_allclose(unsure["confidence"].values, 0, atol=1e-6)
    sure = scene_from_arrays({**flat, "nir": flat["nir"] + 60}, grid(32, 32))
    found = predict_scene(make_bundle(), sure, device="cpu")
    np.testing.assert_allclose(found["confidence"].values, 1, atol=1e-6)


def test_what_is_written_comes_back(tmp_path):
    scene = make_scene(70, 90)
    scene["red"].values[5:9, 5:9] = np.nan
    found = predict_scene(make_bundle(), scene, device="cpu")
    out = write_prediction(found, tmp_path / "p ü", passport={"format": "cryonet-passport/1"})
    back = open_prediction(out)
    np.testing.assert_array_equal(back["classes"].values, found["classes"].values)
    for name in ("probabilities", "confidence"):
        np.testing.assert_allclose(back[name].values, found[name].values, atol=0.0021)
    assert list(back["class"].values) == ["other", "clean_ice", "debris"]
    assert read_passport(out)["prediction"]["tile"] == 64
    assert back.odc.geobox == found.odc.geobox


def test_the_classes_file_opens_right_in_gis(tmp_path):
    """Colour table, names and nodata are in the file itself; it is a valid COG."""
    import rasterio
    from rio_cogeo.cogeo import cog_validate

    found = predict_scene(make_bundle(), make_scene(), device="cpu")
    out = write_prediction(found, tmp_path / "p", passport={})
    for name in ("classes", "probabilities", "confidence"):
        valid, errors, _ = cog_validate(out / f"{name}.tif")
        assert valid, errors
    with rasterio.open(out / "classes.tif") as file:
        assert file.nodata == 255
        assert file.colormap(1)[2][:3] == (0xD5, 0x5E, 0x00)
        assert file.tags()["CLASS_2"] == "debris"
    with rasterio.open(out / "probabilities.tif") as file:
        assert file.descriptions == ("other", "clean_ice", "debris")
        assert file.scales == pytest.approx((1 / 250,) * 3)


def test_cancelling_raises_and_writes_nothing(tmp_path):
    from cryonet.progress import Cancelled

    def stop(done, total, message=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        predict_scene(
            make_bundle(), make_scene(), device="cpu", progress=SimpleNamespace(step=stop)
        )
    assert list(tmp_path.iterdir()) == []


class Narrow(torch.nn.Module):
    """Holds so many windows at once; more are too many for its memory."""

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__()
        self.most, self.error, self.sizes = most, error, []

    def forward(self, image):
        self.sizes.append(len(image))
        if len(image) > self.most:
            raise self.error
        return image


OUT = [torch.OutOfMemoryError("CUDA out of memory"),
       RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]  # fmt: skip


@pytest.mark.parametrize("error", OUT)
def test_the_batch_halves_when_memory_runs_out_and_says_so(error):
    """T8."""
    narrow, scene = Narrow(2, error), make_scene(150, 300)
    bundle = Bundle(narrow, make_bundle().manifest)
    found = predict_scene(bundle, scene, device="cpu", batch=5)
    np.testing.assert_allclose(found["probabilities"].values, expected(scene), atol=1e-5)
    assert narrow.sizes[:4] == [5, 2, 2, 1] and max(narrow.sizes[4:]) == 2
    assert found.attrs["batch_held"] == 2
    assert prediction_remarks(found.attrs) == [
        "Memory held 2 windows at once, fewer than were asked for."
    ]
    assert "batch_held" not in predict_scene(make_bundle(), scene, device="cpu", batch=5).attrs


def test_a_window_too_large_for_memory_is_an_error_and_others_are_not_hidden():
    scene = make_scene()
    with pytest.raises(CryonetError, match="does not fit into the memory"):
        predict_scene(Bundle(Narrow(0, OUT[0]), make_bundle().manifest), scene, device="cpu")
    other = Narrow(0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        predict_scene(Bundle(other, make_bundle().manifest), scene, device="cpu")
    assert other.sizes == [3]


@pytest.mark.parametrize("batch", [2, 5])
def test_threads_that_run_windows_of_their_own_change_no_pixel(batch):
    bundle, scene = make_bundle(tile=32), make_scene()
    bundle.module.seen = 0
    threads = torch.get_num_threads()
    before = predict_scene(bundle, scene, batch=batch, device="cpu")
    windows, bundle.module.seen = bundle.module.seen, 0
    torch.set_num_threads(3)
    try:
        found = predict_scene(bundle, scene, batch=batch, device="cpu")
    finally:
        torch.set_num_threads(threads)
    xr.testing.assert_equal(found, before)
    assert bundle.module.seen == windows
