"""The check of GLIMS packages: each rule broken once in a good package, by tools not ours."""

from __future__ import annotations

import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
import shapely.affinity
from test_glims import make_folders, submission
from typer.testing import CliRunner

from cryonet.cli import app
from cryonet.errors import SceneError
from cryonet.glims_check import check_package
from cryonet.glims_package import MEMBERS
from cryonet.glims_workflow import run_glims

Frame = gpd.GeoDataFrame


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """A prediction, and the package made of it."""
    where = tmp_path_factory.mktemp("built")
    made, _ = make_folders(where)
    run_glims(made, where / "glims.zip", submission())
    return made, where / "glims.zip"


@pytest.fixture
def package(built, tmp_path) -> Path:
    return Path(shutil.copy(built[1], tmp_path))


def repack(package: Path, change: Callable[[Path], None]) -> Path:
    """Return the package after a change to its files."""
    folder = package.with_suffix("")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    change(folder)
    made = package.with_name("changed.zip")
    with zipfile.ZipFile(made, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return made


def edited(table: str, edit: Callable[[Frame], Frame]) -> Callable[[Path], None]:
    """Return a change to a table; GDAL writes it again, with text fields of 20 bytes or less."""

    def change(folder: Path) -> None:
        path = folder / f"{table}.shp"
        frame = pyogrio.read_dataframe(path)
        for file in folder.glob(f"{table}.*"):
            file.unlink()
        found = edit(frame)
        columns = [c for c in found.columns if c != "geometry"]
        values = []
        for name in columns:
            column = found[name]
            if column.dtype.kind == "M":
                values.append(column.to_numpy().astype("datetime64[D]"))
            elif column.dtype.kind in "fi":
                values.append(column.to_numpy())
            else:
                values.append(column.fillna("").to_numpy().astype("U"))
        shapes = found.geometry.to_numpy()
        kind = "LineString" if table == "segments" else "Polygon"
        pyogrio.raw.write(
            path, shapely.to_wkb(shapes), values, columns, geometry_type=kind,
            crs=found.crs.to_string(), driver="ESRI Shapefile", encoding="UTF-8",
        )  # fmt: skip

    return change


def put(column: str, value: object, row: int = 0) -> Callable[[Frame], Frame]:
    def edit(frame: Frame) -> Frame:
        return frame.assign(**{column: frame[column].mask(frame.index == row, value)})

    return edit


def shaped(make: Callable[[object], object], row: int = 0) -> Callable[[Frame], Frame]:
    def edit(frame: Frame) -> Frame:
        shapes = list(frame.geometry)
        shapes[row] = make(shapes[row])
        return frame.set_geometry(shapes, crs=frame.crs)

    return edit


def bow(shape: shapely.Polygon) -> shapely.Polygon:
    west, south, east, north = shape.bounds
    return shapely.Polygon([(west, south), (east, north), (east, south), (west, north)])


def opened(line: shapely.LineString) -> shapely.LineString:
    return shapely.LineString(line.coords[:-1])


def moved(shape: object) -> object:
    return shapely.affinity.translate(shape, yoff=0.05)


def rows_by_type(kind: str) -> int:
    order = ["glac_bound"] * 3 + ["intrnl_rock", "debris_cov", "supra_lake", "pro_lake"]
    return order.index(kind)


DAY = np.datetime64("2030-01-01")

BROKEN = {
    "glaciers lacks the field glac_id": ("glaciers", lambda f: f.drop(columns="glac_id")),
    "glaciers.area is of type C": ("glaciers", lambda f: f.assign(area="1")),
    "images.orig_id has 120 bytes": ("images", put("orig_id", "x" * 120)),
    "images.platform has no value in 1 rows": ("images", put("platform", "")),
    "glaciers has the unknown line type snow": ("glaciers", put("line_type", "snow")),
    "session has 2 rows": ("session", lambda f: f.loc[[0, 0]]),
    "glaciers is not in longitude": ("glaciers", lambda f: f.to_crs("EPSG:32645")),
    "glaciers has 1 invalid geometries": ("glaciers", shaped(bow)),
    "segments has 1 rings that are not closed": ("segments", shaped(opened)),
    "segments reaches beyond 180": (
        "segments", shaped(lambda s: shapely.affinity.translate(s, xoff=100)),
    ),
    "has no glac_bound": ("glaciers", put("glac_id", "G010000E10000N", 3)),
    "is no identifier of GLIMS": ("glaciers", lambda f: f.assign(glac_id="RGI60-15")),
    "lies elsewhere than its outline": (
        "glaciers", lambda f: f.assign(glac_id="G1" + f["glac_id"].str[2:]),
    ),
    "local_id C0 stands for several glaciers": ("glaciers", lambda f: f.assign(local_id="C0")),
    "segments has other rings": ("segments", lambda f: f.iloc[1:]),
    "an image_id or seg_id comes twice": ("images", lambda f: f.assign(image_id=1)),
    "img_ids names the image 7": ("glaciers", put("img_ids", "1,7")),
    "session.anlys_time lies in the future": ("session", lambda f: f.assign(anlys_time=DAY)),
    "glaciers.anlys_time lies before src_date": (
        "glaciers", lambda f: f.assign(anlys_time=np.datetime64("2020-08-01")),
    ),
    "src_date lies outside the days": (
        "glaciers", lambda f: f.assign(src_date=np.datetime64("2020-10-01")),
    ),
    "segments.loc_unc_x is not above 0": ("segments", put("loc_unc_x", 0.0)),
    "glaciers.area is not that of the polygons in 1 rows": (
        "glaciers", lambda f: f.assign(area=f["area"].where(f.index != 3, 2 * f["area"])),
    ),
    "min_elev lies above max_elev": ("glaciers", put("min_elev", 9000)),
    "1 polygons of debris_cov do not lie": (
        "glaciers", shaped(moved, rows_by_type("debris_cov")),
    ),
    "1 polygons of supra_lake do not lie": (
        "glaciers", shaped(moved, rows_by_type("supra_lake")),
    ),
    "1 polygons of intrnl_rock do not lie": (
        "glaciers", shaped(moved, rows_by_type("intrnl_rock")),
    ),
    "1 polygons of pro_lake do not lie": (
        "glaciers", put("line_type", "pro_lake", rows_by_type("supra_lake")),
    ),
    "glaciers has no glac_bound": (
        "glaciers", lambda f: f[f["line_type"] != "glac_bound"].reset_index(drop=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_each_rule_is_seen_broken(package, fault):
    found = check_package(repack(package, edited(*BROKEN[fault])))
    assert any(fault in told for told in found.faults), found.faults


def test_a_good_package_written_anew_by_gdal_stays_good(package):
    for table in ("session", "glaciers", "segments", "images"):
        found = check_package(repack(package, edited(table, lambda f: f)))
        assert found.faults == ()
        package = package.with_name("changed.zip").rename(package.with_name(f"{table}.zip"))
    more = repack(package, edited("glaciers", lambda f: f.assign(our_own=1)))
    assert check_package(more).faults == (), "fields of one's own are allowed"


def test_files_that_lack_or_are_too_many(package, tmp_path):
    gone = repack(package, lambda folder: (folder / "images.prj").unlink())
    assert check_package(gone).faults == ("images.prj is missing",)
    more = repack(package, lambda folder: (folder / "virus.exe").write_bytes(b"MZ"))
    assert check_package(more).faults == ("virus.exe is no file of a package",)
    blank = repack(package, lambda folder: (folder / "processing.txt").write_text(" "))
    assert "processing.txt is empty" in check_package(blank).faults
    assert not (tmp_path / "virus.exe").exists()


def test_what_is_no_package_is_refused(package, tmp_path):
    with pytest.raises(SceneError, match="no package"):
        check_package(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(SceneError, match="damaged"):
        check_package(tmp_path / "text.zip")
    out = tmp_path / "bomb.zip"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in MEMBERS:
            archive.writestr(name, bytes(2**24))
    with pytest.raises(SceneError, match="far more than it is"):
        check_package(out)
    broken = repack(package, lambda f: (f / "session.shp").write_bytes(b"no shapefile"))
    with pytest.raises(SceneError, match="no shapefile"):
        check_package(broken)

    def unclosed(folder: Path) -> None:
        """Move the last point of the first ring, in the bytes of the file."""
        file = folder / "glaciers.shp"
        data = bytearray(file.read_bytes())
        parts, points = (int.from_bytes(data[k : k + 4], "little") for k in (144, 148))
        starts = [int.from_bytes(data[152 + 4 * k : 156 + 4 * k], "little") for k in range(parts)]
        last = 152 + 4 * parts + 16 * (([*starts, points])[1] - 1)
        data[last : last + 8] = struct.pack("<d", struct.unpack("<d", data[last : last + 8])[0] + 1)
        file.write_bytes(data)

    faults = check_package(repack(package, unclosed)).faults
    assert faults == ("glaciers has 1 rings that are not closed",)

    def cut(folder: Path) -> None:
        file = folder / "glaciers.shp"
        file.write_bytes(file.read_bytes()[:300])

    found = CliRunner().invoke(app, ["glims-check", str(repack(package, cut))])
    assert found.exit_code == 2
    bad = repack(package, edited("images", put("platform", "")))
    told = CliRunner().invoke(app, ["glims-check", str(bad)])
    assert told.exit_code == 2 and "images.platform has no value" in told.output


def test_a_package_that_breaks_a_rule_is_not_left(built, tmp_path, monkeypatch):
    """Were a line type written wrong, nothing would be left."""
    from cryonet import glims_workflow

    real = glims_workflow.glims_tables

    def wrong(*args, **options):
        made = real(*args, **options)
        return {**made, "glaciers": put("line_type", "snow")(made["glaciers"])}

    monkeypatch.setattr(glims_workflow, "glims_tables", wrong)
    with pytest.raises(SceneError, match="breaks rules: glaciers has the unknown line type snow"):
        run_glims(built[0], tmp_path / "glims.zip", submission())
    assert list(tmp_path.iterdir()) == []
