"""Interferometric products of every kind, made with the real naming patterns."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from affine import Affine
from insar_files import (
    BURST,
    BURSTS,
    GAMMA,
    GRID,
    ONE_BURST,
    SLC,
    numbers,
    parameters,
    write_cslc,
    write_hyp3,
)

from cryonet.errors import SceneError
from cryonet.layers.interferometry import interferogram
from cryonet.sources.insar import read_insar
from cryonet.sources.insar_product import SENTINEL1

MakeRaster = Callable[..., Path]
MakeProduct = Callable[..., Path]

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "insar_crop"


@pytest.fixture
def hyp3(tif: MakeRaster, tmp_path: Path) -> MakeProduct:
    return partial(write_hyp3, tif, tmp_path)


def check_numbers(product: Any) -> None:
    coherence, phase = numbers()
    none = coherence == 0
    np.testing.assert_array_equal(np.isnan(product.coherence), none)
    np.testing.assert_array_equal(np.isnan(product.phase), none)
    np.testing.assert_array_equal(product.coherence[~none], coherence[~none])
    assert np.nanmax(np.abs(product.phase)) <= np.pi + 1e-6
    np.testing.assert_allclose(np.cos(product.phase[~none]), np.cos(phase[~none]), atol=1e-5)
    np.testing.assert_allclose(np.sin(product.phase[~none]), np.sin(phase[~none]), atol=1e-5)


def test_gamma_product_is_read_with_its_parameters(hyp3: MakeProduct) -> None:
    product = read_insar(hyp3())
    assert product.kind == "hyp3_gamma"
    assert product.looks == 80
    assert (product.primary_date, product.secondary_date) == (date(2019, 7, 4), date(2019, 7, 16))
    assert product.wavelength == pytest.approx(0.0554658, abs=1e-6)
    assert product.native_resolution == 80.0
    assert product.grid.crs.epsg == 32645 and tuple(product.grid.affine)[:6] == tuple(GRID)[:6]
    assert not product.wrapped
    assert product.files == (f"{GAMMA}_corr.tif", f"{GAMMA}_wrapped_phase.tif")
    check_numbers(product)


@pytest.mark.parametrize("stem", [BURST, BURSTS])
def test_burst_products_are_read(hyp3: MakeProduct, stem: str) -> None:
    text = parameters(ONE_BURST, (10, 2), "Wavelength: 0.056")
    product = read_insar(hyp3(stem, text=text))
    assert product.kind == "hyp3_isce_burst"
    assert product.looks == 20
    assert (product.primary_date, product.secondary_date) == (date(2018, 6, 28), date(2019, 7, 5))
    assert product.wavelength == 0.056
    check_numbers(product)


def test_several_bursts_have_the_day_of_the_first(hyp3: MakeProduct) -> None:
    granules = (f"{ONE_BURST[0]}, S1_372327_IW3_20180628T151558_VV_4673-BURST", ONE_BURST[1])
    product = read_insar(hyp3(BURSTS, text=parameters(granules, (20, 4))))
    assert product.primary_date == date(2018, 6, 28)


def test_unwrapped_phase_is_wrapped_where_there_is_no_other(hyp3: MakeProduct) -> None:
    product = read_insar(hyp3(wrapped=False))
    assert product.wrapped and product.files[1].endswith("_unw_phase.tif")
    check_numbers(product)
    assert product.dataset()["phase"].attrs["note"] == "wrapped from unwrapped"


def test_a_product_becomes_scene_variables(hyp3: MakeProduct) -> None:
    product = read_insar(hyp3())
    scene = product.dataset()
    assert scene.odc.geobox == product.grid
    for name, units in (("coherence", "1"), ("phase", "rad")):
        assert scene[name].attrs["units"] == units
        assert scene[name].attrs["looks"] == 80
        assert scene[name].attrs["native_resolution"] == 80.0
    with pytest.raises(SceneError, match="holds no images"):
        product.images()


@pytest.mark.parametrize("inside", ["", f"{GAMMA}/"])
def test_a_zip_is_read_as_its_folder(hyp3: MakeProduct, tmp_path: Path, inside: str) -> None:
    folder, target = hyp3(), tmp_path / f"{GAMMA}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, f"{inside}{path.name}")
    product, plain = read_insar(target), read_insar(str(folder))
    np.testing.assert_array_equal(product.coherence, plain.coherence)
    np.testing.assert_array_equal(product.phase, plain.phase)
    assert product.looks == 80 and product.files == plain.files


@pytest.mark.parametrize(
    "member", ["../evil.tif", "/etc/evil.tif", "a/../../evil.tif", "..\\evil.tif", "C:\\evil.tif"]
)
def test_a_zip_that_reaches_outside_is_refused(tmp_path: Path, member: str) -> None:
    target = tmp_path / "product.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(member, "II*")
    with pytest.raises(SceneError, match="not safe to unpack"):
        read_insar(target)


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    target, link = tmp_path / "product.zip", zipfile.ZipInfo(f"{GAMMA}_corr.tif")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(SceneError, match="not safe to unpack"):
        read_insar(target)


def test_a_zip_with_two_files_of_one_name_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "product.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for folder in "ab":
            archive.writestr(f"{folder}/{GAMMA}_corr.tif", "II*")
    with pytest.raises(SceneError, match="holds a file twice"):
        read_insar(target)


def test_a_zip_too_large_or_damaged_is_refused(
    hyp3: MakeProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, target = hyp3(), tmp_path / "product.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    with monkeypatch.context() as patch:
        patch.setattr("cryonet.sources.insar._MOST_BYTES", 100)
        with pytest.raises(SceneError, match="too large"):
            read_insar(target)
    with monkeypatch.context() as patch:
        patch.setattr("cryonet.sources.insar._MOST_MEMBERS", 2)
        with pytest.raises(SceneError, match="too many files"):
            read_insar(target)
    data = bytearray(target.read_bytes())
    for at in range(200, 260):
        data[at] ^= 255
    target.write_bytes(data)
    with pytest.raises(SceneError, match="zip is damaged"):
        read_insar(target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": None}, "parameter file is missing"),
        ({"text": "x" * 70000}, "parameter file is too long"),
        ({"coherence": False}, "has no coherence"),
        ({"wrapped": False, "unwrapped": False}, "has no phase"),
        ({"place": GRID * Affine.translation(1, 0)}, "coherence and phase differ in position"),
        ({"stem": "ALOS_20190704_20190716"}, "kind of the product is unknown"),
        ({"text": parameters(SLC, (20, 0))}, "states no number of looks"),
        ({"text": "Range looks: 20\n"}, "does not state what is needed: Azimuth looks"),
        ({"text": parameters(("S1A", "S1A"), (20, 4))}, "names no granule"),
        ({"text": parameters(SLC, (20, 4), "Wavelength: C band")}, "states no wavelength"),
    ],
)
def test_bad_folders_are_refused(hyp3: MakeProduct, change: dict[str, Any], message: str) -> None:
    folder = hyp3(**change)
    with pytest.raises(SceneError, match=message) as caught:
        read_insar(folder)
    assert caught.value.what and caught.value.rule.endswith(".")


def test_a_folder_of_two_products_is_refused(hyp3: MakeProduct) -> None:
    folder = hyp3()
    (folder / "other_corr.tif").write_bytes(b"")
    with pytest.raises(SceneError, match="several products"):
        read_insar(folder)


def test_what_is_no_product_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="does not exist"):
        read_insar(tmp_path / "none")
    with pytest.raises(SceneError, match="kind of the product is unknown"):
        read_insar(tmp_path)
    (tmp_path / "note.dat").write_text("nothing")
    with pytest.raises(SceneError, match="kind of the product is unknown"):
        read_insar(tmp_path / "note.dat")
    with pytest.raises(SceneError, match="make no pair"):
        read_insar([tmp_path / "note.dat", tmp_path / "note.dat"])


def test_gamma_pair_is_read_from_a_folder_and_from_two_files(tif: MakeRaster) -> None:
    coherence, phase = numbers()
    one = tif("x_20180106-20180130_VV_8rlks_flat_eqa_cc.tif", coherence, nodata=0)
    two = tif("x_20180106-20180130_VV_8rlks_eqa_unw.tif", phase, nodata=0)
    for product in (read_insar(one.parent), read_insar([one, two]), read_insar([two, one])):
        assert product.kind == "gamma_pair"
        assert product.looks is None and product.wavelength is None
        assert product.primary_date == date(2018, 1, 6)
        assert product.secondary_date == date(2018, 1, 30)
        assert product.wrapped
        check_numbers(product)
        assert "looks" not in product.dataset()["coherence"].attrs


def test_bad_gamma_pairs_are_refused(tif: MakeRaster, tmp_path: Path) -> None:
    coherence, phase = numbers()
    one = tif("x_20180106-20180130_cc.tif", coherence)
    with pytest.raises(SceneError, match="has no phase"):
        read_insar(tmp_path)
    two = tif("x_20180106-20180211_unw.tif", phase)
    with pytest.raises(SceneError, match="different dates"):
        read_insar([one, two])
    with pytest.raises(SceneError, match="has no coherence"):
        read_insar([two])
    three = tif("y_20180106-20180130_unw.tif", phase)
    with pytest.raises(SceneError, match="several products"):
        read_insar(tmp_path)
    read_insar([one, three])
    none = tif("z_20180106-20180130_cc.tif", np.zeros_like(coherence))
    with pytest.raises(SceneError, match="no pixel has a coherence"):
        read_insar([none, three])
    wild = tif("w_20180106-20180130_cc.tif", coherence * 100)
    with pytest.raises(SceneError, match="is not coherence"):
        read_insar([wild, three])


def test_the_real_pair_is_read() -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared sample of GAMMA products is not here")
    product = read_insar(SHARED)
    assert product.kind == "gamma_pair" and product.wrapped
    assert product.coherence.shape == (60, 100) and product.grid.crs.epsg == 4326
    assert product.primary_date == date(2018, 1, 6)
    # 1/720 of a degree at 19.4 degrees north: 153.7 m by 145.8 m.
    assert product.native_resolution == pytest.approx(math.sqrt(153.7 * 145.8), rel=0.003)
    known = np.isfinite(product.coherence)
    assert known.mean() > 0.5 and 0.2 < np.nanmean(product.coherence) < 0.9
    assert np.nanmax(np.abs(product.phase)) <= np.pi + 1e-6


@pytest.fixture
def cslc(tmp_path: Path) -> MakeProduct:
    return partial(write_cslc, tmp_path)


def test_a_cslc_pair_gives_an_interferogram(cslc: MakeProduct) -> None:
    late, early = cslc("2023-01-09"), cslc("2022-12-28")
    for path in ([late, early], early.parent):
        product = read_insar(path)
        assert product.kind == "opera_cslc_pair"
        assert product.files == (early.name, late.name)
        assert product.primary_date == date(2022, 12, 28)
        assert product.secondary_date == date(2023, 1, 9)
        assert product.wavelength == 0.05546576 and product.looks == 1
        assert product.native_resolution == pytest.approx(math.sqrt(50), abs=1e-3)
        assert tuple(product.grid.affine)[:6] == (5, 0, 478000, 0, -10, 3108160)
    found = interferogram(*product.images(), looks=(3, 5))
    assert found["coherence"].shape == (4, 4) and found["coherence"].attrs["looks"] == 15
    assert tuple(found.odc.geobox.affine)[:6] == (25, 0, 478000, 0, -30, 3108160)
    with h5py.File(early) as one, h5py.File(late) as two:
        cross = (one["/data/VV"][:] * two["/data/VV"][:].conj())[:3, :5].sum()
    assert float(found["phase"][0, 0]) == pytest.approx(np.angle(cross), abs=1e-5)
    with pytest.raises(SceneError, match="holds no interferogram"):
        product.dataset()


def test_the_wavelength_of_sentinel1_stands_in(cslc: MakeProduct) -> None:
    name = "/metadata/processing_information/input_burst_metadata/wavelength"
    pair = [cslc("2022-12-28", **{name: None}), cslc("2023-01-09")]
    assert read_insar(pair).wavelength == pytest.approx(SENTINEL1)
    assert pytest.approx(0.05546576, rel=1e-6) == SENTINEL1


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("/data/VV", None, "holds no image"),
        ("/data/VV", np.ones((12, 20)), "holds no complex image"),
        ("/data/VV", np.ones((12, 21), np.complex64), "another grid than its image"),
        ("/data/VV", h5py.ExternalLink("other.h5", "/data/VV"), "holds no image"),
        ("/data/projection", None, "has no grid"),
        ("/data/projection", np.int32(1), "has no CRS"),
        ("/data/x_coordinates", 5.0 * np.arange(20) ** 2, "uneven grid"),
        ("/data/x_coordinates", 478012.5 + 5.0 * np.arange(20), "images differ in position"),
        ("/data/projection", np.int32(32644), "images differ in CRS"),
        ("/identification/zero_doppler_start_time", b"yesterday", "has no date"),
        ("/identification/zero_doppler_start_time", None, "one image has no date"),
    ],
)
def test_bad_cslc_files_are_refused(cslc: MakeProduct, part: str, value: Any, message: str) -> None:
    pair = [cslc("2022-12-28"), cslc("2023-01-09", **{part: value})]
    with pytest.raises(SceneError, match=message):
        read_insar(pair)


def test_cslc_files_that_make_no_pair_are_refused(cslc: MakeProduct, tmp_path: Path) -> None:
    one = cslc("2022-12-28")
    with pytest.raises(SceneError, match="pair of images is needed"):
        read_insar(tmp_path)
    image = np.ones((12, 20), np.complex64)
    two = cslc("2023-01-09", **{"/data/VV": None, "/data/HH": image})
    with pytest.raises(SceneError, match="differ in polarisation"):
        read_insar([one, two])
    two.write_bytes(two.read_bytes()[:900])
    with pytest.raises(SceneError, match="not sound HDF5"):
        read_insar([one, two])
    with pytest.raises(SceneError, match="does not exist"):
        read_insar([one, tmp_path / "none.h5"])


def test_pixels_that_lie_in_another_file_are_not_read(cslc: MakeProduct, tmp_path: Path) -> None:
    pair = [cslc("2022-12-28"), cslc("2023-01-09")]
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(12 * 20 * 8))
    with h5py.File(pair[1], "a") as file:
        del file["/data/VV"]
        stored = [(str(secret), 0, secret.stat().st_size)]
        file.create_dataset("/data/VV", (12, 20), np.complex64, external=stored)
    with pytest.raises(SceneError, match="holds no image"):
        read_insar(pair)


def test_layover_and_shadow_of_a_product_are_left_out(hyp3: MakeProduct, tmp_path: Path) -> None:
    # GAMMA adds codes up: 1 tested, 2 and 4 layover, 8 and 16 shadow.
    codes = np.ones((6, 8), np.uint8)
    codes[0, 0], codes[5, 7] = 25, 0
    for number, place in ((3, (2, 3)), (5, (2, 4)), (9, (2, 5)), (17, (2, 6))):
        codes[place] = number
    plain, folder = read_insar(hyp3()), hyp3(mask=codes)
    target = tmp_path / "product.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"{GAMMA}/{path.name}")
    for where in (folder, target):
        product = read_insar(where)
        dark = np.zeros((6, 8), bool)
        dark[0, 0] = dark[2, 3:7] = True
        # The first had no value before.
        assert product.hidden == 4 and product.files[-1] == f"{GAMMA}_ls_map.tif"
        for name in ("coherence", "phase"):
            expected = np.where(dark, np.nan, getattr(plain, name))
            np.testing.assert_array_equal(getattr(product, name), expected)
    assert plain.hidden is None


def test_a_mask_of_another_grid_is_refused(hyp3: MakeProduct) -> None:
    with pytest.raises(SceneError, match="ls_map"):
        read_insar(hyp3(mask=np.ones((6, 9), np.uint8)))


def test_static_layers_hide_samples_of_both_images(cslc: MakeProduct, tmp_path: Path) -> None:
    pair = [cslc("2022-12-28"), cslc("2023-01-09")]
    codes = np.zeros((12, 20), np.int8)
    codes[3, 4], codes[5, 6], codes[7, 8] = 1, 2, 3
    static = cslc("2014-04-03", **{"/data/VV": None, "/data/layover_shadow_mask": codes})
    for given in ([*pair, static], tmp_path):
        product = read_insar(given)
        assert product.hidden == 3 and product.files[-1] == static.name
        for image in (product.primary, product.secondary):
            np.testing.assert_array_equal(image == 0, codes != 0)
    with pytest.raises(SceneError, match="pair of images is needed"):
        read_insar([pair[0], static])
    x = 478007.5 + 5.0 * np.arange(20)
    parts = {"/data/VV": None, "/data/layover_shadow_mask": codes, "/data/x_coordinates": x}
    other = cslc("2014-04-05", **parts)
    with pytest.raises(SceneError, match="images and their mask"):
        read_insar([*pair, other])
