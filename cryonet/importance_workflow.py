"""From a bundle's and a scene's folder to a folder about the importance of families."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from cryonet.atomic import check_replaceable, whole_folder
from cryonet.bundle import load_bundle
from cryonet.errors import SceneError
from cryonet.explain.retraining import read_retraining
from cryonet.explain.scene_importance import SceneImportance, scene_importance
from cryonet.grid import Window
from cryonet.plotting.ways import plot_ways
from cryonet.progress import SILENT, Progress
from cryonet.scene import open_scene
from cryonet.scene_passes import CHUNKS

#: What the folder holds; by the record another run knows it.
RECORD, TABLE, PICTURE = "importance.json", "importance.csv", "importance.png"


def run_importance(
    bundle: str | Path,
    scene: str | Path,
    out: str | Path,
    *,
    retrained: str | Path | None = None,
    window: Window | None = None,
    repeats: int = 3,
    pixels: int = 200,
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> SceneImportance:
    """Compare ways to say what families are worth, and write the folder, whole or not at all.

    Parameters
    ----------
    retrained
        The ``results.json`` of an experiment with ``[importance]``, of the same kind of model.
    window, repeats, pixels, seed, device
        As for `cryonet.explain.scene_importance.scene_importance`.

    Raises
    ------
    ConfigError, GridError, SceneError, BundleError
        If something given cannot be used; nothing is written then.
    """
    check_replaceable(out, marker=RECORD, overwrite=overwrite, error=SceneError)
    known = None if retrained is None else read_retraining(retrained)
    model, data = load_bundle(bundle), open_scene(scene, chunks=CHUNKS)
    found = scene_importance(
        model,
        data,
        retraining=known,
        window=window,
        repeats=repeats,
        pixels=pixels,
        seed=seed,
        device=device,
        progress=progress,
    )
    synthetic = bool(data.attrs.get("synthetic"))
    told = {
        "model": model.manifest.title,
        "weights_sha256": model.manifest.weights_sha256,
        "scene": str(data.attrs.get("id", "")),
        "synthetic": synthetic,
        "seed": seed,
        "repeats": repeats,
        "pixels": pixels,
    }
    tables = {of: found.table(of) for of in ("macro", *found.classes)}
    with whole_folder(Path(out).absolute(), error=SceneError) as folder:
        text = json.dumps({**told, **found.to_dict()}, indent=1)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
        pd.concat(tables, names=["of", "family"]).to_csv(folder / TABLE)
        title = f"{model.manifest.title} on {told['scene']}{' (synthetic)' if synthetic else ''}"
        shown = {of: found.values(of) for of in tables}
        plot_ways(shown, title=title).savefig(folder / PICTURE, dpi=150)
    return found
