"""The report on this machine: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
from loopback import Server
from typer.testing import CliRunner

from cryonet import doctor
from cryonet.cli import app
from cryonet.doctor import Finding, examine
from cryonet.sources.catalogue import Catalogue


def report(folder: Path, **more: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(folder, **more)}


def test_this_machine_is_fit_and_every_line_that_is_not_good_has_a_remedy(tmp_path: Path) -> None:
    found = report(tmp_path, catalogues=False)
    assert {"Python", "GDAL", "GDAL driver COG", "device", "memory", "disk"} <= set(found)
    assert set(doctor.PACKAGES) <= set(found)
    assert found["rasterio"].value == importlib.metadata.version("rasterio")
    assert found["GDAL"].value == rasterio.__gdal_version__
    for finding in found.values():
        assert finding.state != "bad", finding
        assert bool(finding.remedy) == (finding.state != "good")


def test_a_package_that_is_missing_or_broken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", {"no-such-package": "none", "numpy": "no.such.module"})
    found = report(tmp_path, catalogues=False)
    assert found["no-such-package"].value == "not installed"
    assert "does not import: No module named 'no'" in found["numpy"].value
    for name in ("no-such-package", "numpy"):
        assert found[name].state == "bad" and "pip install" in found[name].remedy


def test_a_driver_that_is_missing_is_named_with_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "DRIVERS", {"NoSuchDriver": "reads tablets"})
    found = report(tmp_path, catalogues=False)["GDAL driver NoSuchDriver"]
    assert found.state == "bad" and found.value == "missing: reads tablets"


def test_little_memory_and_disk_and_no_cache_are_poor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = namedtuple("memory", "available total")
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: memory(2**30, 2**33))
    usage = shutil.disk_usage(tmp_path)._replace(free=2**29)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "none"))
    found = report(tmp_path, catalogues=False)
    assert found["memory"].value == "1.0 of 8.0 GB free" and found["memory"].state == "poor"
    assert found["disk"].value == "0.5 GB free" and found["disk"].state == "poor"
    assert found["compiled code"].state == "poor"
    assert "NUMBA_CACHE_DIR" in found["compiled code"].remedy


def test_a_folder_that_cannot_be_written_to_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report(tmp_path / "none", catalogues=False)["disk"].state == "bad"
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: mode != os.W_OK)
    assert "cannot be written" in report(tmp_path, catalogues=False)["disk"].value


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "catalogue").write_text("{}")
    started = Server(tmp_path)
    yield started.url
    started.close()


@pytest.mark.network
@pytest.mark.enable_socket
def test_catalogues_are_asked_and_those_that_do_not_answer_are_poor(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = {"A": f"{server}catalogue", "B": f"{server}none", "C": "http://127.0.0.1:9"}
    places = {name: Catalogue(name, url) for name, url in addresses.items()}
    monkeypatch.setattr(doctor, "CATALOGUES", places)
    found = report(tmp_path)
    assert found["A"].state == "good" and found["A"].value.startswith("answers")
    assert found["B"].state == "poor" and "HTTPError" in found["B"].value
    assert found["C"].state == "poor" and "ConnectionError" in found["C"].value
    assert "local files" in found["C"].remedy


def test_the_command_ends_with_1_only_if_something_does_not_work(tmp_path: Path) -> None:
    fit = CliRunner().invoke(app, ["doctor", "--offline", "--folder", str(tmp_path)])
    assert fit.exit_code == 0 and "GDAL driver COG" in fit.output and "✗" not in fit.output
    unfit = CliRunner().invoke(app, ["doctor", "--offline", "--folder", str(tmp_path / "none")])
    assert unfit.exit_code == 1 and unfit.output.count("✗") == 1
