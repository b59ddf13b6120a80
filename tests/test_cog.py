"""Rasters reach the disk whole and unaltered; what is no raster is never opened."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioIOError
from rio_cogeo.cogeo import cog_validate

from cryonet.band import Band
from cryonet.classes import CLASSES
from cryonet.cog import MAX_BANDS, driver_of, open_raster, write_cog
from cryonet.errors import SceneError

PLACE = Affine(10, 0, 478000, 0, -10, 3108140)


def grid(rows: int, cols: int) -> GeoBox:
    return GeoBox((rows, cols), PLACE, "EPSG:32645")


def codes(rows: int = 6, cols: int = 9) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (1, rows, cols)).astype("uint8")


def refused(path: Path, match: str) -> None:
    """`path` is refused at once, in three parts."""
    began = time.perf_counter()
    with pytest.raises(SceneError, match=match) as caught:
        open_raster(path)
    assert time.perf_counter() - began < 1
    assert caught.value.what
    assert caught.value.rule


def test_everything_said_of_a_class_raster_is_in_the_cog(tmp_path: Path) -> None:
    data = codes(600, 700)
    colours = {c.code: c.rgb for c in CLASSES}
    path = write_cog(
        tmp_path / "classes.tif",
        data,
        grid(600, 700),
        [Band("labels", "class code")],
        nodata=255,
        colours=colours,
        tags={"region": "Khumbu · Ötztal"},
    )
    with open_raster(path) as source:
        np.testing.assert_array_equal(source.read(), data)
        assert source.descriptions == ("labels",)
        assert source.units == ("class code",)
        assert source.nodata == 255
        assert source.crs.to_epsg() == 32645
        assert source.transform == PLACE
        assert source.colorinterp == (ColorInterp.palette,)
        assert {k: source.colormap(1)[k][:3] for k in colours} == colours
        assert source.tags()["region"] == "Khumbu · Ötztal"
        assert source.overviews(1) == [2]


def test_scale_offset_units_and_names_of_every_band_survive(tmp_path: Path) -> None:
    data = np.random.default_rng(1).integers(0, 9000, (3, 40, 30)).astype("uint16")
    bands = [Band("red", "1", 1e-4, -0.1), Band("nir", "1", 2e-4, 0.0), Band("dem", "m")]
    path = write_cog(tmp_path / "a.tif", data, grid(40, 30), bands, nodata=0)
    with open_raster(path) as source:
        assert source.descriptions == ("red", "nir", "dem")
        assert source.units == ("1", "1", "m")
        assert source.scales == (1e-4, 2e-4, 1.0)
        assert source.offsets == (-0.1, 0.0, 0.0)
        np.testing.assert_array_equal(source.read(), data)


def test_floats_keep_their_nan(tmp_path: Path) -> None:
    data = np.random.default_rng(2).normal(size=(1, 513, 700)).astype("float32")
    data[0, :100] = np.nan
    path = write_cog(tmp_path / "f.tif", data, grid(513, 700), [Band("x")], nodata=float("nan"))
    with open_raster(path) as source:
        np.testing.assert_array_equal(source.read(), data)
        assert np.isnan(source.nodata)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (31, 33), (257, 511)])
def test_odd_sizes(tmp_path: Path, shape: tuple[int, int]) -> None:
    data = codes(*shape)
    path = write_cog(tmp_path / "a.tif", data, grid(*shape), [Band("x")])
    with open_raster(path) as source:
        np.testing.assert_array_equal(source.read(), data)


def test_it_is_a_valid_cog(tmp_path: Path) -> None:
    path = write_cog(tmp_path / "a.tif", codes(1100, 1030), grid(1100, 1030), [Band("x")])
    valid, errors, warnings = cog_validate(path, quiet=True)
    assert valid, (errors, warnings)


@pytest.mark.parametrize("count", [3, 4])
def test_byte_bands_are_not_taken_for_colours_or_opacity(tmp_path: Path, count: int) -> None:
    data = np.repeat(codes(), count, axis=0)
    bands = [Band(f"b{i}") for i in range(count)]
    path = write_cog(tmp_path / "a.tif", data, grid(6, 9), bands)
    with open_raster(path) as source:
        assert source.colorinterp[0] == ColorInterp.gray
        assert ColorInterp.alpha not in source.colorinterp
        assert all(flags == [MaskFlags.all_valid] for flags in source.mask_flag_enums)


def test_names_with_spaces_and_other_letters(tmp_path: Path) -> None:
    folder = tmp_path / "Ngozumpa གླེ #1?x y%20"
    folder.mkdir()
    path = write_cog(folder / "ma carte é.tif", codes(), grid(6, 9), [Band("x")])
    with open_raster(path) as source:
        np.testing.assert_array_equal(source.read(), codes())
    assert [p.name for p in folder.iterdir()] == ["ma carte é.tif"]


def test_an_array_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    for data in (codes()[0], codes(5, 9), np.repeat(codes(), 2, axis=0)):
        with pytest.raises(SceneError, match="does not fit its bands and grid"):
            write_cog(tmp_path / "a.tif", data, grid(6, 9), [Band("x")])
    assert not list(tmp_path.iterdir())


def test_colours_need_one_byte_band(tmp_path: Path) -> None:
    wide = codes().astype("float32")
    with pytest.raises(SceneError, match="colour table"):
        write_cog(tmp_path / "a.tif", wide, grid(6, 9), [Band("x")], colours={0: (1, 2, 3)})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_cog(tmp_path / "a.tif", codes(), grid(6, 9), [Band("x")])
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise RasterioIOError("no space left on device")

    monkeypatch.setattr(rasterio.shutil, "copy", fail)
    with pytest.raises(SceneError, match="no space left"):
        write_cog(path, codes() * 0, grid(6, 9), [Band("x")])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_a_short_copy_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rasterio.shutil.copy

    def lose_pixels(source: object, target: object, **options: object) -> None:
        real(source, target, **options)
        with rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as copy:
            copy.write(np.zeros((1, 6, 9), dtype="uint8"))

    monkeypatch.setattr(rasterio.shutil, "copy", lose_pixels)
    with pytest.raises(SceneError, match="whole"):
        write_cog(tmp_path / "a.tif", codes(), grid(6, 9), [Band("x")])
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from cryonet.band import Band
from cryonet.cog import write_cog
from cryonet.errors import SceneError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
data = np.random.default_rng(0).integers(0, 255, (1, 600, 600)).astype("uint8")
place = GeoBox((600, 600), Affine(10, 0, 478000, 0, -10, 3108140), "EPSG:32645")
for limit in (0, 40_000, 359_000, 361_000, 400_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_cog(sys.argv[1], data, place, [Band("x")])
        print("written")
    except SceneError as error:
        print("refused", error.what)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.tif")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    lines = done.stdout.splitlines()
    assert lines == ["refused the file cannot be written"] * 5, done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="cannot be written"):
        write_cog(tmp_path / "no" / "a.tif", codes(), grid(6, 9), [Band("x")])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "no.tif", "does not exist")
    refused(tmp_path, "does not exist")


@pytest.mark.parametrize(
    "content",
    [b"", b"II", b"not a raster at all", b"\x89PNG\r\n\x1a\n" + bytes(64), b"\x00" * 512],
)
def test_what_is_no_raster_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    refused(path, "known kind|damaged")


@pytest.mark.parametrize("target", ["/etc/hostname", "/vsicurl/http://127.0.0.1:9/a.tif"])
def test_a_vrt_that_calls_itself_tif_is_not_followed(tmp_path: Path, target: str) -> None:
    path = tmp_path / "a.tif"
    path.write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="6"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{target}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    refused(path, "known kind")


def test_files_beside_a_raster_are_not_looked_at(tmp_path: Path) -> None:
    path = write_cog(tmp_path / "a.tif", codes(), grid(6, 9), [Band("x")])
    other = write_cog(tmp_path / "b.tif", codes() * 0, grid(6, 9), [Band("x")])
    vrt = (
        '<VRTDataset rasterXSize="9" rasterYSize="6"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{other}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    (tmp_path / "a.tif.msk").write_text(vrt)
    (tmp_path / "a.tif.ovr").write_text(vrt)
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>1</NoDataValue></PAMRasterBand>"
        "</PAMDataset>"
    )
    with open_raster(path) as source:
        assert source.mask_flag_enums == ([MaskFlags.all_valid],)
        assert source.nodata is None
        assert source.overviews(1) == []


def test_too_many_bands_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "width": 1, "height": 1, "dtype": "uint8", "SPARSE_OK": True}
    for count, fine in ((MAX_BANDS, True), (MAX_BANDS + 1, False), (65_000, False)):
        with rasterio.open(path, "w", count=count, crs="EPSG:32645", transform=PLACE, **profile):
            pass
        if fine:
            open_raster(path).close()
        else:
            refused(path, "too many bands")


def sparse(path: Path, side: int, dtype: str = "uint8") -> Path:
    """A file of a few kilobytes that claims `side` × `side` pixels."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=1,
        dtype=dtype,
        tiled=True,
        blockxsize=4096,
        blockysize=4096,
        compress="deflate",
        SPARSE_OK=True,
        crs="EPSG:32645",
        transform=PLACE,
    ):
        pass
    return path


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    refused(sparse(tmp_path / "a.tif", 40_000), "too large")


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    refused(sparse(tmp_path / "a.tif", 30_000), "unpacks to far more")
    # A full Sentinel-2 tile of one class is no bomb, however well it packs.
    open_raster(sparse(tmp_path / "b.tif", 10_980)).close()


def test_truncated_tiffs_are_refused(tmp_path: Path) -> None:
    whole = write_cog(tmp_path / "a.tif", codes(), grid(6, 9), [Band("x")]).read_bytes()
    for length in (8, 100, 300):
        path = tmp_path / "cut.tif"
        path.write_bytes(whole[:length])
        refused(path, "damaged")


def test_a_cyclic_tiff_does_not_hang(tmp_path: Path) -> None:
    # One directory of two entries, no pixels, whose next directory is itself.
    entries = struct.pack("<HHII", 256, 4, 1, 8) + struct.pack("<HHII", 257, 4, 1, 8)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\x00" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 8))
    began = time.perf_counter()
    try:
        with open_raster(path) as source:
            source.overviews(1)
    except SceneError:
        pass
    assert time.perf_counter() - began < 1


def test_the_driver_follows_the_contents_not_the_name(tmp_path: Path) -> None:
    profile = {"width": 64, "height": 64, "count": 1, "dtype": "uint8", "crs": "EPSG:32645"}
    options = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
    with rasterio.open(tmp_path / "a.jp2", "w", transform=PLACE, **profile, **options) as target:
        target.write(codes(64, 64))
    path = (tmp_path / "a.jp2").rename(tmp_path / "a.tif")
    assert driver_of(path, drivers=("GTiff", "JP2OpenJPEG")) == "JP2OpenJPEG"
    refused(path, "known kind")
    with open_raster(path, drivers=("GTiff", "JP2OpenJPEG")) as source:
        np.testing.assert_array_equal(source.read(), codes(64, 64))
        assert source.transform == PLACE
