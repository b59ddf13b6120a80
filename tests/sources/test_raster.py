"""One band of a file: what its header says, and NaN where it is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from cryonet.errors import SceneError
from cryonet.grid import Window
from cryonet.sources.raster import fingerprint, open_band, read_numbers, split_reference

MakeRaster = Callable[..., Path]
WHOLE = Window(0, 0, 4, 5)


def numbers(dtype: str = "uint16") -> np.ndarray:
    return np.arange(20).reshape(4, 5).astype(dtype)


def test_a_reference_names_a_file_and_a_band(tmp_path: Path) -> None:
    assert split_reference("RGB.tif:3") == (Path("RGB.tif"), 3)
    assert split_reference("RGB.tif") == (Path("RGB.tif"), 1)
    assert split_reference(Path("C:\\scenes\\B4.tif")) == (Path("C:\\scenes\\B4.tif"), 1)
    assert split_reference("C:\\scenes\\B4.tif:2") == (Path("C:\\scenes\\B4.tif"), 2)


def test_a_file_whose_name_ends_in_a_number_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "mosaic:2"
    path.touch()
    assert split_reference(path) == (path, 1)


def test_the_header_is_read(tif: MakeRaster, place: Affine) -> None:
    path = tif("a.tif", numbers(), scale=1e-4, offset=-0.1, nodata=7, unit="1")
    band = open_band(f"{path}:1")
    assert (band.path, band.index) == (path, 1)
    assert band.grid.affine == place
    assert tuple(band.grid.shape) == (4, 5)
    assert (band.scale, band.offset, band.nodata) == (1e-4, -0.1, 7)
    assert band.integer
    assert band.stated_scale


def test_a_jpeg_2000_is_read(tmp_path: Path, place: Affine) -> None:
    data = np.random.default_rng(0).integers(1, 9000, (64, 64)).astype("uint16")
    with rasterio.open(
        tmp_path / "T45RVL_B04.jp2",
        "w",
        driver="JP2OpenJPEG",
        width=64,
        height=64,
        count=1,
        dtype="uint16",
        crs="EPSG:32645",
        transform=place,
        QUALITY=100,
        REVERSIBLE="YES",
    ) as target:
        target.write(data, 1)
    band = open_band(tmp_path / "T45RVL_B04.jp2")
    np.testing.assert_array_equal(read_numbers(band, Window(0, 0, 64, 64)), data)


@pytest.mark.parametrize("index", [0, 2, 9])
def test_a_band_out_of_range_is_refused(tif: MakeRaster, index: int) -> None:
    path = tif("a.tif", numbers())
    with pytest.raises(SceneError, match="no such band") as caught:
        open_band(f"{path}:{index}")
    assert caught.value.value == index
    assert "1 to 1" in caught.value.rule


def test_no_crs_is_refused(tif: MakeRaster) -> None:
    with pytest.raises(SceneError, match="no CRS"):
        open_band(tif("a.tif", numbers(), crs=None))


def test_no_geotransform_is_refused(tif: MakeRaster) -> None:
    with pytest.raises(SceneError, match="no place on the ground"):
        open_band(tif("a.tif", numbers(), transform=None))


def test_a_local_crs_is_refused(tif: MakeRaster) -> None:
    local = 'LOCAL_CS["mine",UNIT["metre",1]]'
    with pytest.raises(SceneError, match="local CRS"):
        open_band(tif("a.tif", numbers(), crs=local))


def test_complex_numbers_are_refused(tif: MakeRaster) -> None:
    with pytest.raises(SceneError, match="complex"):
        open_band(tif("slc.tif", numbers("complex64")))


def test_a_file_cut_short_is_refused_when_read(tif: MakeRaster) -> None:
    noise = np.random.default_rng(0).integers(0, 60000, (200, 200)).astype("uint16")
    path = tif("a.tif", noise)
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(SceneError, match="damaged"):
        read_numbers(open_band(path), Window(0, 0, 200, 200))


def test_missing_numbers_become_nan(tif: MakeRaster) -> None:
    values = read_numbers(open_band(tif("a.tif", numbers(), nodata=7)), WHOLE)
    assert values.dtype == np.float32
    assert np.argwhere(np.isnan(values)).tolist() == [[1, 2]]


def test_zeros_are_values_unless_said_otherwise(tif: MakeRaster) -> None:
    band = open_band(tif("a.tif", numbers()))
    assert read_numbers(band, WHOLE)[0, 0] == 0
    assert np.isnan(read_numbers(band, WHOLE, nodata=0)[0, 0])


def test_a_stated_nodata_takes_the_place_of_the_files(tif: MakeRaster) -> None:
    values = read_numbers(open_band(tif("a.tif", numbers(), nodata=7)), WHOLE, nodata=9)
    assert values[1, 2] == 7
    assert np.isnan(values[1, 4])


def test_infinities_are_missing(tif: MakeRaster) -> None:
    data = numbers("float32")
    data[0, 0], data[0, 1] = np.inf, -np.inf
    values = read_numbers(open_band(tif("a.tif", data)), WHOLE)
    assert np.isnan(values[0, :2]).all()
    assert np.isfinite(values).sum() == 18


def test_a_rounded_float_nodata_is_found(tif: MakeRaster) -> None:
    data = numbers("float32")
    data[0, 0] = np.float32(-3.4028234663852886e38)
    path = tif("a.tif", data)
    assert np.isnan(read_numbers(open_band(path), WHOLE, nodata=-3.4028235e38)[0, 0])


def test_a_nodata_the_type_cannot_hold_matches_nothing(tif: MakeRaster) -> None:
    values = read_numbers(open_band(tif("a.tif", numbers("uint8"))), WHOLE, nodata=-9999)
    assert np.isfinite(values).all()


def test_an_internal_mask_is_honoured(tif: MakeRaster, tmp_path: Path) -> None:
    path = tif("a.tif", numbers())
    hidden = np.full((4, 5), 255, dtype="uint8")
    hidden[2, 3] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(path, "r+") as target:
        target.write_mask(hidden)
    values = read_numbers(open_band(path), WHOLE)
    assert np.argwhere(np.isnan(values)).tolist() == [[2, 3]]


def test_only_the_window_is_read(tif: MakeRaster) -> None:
    values = read_numbers(open_band(tif("a.tif", numbers())), Window(1, 2, 2, 3))
    np.testing.assert_array_equal(values, numbers()[1:3, 2:5])


def test_a_fingerprint_names_size_and_hash_but_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "abc.bin"
    path.write_bytes(b"abc")  # the first test vector of FIPS 180-2
    assert fingerprint(path) == {
        "file": "abc.bin",
        "size": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
