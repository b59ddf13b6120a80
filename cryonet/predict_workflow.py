"""From a bundle's and a scene's folder to a prediction's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from cryonet.bundle import ITEM, load_bundle
from cryonet.ensemble import check_members
from cryonet.model_pass import ModelPass
from cryonet.passport import make_passport
from cryonet.prediction_stream import stream_prediction
from cryonet.progress import SILENT, Progress
from cryonet.scene import ITEM_NAME, open_scene, read_item
from cryonet.scene_files import SceneFiles

#: Side of the lazy scene's chunks. Pixels come from its files; the scene says what is there.
CHUNKS = 4096


def run_prediction(
    bundle: str | Path,
    scene: str | Path,
    out: str | Path,
    *,
    device: str = "auto",
    overlap: float | None = None,
    batch: int = 4,
    blend: str = "cosine",
    flips: bool = False,
    calibrated: bool = True,
    others: Sequence[str | Path] = (),
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Predict a scene with a bundle and write the prediction's folder; return it.

    With `others`, folders of further bundles, it is the prediction of the ensemble of them all;
    see `cryonet.ensemble.predict_ensemble`. The other options are those of
    `cryonet.predict.predict_scene`.
    """
    folders = [Path(bundle), *map(Path, others)]
    models, item = [load_bundle(folder) for folder in folders], read_item(scene)
    manifests = [model.manifest for model in models]
    check_members(manifests, overlap=overlap)
    data = open_scene(scene, chunks=CHUNKS)
    settings = {
        "batch": batch,
        "blend": blend,
        "flips": flips,
        "calibrated": calibrated,
        "device": device,
    }
    progress.step(0, 0, "hashing the inputs")
    passport = make_passport(manifests, scene, item, settings=settings)
    where = Path(scene)
    titles = [f"model {n}" for n in range(1, len(folders) + 1)] if others else ["model"]
    origins = {"scene": where / ITEM_NAME if where.is_dir() else where} | {
        title: folder / ITEM for title, folder in zip(titles, folders, strict=True)
    }
    with ExitStack() as stack:
        # Each model has a thread that reads, and files of its own.
        files = [stack.enter_context(SceneFiles(scene)) for _ in models]
        passes = [
            ModelPass(
                model,
                data,
                device=device,
                overlap=overlap,
                batch=batch,
                blend=blend,
                flips=flips,
                calibrated=calibrated,
                read=opened.read,
            )
            for model, opened in zip(models, files, strict=True)
        ]
        return stream_prediction(
            passes, out, passport=passport, sources=origins, overwrite=overwrite, progress=progress
        )
