"""One model over a large raster, file to file, by several programs: what they share, and each.

All read the same 12 float32 bands, run windows of 512 pixels with a quarter of overlap, four at
a time, and write classes and probabilities (bytes, steps of 1/250) as tiled, compressed GeoTIFF.
The peers hold sums of the size of the raster; where a program brings its own way of blending, it
is used. cryonet writes more: confidence, overviews, checksums and a passport.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window as RasterWindow
from torch import nn

TILE, OVERLAP, BATCH, CLASSES = 512, 0.25, 4, 4
STRIDE = round(TILE * (1 - OVERLAP))
LAYERS = (
    "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16",
    "swir22", "elevation", "coherence",
)  # fmt: skip

#: From the raster's file and a model to the blended sums ``(class, y, x)``.
Sweep = Callable[[Path, nn.Module], np.ndarray]


class Null(nn.Module):
    """No work: the logits are the first four bands."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the first bands."""
        return image[:, :CLASSES]


def small_network() -> nn.Module:
    """Return CryoNet with a small encoder, random weights from a fixed seed."""
    from cryonet.config import ModelConfig
    from cryonet.models import build_model

    config = ModelConfig(encoder="tu-mobilenetv3_small_100", decoder_channels=(48, 32, 16))
    return build_model(config, layers=len(LAYERS), classes=CLASSES, seed=0).eval()


MODELS: dict[str, Callable[[], nn.Module]] = {"null model": Null, "small CryoNet": small_network}


def make_scene_folder(folder: Path, side: int) -> Path:
    """Write a synthetic scene, a pattern of 1024² pixels repeated, as one file of 12 bands."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    from cryonet.scene_writer import write_scene
    from cryonet.synthetic import make_scene

    small = make_scene(1024, seed=0).drop_vars("labels")
    pattern = np.stack([np.nan_to_num(small[name].values) for name in LAYERS]).astype("float32")
    geobox = GeoBox((side, side), Affine(10, 0, 300000, 0, -10, 3300000), "EPSG:32645")
    write_scene(small.isel(x=slice(0, 64), y=slice(0, 64)), folder)
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": len(LAYERS), "height": side,
        "width": side, "crs": "EPSG:32645", "transform": geobox.transform, "nodata": np.nan,
        "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "YES",
        "interleave": "pixel",
    }  # fmt: skip
    with rasterio.open(folder / "bands.tif", "w", **profile) as target:
        for index, name in enumerate(LAYERS, start=1):
            target.set_band_description(index, name)
        for top in range(0, side, 512):
            rows = np.arange(top, min(top + 512, side)) % 1024
            row = np.tile(pattern[:, rows], (1, 1, -(-side // 1024)))[:, :, :side]
            target.write(row, window=RasterWindow(0, top, side, len(rows)))
    item = json.loads((folder / "scene.json").read_text())
    bands = {b["name"]: b for a in item["assets"].values() for b in a.get("bands", ())}
    item["assets"] = {
        "bands": {
            "href": "./bands.tif",
            "roles": ["data"],
            "bands": [
                {
                    "name": n,
                    "unit": bands[n].get("unit", "1"),
                    "data_type": "float32",
                    "nodata": "nan",
                }
                for n in LAYERS
            ],
        }
    }
    (folder / "scene.json").write_text(json.dumps(item))
    return folder


def cryonet_files(scene: Path, model: nn.Module, out: Path) -> None:
    """Predict with cryonet, from the scene's folder to the prediction's."""
    from cryonet.bundle import Bundle
    from cryonet.config import ModelConfig
    from cryonet.layers import LAYERS as TABLE
    from cryonet.manifest import LayerEntry, Manifest, TrainingRecord
    from cryonet.model_pass import ModelPass
    from cryonet.normalise import LayerStatistics
    from cryonet.prediction_stream import stream_prediction
    from cryonet.scene import open_scene
    from cryonet.scene_files import SceneFiles

    plain = LayerStatistics(mean=0, std=1, low=-1e6, high=1e6, fill=0)
    record = TrainingRecord(
        config={}, seed=0, scenes=(), epoch=1, epochs=1, interrupted=False, seconds=0,
        device="cpu", versions={}, metrics={},
    )  # fmt: skip
    manifest = Manifest(
        title="benchmark", created="2026-01-01T00:00:00+00:00", model=ModelConfig(),
        layers=tuple(LayerEntry.of(TABLE[name], plain) for name in LAYERS),
        classes=("other", "clean_ice", "debris", "lake"), resolution=10, tile=TILE,
        overlap=OVERLAP, parameters=0, weights_sha256="", training=record,
    )  # fmt: skip
    data = open_scene(scene, chunks=4096)
    passport = {"settings": {"batch": BATCH}, "versions": {}}
    with SceneFiles(scene) as files:
        one = ModelPass(Bundle(model, manifest), data, device="cpu", batch=BATCH, read=files.read)
        stream_prediction([one], out, passport=passport)


def _all_bands(file: Path) -> torch.Tensor:
    with rasterio.open(file) as source:
        return torch.from_numpy(source.read())[None]


def _starts(side: int) -> list[int]:
    return sorted({*range(0, max(side - TILE, 0) + 1, STRIDE), max(side - TILE, 0)})


def naive(file: Path, model: nn.Module) -> np.ndarray:
    """Go over the raster in a plain loop, each window read alone, equal weights."""
    with rasterio.open(file) as source, torch.inference_mode():
        height, width = source.shape
        sums = np.zeros((CLASSES, height, width), np.float32)
        count = np.zeros((height, width), np.float32)
        places = [(row, col) for row in _starts(height) for col in _starts(width)]
        for first in range(0, len(places), BATCH):
            part = places[first : first + BATCH]
            read = [source.read(window=RasterWindow(c, r, TILE, TILE)) for r, c in part]
            found = model(torch.from_numpy(np.stack(read))).numpy()
            for (row, col), values in zip(part, found, strict=True):
                sums[:, row : row + TILE, col : col + TILE] += values
                count[row : row + TILE, col : col + TILE] += 1
        return sums / count


def monai(file: Path, model: nn.Module) -> np.ndarray:
    """MONAI's SlidingWindowInferer with Gaussian weights."""
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer((TILE, TILE), BATCH, OVERLAP, mode="gaussian")
    with torch.inference_mode():
        found: np.ndarray = inferer(_all_bands(file), model)[0].numpy()
    return found


def torchgeo(file: Path, model: nn.Module) -> np.ndarray:
    """torchgeo's RasterDataset and GridGeoSampler; torchgeo leaves the stitching to its users."""
    from cryonet.models.torchvision_schemas import import_smp

    import_smp()
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, Units

    data = RasterDataset([str(file)])
    sampler = GridGeoSampler(data, size=TILE, stride=STRIDE, units=Units.PIXELS)
    loader = DataLoader(data, BATCH, sampler=sampler, collate_fn=stack_samples)
    with rasterio.open(file) as source, torch.inference_mode():
        height, width = source.shape
        inverse = ~source.transform
        sums = np.zeros((CLASSES, height, width), np.float32)
        count = np.zeros((height, width), np.float32)
        for sample in loader:
            found = model(sample["image"]).numpy()
            for values, where in zip(found, sample["bounds"], strict=True):
                col, row = (round(n) for n in inverse * _corner(where))
                # Its windows begin at the lower left, and reach beyond the raster.
                inside = np.s_[max(-row, 0) : height - row, max(-col, 0) : width - col]
                part = values[:, *inside]
                place = np.s_[max(row, 0) : row + TILE, max(col, 0) : col + TILE]
                sums[:, *place] += part
                count[place] += 1
        return sums / np.maximum(count, 1)


def _corner(where: object) -> tuple[float, float]:
    x, y = where[0], where[1]  # type: ignore[index]
    return x.start, y.stop


def toolbelt(file: Path, model: nn.Module) -> np.ndarray:
    """pytorch-toolbelt's ImageSlicer and TileMerger with pyramid weights."""
    from cryonet.models.torchvision_schemas import import_smp

    import_smp()
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger

    with rasterio.open(file) as source:
        image = np.moveaxis(source.read(), 0, -1)
    slicer = ImageSlicer(image.shape, TILE, STRIDE, weight="pyramid")
    tiles = [np.moveaxis(tile, -1, 0) for tile in slicer.split(image)]
    merger = TileMerger(slicer.target_shape, CLASSES, slicer.weight)
    with torch.inference_mode():
        for first in range(0, len(tiles), BATCH):
            batch = torch.from_numpy(np.stack(tiles[first : first + BATCH]))
            merger.integrate_batch(model(batch), slicer.crops[first : first + BATCH])
    merged = np.moveaxis(merger.merge().numpy(), 0, -1)
    found: np.ndarray = np.moveaxis(slicer.crop_to_orignal_size(merged), -1, 0)
    return found


SWEEPS: dict[str, Sweep] = {
    "naive loop": naive,
    "MONAI": monai,
    "torchgeo": torchgeo,
    "pytorch-toolbelt": toolbelt,
}

#: The package of each peer.
PACKAGES = {
    "naive loop": "torch",
    "MONAI": "monai",
    "torchgeo": "torchgeo",
    "pytorch-toolbelt": "pytorch_toolbelt",
}


def peer_files(sweep: Sweep, scene: Path, model: nn.Module, out: Path) -> None:
    """Predict with a peer, and write classes and probabilities."""
    file = scene / "bands.tif"
    logits = torch.from_numpy(sweep(file, model))
    shares = torch.softmax(logits, dim=0, out=logits).numpy()
    with rasterio.open(file) as source:
        profile = source.profile | {
            "dtype": "uint8", "nodata": 255, "compress": "deflate", "zlevel": 3,
            "interleave": "band",
        }  # fmt: skip
    out.mkdir()
    with rasterio.open(out / "classes.tif", "w", **{**profile, "count": 1}) as target:
        target.write(shares.argmax(axis=0).astype(np.uint8), 1)
    with rasterio.open(out / "probabilities.tif", "w", **{**profile, "count": CLASSES}) as target:
        for number, share in enumerate(shares, start=1):
            target.write(np.rint(share * 250).astype(np.uint8), number)
