"""The runs of an experiment: their results as files, and the progress of one within all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet import __version__
from cryonet.atomic import whole_file
from cryonet.comparison import block_confusions, block_numbers
from cryonet.config import TrainConfig
from cryonet.errors import ConfigError
from cryonet.progress import Progress
from cryonet.scene import open_scene
from cryonet.scene_record import scene_record


@dataclass(slots=True)
class Runs:
    """A folder of results, one file a run, and how many of all are there."""

    folder: Path
    overwrite: bool
    progress: Progress
    total: int = 0
    done: int = 0

    def result(
        self, name: str, digest: str, make: Callable[[Progress], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the result called `name`: the one that is there, or what `make` returns.

        Raises
        ------
        ConfigError
            If one is there that was made otherwise, and may not be replaced.
        """
        file = self.folder / f"{name}.json"
        kept = _kept(file, digest, overwrite=self.overwrite)
        if kept is None:
            kept = {"digest": digest, **make(_Within(self, name))}
            with whole_file(file) as work:
                work.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        self.done += 1
        self.progress.step(self.done, self.total, name)
        return kept


@dataclass(slots=True)
class _Within:
    """Progress of one run within the experiment's."""

    runs: Runs
    name: str

    def step(self, done: int, total: int, message: str = "") -> None:
        text = f"{self.name}: {done} of {total}, {message}"
        self.runs.progress.step(self.runs.done, self.runs.total, text)


def _kept(file: Path, digest: str, *, overwrite: bool) -> dict[str, Any] | None:
    """Return a result that stands already and was made the same way."""
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        stored = {}
    if stored.get("digest") == digest:
        return dict(stored)
    if overwrite:
        return None
    rule = "Choose another folder, or allow overwriting: it is then run again."
    raise ConfigError("a result was made with other settings, scenes or version", file.name, rule)


def opened(paths: Sequence[Path]) -> list[xr.Dataset]:
    """Return the scenes in some folders, each with an id."""
    scenes = [open_scene(path) for path in paths]
    for scene, path in zip(scenes, paths, strict=True):
        scene.attrs.setdefault("id", path.name)
    return scenes


def digest_of(settings: TrainConfig, scenes: Sequence[xr.Dataset], *more: object) -> str:
    """Return a hash of all that a result depends on; `more` as JSON can hold it."""
    left_out = {"scenes", "out", "title", "threads", "prefetch", "memory", "cache"}
    # An option that came later changes no result while it stands at its default.
    told = settings.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    named = {"id", "sha256", "synthetic"}
    records = [scene_record(scene).model_dump(include=named) for scene in scenes]
    text = json.dumps([told, records, __version__, *more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def block_result(
    maps: Sequence[NDArray[np.integer]],
    scenes: Sequence[xr.Dataset],
    tests: Sequence[NDArray[np.bool_]],
    *,
    block: int,
    classes: int,
) -> dict[str, Any]:
    """Return the confusion matrices of test blocks, and the scene and number of each.

    Parameters
    ----------
    maps, tests
        For each scene the class codes ``(y, x)`` of a model, and which pixels are test.
    block
        Side of a block, pixels.
    """
    blocks: list[Any] = []
    places: list[Any] = []
    for index, (codes, scene, test) in enumerate(zip(maps, scenes, tests, strict=True)):
        labels = np.asarray(scene["labels"].values)
        blocks += block_confusions(codes, labels, test, block=block, classes=classes).tolist()
        numbers = block_numbers(codes, labels, test, block=block, classes=classes)
        places += [[index, int(number)] for number in numbers]
    return {"blocks": blocks, "places": places}
