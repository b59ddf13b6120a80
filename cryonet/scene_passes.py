"""Models over one scene on disk: how every process that predicts a part of it opens them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cryonet.bundle import Bundle
from cryonet.model_pass import ModelPass
from cryonet.progress import SILENT, Progress
from cryonet.scene import open_scene
from cryonet.scene_files import SceneFiles

#: Side of the lazy scene's chunks. Pixels come from its files; the scene says what is there.
CHUNKS = 4096


@dataclass(frozen=True, slots=True)
class PassOptions:
    """How models go over a scene; see `cryonet.predict.predict_scene`."""

    device: str = "auto"
    overlap: float | None = None
    batch: int = 4
    blend: str = "cosine"
    flips: bool = False
    calibrated: bool = True
    backend: str = "auto"
    precision: str = "fp32"


@contextmanager
def scene_passes(
    models: Sequence[Bundle],
    scene: str | Path,
    options: PassOptions,
    progress: Progress = SILENT,
) -> Iterator[list[ModelPass]]:
    """Give a pass of each model over the scene in a folder; its files are open meanwhile.

    Raises
    ------
    SceneError, BundleError, GridError, ConfigError
        As `cryonet.scene.open_scene` and `cryonet.model_pass.ModelPass`, which tells `progress`.
    """
    data = open_scene(scene, chunks=CHUNKS)
    with ExitStack() as stack:
        # Each model has a thread that reads, and files of its own.
        files = [stack.enter_context(SceneFiles(scene)) for _ in models]
        yield [
            ModelPass(model, data, read=opened.read, progress=progress, **asdict(options))
            for model, opened in zip(models, files, strict=True)
        ]
