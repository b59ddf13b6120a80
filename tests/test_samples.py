"""Public samples: from a mirror, from a server, and what comes of a wrong file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pooch
import pytest
import rasterio
from affine import Affine
from loopback import Server
from shapely.geometry import box
from typer.testing import CliRunner

from cryonet.cli import app
from cryonet.errors import CryonetError
from cryonet.file_hash import file_sha256
from cryonet.sample_scene import sample_scene
from cryonet.samples import MIRROR, SAMPLES, Sample, fetch_sample
from cryonet.scene import open_scene, read_item
from cryonet.sources.local import import_scene

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMES = ("colour.tif", "infrared.tif", "outlines.gpkg")
network = [pytest.mark.network, pytest.mark.enable_socket]


def write_raster(path: Path, data: np.ndarray) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", width=data.shape[2], height=data.shape[1], count=len(data),
        dtype="uint8", crs="EPSG:32645", transform=Affine(30, 0, 478000, 0, -30, 3108140),
    ) as file:  # fmt: skip
        file.write(data)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with files of the form of the Everest sample."""
    folder = tmp_path / "served"
    folder.mkdir()
    rng = np.random.default_rng(0)
    write_raster(folder / NAMES[0], rng.integers(20, 250, (3, 20, 24), np.uint8))
    write_raster(folder / NAMES[1], rng.integers(20, 250, (1, 20, 24), np.uint8))
    shapes = [box(478100, 3107700, 478500, 3108000)]
    gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32645").to_file(folder / NAMES[2])
    return folder


@pytest.fixture
def sample(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    """A sample of those files, at an address where nothing answers, with an empty cache."""
    digests = {name: file_sha256(files / name) for name in NAMES}
    made = Sample("small", "free", "http://127.0.0.1:9/", digests)
    monkeypatch.setitem(SAMPLES, "small", made)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.delenv(MIRROR, raising=False)
    return made


@pytest.fixture
def server(files: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    started = Server(files)
    moved = Sample(sample.title, sample.terms, started.url, sample.files)
    monkeypatch.setitem(SAMPLES, "small", moved)
    yield started
    started.close()


class TestFromAServer:
    pytestmark = network

    def test_files_are_fetched_once(self, server: Server, files: Path) -> None:
        for _ in range(2):
            found = fetch_sample("small")
        assert server.asked == [f"/{name}" for name in NAMES]
        assert tuple(found) == NAMES
        for name, path in found.items():
            assert path.read_bytes() == (files / name).read_bytes()

    def test_a_server_that_is_busy_for_a_while_is_asked_again(self, server: Server) -> None:
        server.failures = 2
        assert len(fetch_sample("small")) == 3 and len(server.asked) == 5

    def test_a_server_that_stays_busy_is_named_with_the_way_out(self, server: Server) -> None:
        server.failures = 99
        with pytest.raises(CryonetError, match=r"cannot be fetched: .*colour.tif.*--mirror"):
            fetch_sample("small")

    def test_nothing_that_answers_is_named_too(self, sample: Sample) -> None:
        with pytest.raises(CryonetError, match=r"cannot be fetched: .*127.0.0.1:9/colour.tif"):
            fetch_sample("small")

    def test_a_wrong_file_is_refused_and_not_kept(
        self, server: Server, files: Path, tmp_path: Path
    ) -> None:
        (files / NAMES[0]).write_bytes(b"something else")
        with pytest.raises(CryonetError, match="not the one expected"):
            fetch_sample("small")
        assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []

    def test_outlines_may_lie_at_an_address_with_their_hash(
        self, server: Server, files: Path, tmp_path: Path
    ) -> None:
        digest = file_sha256(files / NAMES[2])
        bands = {"red": f"{files / NAMES[0]}:1"}
        url = f"{server.url}{NAMES[2]}#sha256={digest}"
        for number in range(2):
            scene = import_scene(
                tmp_path / f"scene-{number}", bands, labels={"lake": url}, scale=1 / 255, offset=0
            )
        assert server.asked == [f"/{NAMES[2]}"]
        row = read_item(scene)["properties"]["cryonet:labels"]["files"][0]
        assert row["url"] == url and row["sha256"] == digest and row["pixels"] > 0
        for wrong, words in (
            (f"{server.url}{NAMES[2]}", "the address has no hash"),
            (f"{server.url}{NAMES[2]}#sha256={'0' * 64}", "not the one expected"),
        ):
            with pytest.raises(CryonetError, match=words):
                import_scene(
                    tmp_path / "none", bands, labels={"lake": wrong}, scale=1 / 255, offset=0
                )
            assert not (tmp_path / "none").exists()

    def test_a_scene_comes_of_it_with_its_terms(self, server: Server, tmp_path: Path) -> None:
        found = CliRunner().invoke(app, ["scene", "sample", "small", str(tmp_path / "scene")])
        assert found.exit_code == 0, found.output
        assert "free" in found.output
        with open_scene(tmp_path / "scene") as scene:
            assert set(scene.data_vars) == {"red", "green", "blue", "nir", "labels"}
            assert set(np.unique(scene["labels"])) == {0, 1, 2}
        properties = read_item(tmp_path / "scene")["properties"]
        assert properties["cryonet:terms"] == "free" and properties["synthetic"] is False


def test_a_mirror_takes_the_place_of_the_network(
    sample: Sample, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The folder itself, or one above it; by argument or by the environment.
    for place in (files, files.parent):
        assert fetch_sample("small", mirror=place)[NAMES[1]] == files / NAMES[1]
    monkeypatch.setenv(MIRROR, str(files))
    assert fetch_sample("small")[NAMES[2]] == files / NAMES[2]


def test_a_mirror_with_other_files_is_refused(sample: Sample, files: Path) -> None:
    (files / NAMES[1]).write_bytes(b"something else")
    with pytest.raises(CryonetError, match=r"not that of the sample: .*infrared.tif"):
        fetch_sample("small", mirror=files)
    (files / NAMES[1]).unlink()
    with pytest.raises(CryonetError, match="mirror lacks a file"):
        fetch_sample("small", mirror=files)


def test_an_unknown_sample_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CryonetError, match=r"no such sample: nowhere. Choose from .*everest"):
        sample_scene("nowhere", tmp_path / "scene")
    assert list(tmp_path.iterdir()) == []


def test_the_real_sample_is_the_scene_of_the_first_results(tmp_path: Path) -> None:
    if not (SHARED / "everest_landsat7").exists():
        pytest.skip("the real files are not here: see data/README.md")
    scene = sample_scene("everest", tmp_path / "scene", mirror=SHARED)
    with open_scene(scene) as opened:
        shares = [float((opened["labels"] == code).mean()) for code in range(4)]
    np.testing.assert_allclose(shares, (0.460, 0.424, 0.115, 0), atol=6e-4)


def test_the_addresses_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for sample in SAMPLES.values():
        assert sample.source.startswith("https://") and sample.source.endswith("/")
        assert all(len(digest) == 64 for digest in sample.files.values())
