"""The hostile files: how each is made, and by which way it is opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hostile_files as files
import hostile_tiffs as tiffs
import numpy as np


@dataclass(frozen=True)
class Place:
    """Where a case makes its files, and what it may name in them."""

    folder: Path
    url: str
    raster: Path
    scene: Path
    bundle: Path
    outlines: Path

    @property
    def asset(self) -> Path:
        """A file of another scene."""
        return self.scene / "optical.tif"

    def named(self, what: str) -> str:
        """What a VRT can name."""
        return str(self.raster) if what == "a file" else f"/vsicurl/{self.url}a.tif"

    def scene_copy(self) -> Path:
        return Path(shutil.copytree(self.scene, self.folder / "scene"))

    def bundle_copy(self) -> Path:
        return Path(shutil.copytree(self.bundle, self.folder / "bundle"))


@dataclass(frozen=True)
class Case:
    """A hostile file: how it is made, and by which of the worker's ways it is opened.

    `harmless` says that it may also open, within the bounds.
    """

    name: str
    opener: str
    make: Callable[[Place], Any]
    harmless: bool = False


def tif(name: str, make: Callable[..., Path], *args: Any, harmless: bool = False) -> Case:
    return Case(name, "raster", lambda p: make(p.folder / "a.tif", *args), harmless)


def vector(name: str, file: str, make: Callable[..., Path], *args: Any, **more: Any) -> Case:
    harmless = more.pop("harmless", False)
    return Case(name, "labels", lambda p: make(p.folder / file, *args, **more), harmless)


def cslc(name: str, change: Callable[[h5py.File], None], *, harmless: bool = False) -> Case:
    return Case(name, "insar", lambda p: files.cslc(p.folder, change), harmless)


def manifest(name: str, **changes: Any) -> Case:
    return Case(name, "bundle", lambda p: files.edited(p.bundle_copy(), **changes))


def weights(name: str, make: Callable[..., Path], *args: Any, **more: Any) -> Case:
    return Case(name, "bundle", lambda p: make(p.bundle_copy(), *args, **more))


TEXT = files.written
WAVELENGTH = "/metadata/processing_information/input_burst_metadata/wavelength"
TIME = "/identification/zero_doppler_start_time"

RASTERS = (
    Case("a VRT of a file", "raster", lambda p: tiffs.vrt(p.folder / "a.tif", p.named("a file"))),
    Case("a VRT of an address", "raster",
         lambda p: tiffs.vrt(p.folder / "a.tif", p.named("an address"))),
    tif("an empty file", TEXT, ""),
    tif("a deflate bomb", tiffs.deflate_bomb),
    tif("65,000 bands", tiffs.many_bands),
    *(tif(f"a TIFF cut after {n} bytes", tiffs.cut_head, n) for n in (8, 10, 100, 300)),
    *(tif(f"a TIFF cut at {share:.0%}", tiffs.cut, share) for share in (0.01, 0.3, 0.9, 0.999)),
    tif("a directory that follows itself", tiffs.cyclic),
    tif("an image whose directory follows itself", tiffs.cyclic_with_pixels, harmless=True),
    tif("overviews in a circle", tiffs.cyclic_overviews, harmless=True),
    tif("subdirectories in a circle", tiffs.cyclic_subdirectories, harmless=True),
    tif("tiles of a thousand million pixels", tiffs.tiled, 32_768),
    tif("tiles of two thousand million pixels a side", tiffs.tiled, 2**31 - 16),
    tif("tiles of 10,000 pixels a side in a small image", tiffs.tiled, 16_384),
    tif("a strip beyond the end", tiffs.strip_far_away),
    tif("a strip that swells", tiffs.strip_that_swells, harmless=True),
    tif("text of 4 GiB", tiffs.long_text, harmless=True),
    tif("two billion strips", tiffs.many_strips, harmless=True),
    tif("2³¹ pixels a side", tiffs.huge_side),
    tif("a BigTIFF of 2⁶⁰ fields", tiffs.big_tiff),
    tif("a BigTIFF of 2⁴⁸ strips", tiffs.big_tiff_counts),
    tif("a JPEG 2000 of noise", tiffs.jp2_of_noise),
    tif("a JPEG 2000 of nested boxes", tiffs.jp2_nested),
    tif("a JPEG 2000 of boxes without length", tiffs.jp2_without_length),
    tif("a codestream of 2³² pixels a side", tiffs.codestream, 2**32 - 1, 2**32 - 1, 1),
    tif("a codestream of one huge tile", tiffs.codestream, 32_000, 32_000, 1),
    tif("a codestream of 16,384 components", tiffs.codestream, 100, 100, 16_384),
    tif("a codestream without tiles", tiffs.codestream, 100, 100, 1),
    tif("a codestream of tiles of one pixel", tiffs.codestream, 30_000, 1, 1),
)  # fmt: skip

VECTORS = (
    vector("another database", "a.gpkg", files.other_database, mark=False),
    vector("another database that says it is a GeoPackage", "a.gpkg", files.other_database,
           mark=True),
    vector("a view that never ends", "a.gpkg", files.endless_view, "a"),
    vector("contents that never end", "a.gpkg", files.endless_view, "gpkg_contents"),
    vector("a column that swells", "a.gpkg", files.swelling_column),
    vector("nested arrays", "a.geojson", TEXT, "[" * 400_000),
    *(vector(f"coordinates {n} deep", "a.geojson", files.deep_geojson, n)
      for n in (30, 900, 100_000)),
    vector("a number of a million digits", "a.geojson", TEXT,
           files.FEATURE % (files.RING.replace("478100", "9" * 1_000_000), "")),
    vector("coordinates that are not finite", "a.geojson", TEXT,
           files.FEATURE % (files.RING.replace("478100", "1e999"), ""), harmless=True),
    Case("a CRS at an address", "labels",
         lambda p: files.geojson_crs(p.folder / "a.geojson", "link", {"href": f"{p.url}crs"})),
    Case("a CRS at a URL", "labels",
         lambda p: files.geojson_crs(p.folder / "a.geojson", "url", {"url": f"{p.url}crs"})),
    Case("a CRS by the name of an address", "labels",
         lambda p: files.geojson_crs(p.folder / "a.geojson", "name", {"name": f"{p.url}crs"})),
    Case("a CRS by the name of a file", "labels",
         lambda p: files.geojson_crs(p.folder / "a.geojson", "name", {"name": str(p.raster)})),
    Case("two CRSs, one at an address", "labels",
         lambda p: files.geojson_two_crs(p.folder / "a.geojson", f"{p.url}crs")),
    vector("a shapefile of 2³¹ parts", "a.shp", files.shapefile,
           (".shp", 144, b"\xff\xff\xff\x7f")),
    vector("a shapefile of 2³¹ points", "a.shp", files.shapefile,
           (".shp", 148, b"\xff\xff\xff\x7f")),
    vector("a record of 2³¹ words", "a.shp", files.shapefile,
           (".shp", 104, b"\x7f\xff\xff\xff"), (".shx", 104, b"\x7f\xff\xff\xff")),
    vector("a shapefile of 4 GiB by its header", "a.shp", files.shapefile,
           (".shp", 24, b"\x7f\xff\xff\xff"), (".shx", 24, b"\x7f\xff\xff\xff"), harmless=True),
    vector("a table of 2³¹ rows", "a.shp", files.shapefile, (".dbf", 4, b"\xff\xff\xff\x7f"),
           harmless=True),
    vector("rows of 65,535 bytes", "a.shp", files.shapefile, (".dbf", 10, b"\xff\xff"),
           harmless=True),
)  # fmt: skip

ARCHIVES = (
    vector("a zip bomb", "a.zip", files.zip_bomb, "a.gpkg"),
    vector("a zip that lies about its size", "a.zip", files.zip_bomb, "a.gpkg", said=1000),
    vector("a zip of 10,000 outlines", "a.zip", files.many_members),
    vector("a zip of zips of zips", "a.zip", files.nested_zip),
    Case("a zip of a VRT", "labels",
         lambda p: files.zipped(p.folder / "a.zip", {"a.gpkg": files.ogr_vrt(p.outlines)})),
    vector("a zip of names that climb", "a.zip", files.zipped, {"../../a.gpkg": b"GPKG"}),
    *(Case(f"a product whose coherence is a VRT of {what}", "insar",
           lambda p, what=what: [files.hyp3_zip(p.folder / "a.zip", tiffs.vrt(
               p.folder / "a.vrt", p.named(what)).read_bytes())])
      for what in ("a file", "an address")),
    Case("a product whose names climb", "insar",
         lambda p: [files.hyp3_zip(p.folder / "a.zip", files.coherence(p.folder / "a.tif"),
                                   folder="../..")]),
    Case("a product that is a bomb", "insar",
         lambda p: [files.zip_bomb(p.folder / "a.zip", "a_corr.tif")]),
    Case("a product of 5,000 files", "insar",
         lambda p: [files.hyp3_zip(p.folder / "a.zip", files.coherence(p.folder / "a.tif"),
                                   more={f"{n}.md": b"" for n in range(5000)})]),
)  # fmt: skip

METADATA = (
    Case("entities of entities", "metadata", lambda p: files.laughs(p.folder / "a.xml")),
    Case("an entity of a file", "metadata",
         lambda p: files.outside_entity(p.folder / "a.xml", p.raster.as_uri())),
    Case("an entity at an address", "metadata",
         lambda p: files.outside_entity(p.folder / "a.xml", f"{p.url}e")),
    Case("50,000 elements, each in the one before", "metadata",
         lambda p: TEXT(p.folder / "a.xml", "<a>" * 50_000 + "</a>" * 50_000)),
    *(Case(f"a product of {quantum}", "metadata",
           lambda p, quantum=quantum: files.product(p.folder / "a.xml", quantum))
      for quantum in ("1e999", "0", "nan", "9" * 10_000)),
    Case("an item of 2 MB", "metadata", lambda p: TEXT(p.folder / "a.json", " " * 2_000_000)),
    Case("an item of nested arrays", "metadata",
         lambda p: TEXT(p.folder / "a.json", "[" * 500_000)),
    *(Case(f"an item whose scale is {scale[:9]}", "metadata",
           lambda p, scale=scale: files.item(p.folder / "a.json", scale))
      for scale in ("1" + "0" * 400, "1" * 5000, "1e999", "NaN", '"1"', "{}")),
)  # fmt: skip

HDF5 = (
    Case("an image in another file", "insar",
         lambda p: files.cslc(p.folder, files.outside_link(files.other_image(p.folder)))),
    Case("an image made of another file", "insar",
         lambda p: files.cslc(p.folder, files.virtual(files.other_image(p.folder)))),
    Case("an image in raw bytes of another file", "insar",
         lambda p: files.cslc(p.folder, files.replaced(
             "/data/VV", shape=(12, 20), dtype="complex64",
             external=[(str(files.raw_image(p.folder)), 0, h5py.h5f.UNLIMITED)]))),
    cslc("an image that swells", files.swelling_image),
    cslc("a group that holds itself", files.circle, harmless=True),
    cslc("an image of 2⁴⁰ pixels", files.replaced(
        "/data/VV", shape=(2**20, 2**20), dtype="complex64", chunks=(100, 100))),
    cslc("a thousand million coordinates", files.replaced(
        "/data/x_coordinates", shape=(2**30,), dtype="f8", chunks=(1000,))),
    cslc("wavelengths by the thousand million", files.replaced(
        WAVELENGTH, shape=(2**30,), dtype="f8", chunks=(1000,))),
    cslc("three wavelengths", files.replaced(WAVELENGTH, data=np.ones(3))),
    cslc("a wavelength in words", files.replaced(WAVELENGTH, data="long")),
    cslc("days by the thousand million", files.replaced(
        TIME, shape=(2**30,), dtype="S10", chunks=(1000,))),
    cslc("an infinite EPSG code", files.replaced("/data/projection", data=np.inf)),
    cslc("EPSG codes by the thousand million", files.replaced(
        "/data/projection", shape=(2**30,), dtype="i4", chunks=(1000,))),
    cslc("coordinates in words", files.replaced(
        "/data/x_coordinates", data=np.array([b"a"] * 20))),
    *(Case(f"an HDF5 file cut at {share:.0%}", "insar",
           lambda p, share=share: files.cut_hdf5(p.folder, share))
      for share in (0.02, 0.3, 0.7, 0.99)),
)  # fmt: skip

SCENES = (
    Case("an asset up the folders", "scene",
         lambda p: files.moved_asset(p.scene_copy(), os.path.relpath(p.asset, p.folder / "scene"))),
    Case("an asset by its full path", "scene",
         lambda p: files.moved_asset(p.scene_copy(), str(p.asset))),
    Case("an asset at an address", "scene",
         lambda p: files.moved_asset(p.scene_copy(), f"{p.url}a.tif")),
    Case("an asset at an address of GDAL's", "scene",
         lambda p: files.moved_asset(p.scene_copy(), f"/vsicurl/{p.url}a.tif")),
    Case("an asset that is the folder", "scene",
         lambda p: files.moved_asset(p.scene_copy(), ".")),
    Case("an asset that is a link", "scene",
         lambda p: files.linked_asset(p.scene_copy(), p.asset)),
    Case("an item of nested objects", "scene",
         lambda p: TEXT(p.scene_copy() / "scene.json", '{"a":' * 200_000).parent),
)  # fmt: skip

BUNDLES = (
    weights("pickle as weights", files.pickle_weights),
    weights("a header of 2⁶³ bytes", files.header, "{}", length=2**63),
    weights("a header of 30 MB", files.header, "{}", length=30_000_000, data=30_000_000),
    weights("a header of 400,000 tensors", files.header,
            files.tensors(400_000, spans=lambda n: (4 * n, 4 * n + 4)), data=1_600_000),
    weights("a header beyond the end", files.header, "{}", length=1_000_000),
    weights("tensors over each other", files.header,
            files.tensors(9, spans=lambda n: (0, 4)), data=36),
    weights("tensors beyond the end", files.header,
            files.tensors(9, spans=lambda n: (2**50 + n, 2**60)), data=36),
    weights("a nested header", files.header, "[" * 200_000),
    manifest("an unknown key", surprise=1),
    manifest("a number of 400 digits", parameters=10**400),
    manifest("a network of a thousand million channels",
             model__decoder_channels=[10**9] * 5),
    manifest("a network of 100,000 channels", model__decoder_channels=[100_000] * 5),
    *(manifest(f"an encoder called {name}", model__encoder=name)
      for name in ("tu-hf-hub:evil/model", "tu-hf_hub:evil/model", "tu-local-dir:/etc",
                   "tu-../../a", "tu-", "tu-a b")),
    Case("a nested manifest", "bundle",
         lambda p: TEXT(p.bundle_copy() / "manifest.json", '{"a":' * 200_000).parent),
)  # fmt: skip

CASES = (*RASTERS, *VECTORS, *ARCHIVES, *METADATA, *HDF5, *SCENES, *BUNDLES)
