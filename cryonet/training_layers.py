"""What a network is trained on: the normalised layers of all scenes, in memory or on disk."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cryonet import __version__
from cryonet.atomic import whole_folder
from cryonet.config import TrainConfig
from cryonet.errors import SceneError
from cryonet.grid import Window
from cryonet.layers import Fits, LayerWindows
from cryonet.layers.spec import LayerSpec
from cryonet.layers.windows import BLOCK
from cryonet.manifest import SceneRecord
from cryonet.normalise import LayerStatistics, normalise, stream_statistics
from cryonet.stored_layers import StoredLayers

#: Layers ``(layer, y, x)``, read by ``(slice(None), *window.slices)``.
Layers = NDArray[np.float32] | StoredLayers

#: From a scene's number and its shape ``(layer, y, x)`` to where its layers shall be.
Room = Callable[[int, tuple[int, int, int]], Layers]

INDEX = "inputs.json"

#: Raised when what is stored changes its form.
_FORM = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    """The normalised layers of each scene, where all are valid, and what they learned."""

    fits: Fits
    statistics: tuple[LayerStatistics, ...]
    layers: tuple[Layers, ...]
    valid: tuple[NDArray[np.bool_], ...]


class _Index(BaseModel):
    """What a folder of stored inputs says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fits: Fits
    statistics: tuple[LayerStatistics, ...]
    shapes: tuple[tuple[int, int, int], ...]


def in_memory(number: int, shape: tuple[int, int, int]) -> Layers:
    """Return room for a scene's layers in memory."""
    return np.empty(shape, np.float32)


def raw_layers(
    scenes: Sequence[xr.Dataset], specs: Sequence[LayerSpec], fits: Fits, *, room: Room
) -> tuple[list[Layers], list[NDArray[np.bool_]]]:
    """Return each scene's layers in their own units, block by block, and where all are known.

    A lazy scene is read by blocks of 256 pixels with their halo.
    """
    found, valid = [], []
    for number, scene in enumerate(scenes):
        windows = LayerWindows(scene, [spec.name for spec in specs], fits=fits)
        layers = room(number, (len(specs), *windows.shape))
        known = np.empty(windows.shape, bool)
        for part in _blocks(windows.shape):
            block = windows[part]
            layers[(slice(None), *part.slices)] = block
            known[part.slices] = np.isfinite(block).all(axis=0)
        found.append(layers)
        valid.append(known)
    return found, valid


def _blocks(shape: tuple[int, ...]) -> Iterator[Window]:
    """Yield windows on the lattice of blocks, each pixel in one of them."""
    for row in range(0, shape[0], BLOCK):
        for col in range(0, shape[1], BLOCK):
            yield Window(row, col, min(BLOCK, shape[0] - row), min(BLOCK, shape[1] - col))


def normalise_layers(
    layers: Sequence[Layers],
    masks: Sequence[NDArray[np.bool_]],
    specs: Sequence[LayerSpec],
    *,
    given: Sequence[LayerStatistics] | None = None,
) -> Sequence[LayerStatistics]:
    """Normalise layers where they are, block by block; return the statistics.

    Statistics are those `given`, or come from the pixels of `masks` ``(y, x)`` and from
    nothing else.
    """

    def seen() -> Iterator[NDArray[np.float32]]:
        for values, mask in zip(layers, masks, strict=True):
            for part in _blocks(mask.shape):
                if mask[part.slices].any():
                    yield values[(slice(None), *part.slices)][:, mask[part.slices]]

    statistics = given or stream_statistics(seen, specs)
    for values, mask in zip(layers, masks, strict=True):
        for part in _blocks(mask.shape):
            where = (slice(None), *part.slices)
            values[where], _ = normalise(values[where], statistics)
    return statistics


def inputs_key(
    records: Sequence[SceneRecord],
    specs: Sequence[LayerSpec],
    config: TrainConfig,
    *,
    splits: Sequence[NDArray[np.uint8]],
    given: tuple[Fits, Sequence[LayerStatistics]] | None = None,
) -> str:
    """Return a hash of all that normalised layers depend on, as the name of a folder.

    `given` are fits and statistics that are not fitted to the training pixels.
    """
    kept = {"chip", "stride", "classes"}
    told = {
        "form": _FORM,
        "version": __version__,
        "scenes": [record.sha256 for record in records],
        "layers": [spec.name for spec in specs],
        "splits": [hashlib.sha256(codes.tobytes()).hexdigest() for codes in splits],
        "config": config.model_dump(mode="json", include=kept),
    }
    if given:
        told["given"] = [given[0].model_dump(mode="json"), [s.model_dump() for s in given[1]]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def store_inputs(
    target: Path,
    shapes: Sequence[tuple[int, int, int]],
    compute: Callable[[Room], Inputs],
) -> None:
    """Write inputs as the folder `target`, whole or not at all.

    Raises
    ------
    SceneError
        If the disk has not the space, which is looked at before, or refuses.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    needed = sum(StoredLayers.size_of(shape) + shape[1] * shape[2] for shape in shapes)
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise SceneError(
            "the disk is too full for the normalised layers",
            f"{target.parent}: {free / 1e9:.2f} GB free",
            f"They take {needed / 1e9:.2f} GB: free some, or name another folder as cache.",
        )
    with whole_folder(target, error=SceneError) as work:
        made = compute(lambda number, shape: StoredLayers.create(_layers(work, number), shape))
        for number, valid in enumerate(made.valid):
            np.save(_valid(work, number), valid)
        index = _Index(fits=made.fits, statistics=made.statistics, shapes=tuple(shapes))
        (work / INDEX).write_text(index.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_inputs(folder: Path) -> Inputs:
    """Return the inputs that `store_inputs` wrote; layers stay on disk.

    Raises
    ------
    SceneError
        If a file is missing or damaged.
    """
    try:
        index = _Index.model_validate_json((folder / INDEX).read_bytes())
        valid = tuple(np.load(_valid(folder, n)) for n in range(len(index.shapes)))
    except (OSError, ValueError) as error:
        rule = "Remove the folder, and it is made anew."
        raise SceneError("the stored layers are damaged", str(folder), rule) from error
    layers = tuple(StoredLayers(_layers(folder, n), shape) for n, shape in enumerate(index.shapes))
    return Inputs(index.fits, index.statistics, layers, valid)


def _layers(folder: Path, number: int) -> Path:
    return folder / f"{number:03d}.layers"


def _valid(folder: Path, number: int) -> Path:
    return folder / f"{number:03d}.valid.npy"
