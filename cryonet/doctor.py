"""What this machine has of what cryonet needs, and what to do about the rest."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil
import requests

from cryonet.sources.catalogue import CATALOGUES

#: Good; works, with less; does not work.
State = Literal["good", "poor", "bad"]

#: Packages by the names they are installed by, and a module that must import.
PACKAGES = {
    "numpy": "numpy",
    "xarray": "xarray",
    "numba": "numba",
    "rasterio": "rasterio",
    "geopandas": "geopandas",
    "torch": "torch",
    "segmentation-models-pytorch": "cryonet.models",
    "captum": "captum",
    "panel": "panel",
    "ipyleaflet": "ipyleaflet",
    "jupyterlab": "jupyterlab",
}

#: GDAL's drivers, and what needs them.
DRIVERS = {
    "GTiff": "reads GeoTIFFs",
    "COG": "writes scenes and predictions",
    "JP2OpenJPEG": "reads SAFE products of Sentinel-2",
}

#: Below these the machine is short: for a bundle of CryoNet's own size, and for a scene.
GIGABYTES, FREE_GIGABYTES = 4.0, 2.0

_INSTALL = "Install it: pip install -r requirements.txt -c constraints.txt"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` is empty where all is well."""

    name: str
    value: str
    state: State = "good"
    remedy: str = ""


def examine(
    folder: str | Path = ".", *, catalogues: bool = True, timeout: float = 5
) -> Iterator[Finding]:
    """Yield what is found, one line after the other; nothing is changed.

    Parameters
    ----------
    folder
        Where scenes and predictions are to be written.
    catalogues
        Whether to ask the catalogues for an answer, the only use of the network.
    timeout
        Seconds to wait for each.
    """
    yield _python()
    for package, module in PACKAGES.items():
        yield _package(package, module)
    yield from _drivers()
    yield _device()
    yield _memory()
    yield _disk(Path(folder))
    yield _compiled_code()
    if catalogues:
        for catalogue in CATALOGUES.values():
            yield _catalogue(catalogue.title, catalogue.url, timeout)


def _python() -> Finding:
    system = f"{platform.system()} {platform.machine()}"
    return Finding("Python", f"{platform.python_version()}, {system}")


def _package(package: str, module: str) -> Finding:
    try:
        found = version(package)
    except PackageNotFoundError:
        return Finding(package, "not installed", "bad", _INSTALL)
    try:
        import_module(module)
    except Exception as error:  # what is broken may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Finding(package, f"{found}, does not import: {reason}", "bad", _INSTALL)
    return Finding(package, found)


def _drivers() -> Iterator[Finding]:
    try:
        import pyogrio
        import rasterio
    except ImportError as error:
        yield Finding("GDAL", f"unknown: {error}", "bad", _INSTALL)
        return
    yield Finding("GDAL", str(rasterio.__gdal_version__))
    with rasterio.Env() as env:
        present = env.drivers()
    for driver, use in DRIVERS.items():
        yield _driver(driver, use, driver in present)
    yield _driver("GPKG", "reads outlines", "r" in pyogrio.list_drivers().get("GPKG", ""))


def _driver(name: str, use: str, there: bool) -> Finding:
    if there:
        return Finding(f"GDAL driver {name}", use)
    remedy = "Install rasterio and pyogrio from their wheels: pip install --force-reinstall."
    return Finding(f"GDAL driver {name}", f"missing: {use}", "bad", remedy)


def _device() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("device", "unknown without torch", "bad", _INSTALL)
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        return Finding("device", f"{device.name}, {device.total_memory / 2**30:.0f} GB")
    remedy = "Fine for the demo; train larger models on a GPU, with torch's build for CUDA."
    return Finding("device", f"CPU, {os.cpu_count()} cores", "poor", remedy)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    free, total = memory.available / 2**30, memory.total / 2**30
    value = f"{free:.1f} of {total:.1f} GB free"
    if free < GIGABYTES:
        remedy = "Close other programs, or predict with a smaller tile and batch."
        return Finding("memory", value, "poor", remedy)
    return Finding("memory", value)


def _disk(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding("disk", f"{folder} is no folder", "bad", "Name a folder that exists.")
    if not os.access(folder, os.W_OK):
        return Finding("disk", f"{folder} cannot be written to", "bad", "Name another --folder.")
    free = shutil.disk_usage(folder).free / 2**30
    if free < FREE_GIGABYTES:
        remedy = f"A scene needs up to {FREE_GIGABYTES:.0f} GB: free some, or name a --folder."
        return Finding("disk", f"{free:.1f} GB free", "poor", remedy)
    return Finding("disk", f"{free:.1f} GB free")


def _compiled_code() -> Finding:
    stated = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(stated) if stated else Path(__file__).parent / "layers"
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Finding("compiled code", "kept between runs")
    remedy = "Set NUMBA_CACHE_DIR to a folder of yours: layers then compile only once."
    return Finding("compiled code", f"cannot be kept in {folder}", "poor", remedy)


def _catalogue(name: str, url: str, timeout: float) -> Finding:
    try:
        answer = requests.get(url, timeout=timeout)
        answer.raise_for_status()
    except requests.RequestException as error:
        remedy = "Work with local files, or set HTTPS_PROXY if there is a proxy."
        return Finding(name, f"no answer: {type(error).__name__}", "poor", remedy)
    return Finding(name, f"answers, {answer.elapsed.total_seconds():.1f} s")
