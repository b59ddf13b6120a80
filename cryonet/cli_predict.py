"""The subcommand that predicts: one scene or many, in this process or on a cluster."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryonet.command import Out, Overwrite
from cryonet.console import ConsoleProgress
from cryonet.errors import ConfigError, SceneError
from cryonet.memory import keep_memory
from cryonet.prediction import read_passport
from cryonet.remarks import prediction_remarks

if TYPE_CHECKING:
    from cryonet.predict_scenes import ScenesReport

#: The folder beside the predictions of many scenes that holds all of them as one.
MOSAIC = "mosaic"


def predict(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    scene: Annotated[
        Path,
        typer.Argument(help="A scene's folder; or a folder or STAC collection of many scenes."),
    ],
    out: Out,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overlap: Annotated[
        float | None, typer.Option(help="Share of a window, 0 to 0.5; the bundle's by default.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Windows run at once.")] = 4,
    blend: Annotated[str, typer.Option(help="cosine, linear or constant.")] = "cosine",
    flips: Annotated[bool, typer.Option("--flips", help="Average eight orientations.")] = False,
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", help="Another bundle: average them, and map where they disagree."),
    ] = None,
    uncalibrated: Annotated[
        bool, typer.Option("--uncalibrated", help="Leave the probabilities as the model has them.")
    ] = False,
    backend: Annotated[str, typer.Option(help="auto, torch or onnxruntime (CPU).")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32; on a GPU bf16 or fp16 are faster, and compared with it.")
    ] = "fp32",
    scheduler: Annotated[
        str | None,
        typer.Option(help="Compute on a dask cluster: its address or file, or local."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of --scheduler local.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch in each worker.")
    ] = None,
    crs: Annotated[
        str | None, typer.Option(help="Of the mosaic of many scenes; that of most by default.")
    ] = None,
    without: Annotated[
        bool, typer.Option("--no-mosaic", help="Of many scenes make no mosaic.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Predict a scene, or many and a mosaic of them: COGs of classes, probabilities, confidence.

    Of many scenes OUT holds a prediction each, by the scene's id, and mosaic. Run again, what is
    finished is kept.
    """
    from cryonet.predict_scenes import run_predictions
    from cryonet.predict_workflow import run_prediction
    from cryonet.scene_collection import is_one_scene
    from cryonet.scene_passes import PassOptions

    options = PassOptions(
        device, overlap, batch, blend, flips, not uncalibrated, backend, precision
    )
    how: dict[str, Any] = {"others": others or (), "scheduler": scheduler, "workers": workers}
    how |= {"threads": threads, "overwrite": overwrite}
    keep_memory()
    single = is_one_scene(scene)
    if single and crs:
        raise ConfigError("one scene has no mosaic", crs, "Its map has the scene's own CRS.")
    with ConsoleProgress("predict") as progress:
        if single:
            path = run_prediction(bundle, scene, out, **asdict(options), **how, progress=progress)
            report = None
        else:
            mosaic = None if without else MOSAIC
            how |= {"options": options, "mosaic": mosaic, "crs": crs, "progress": progress}
            report = run_predictions(bundle, scene, out, **how)
    if report is not None:
        _tell(report, out)
        return
    for remark in prediction_remarks(read_passport(path)["prediction"]):
        typer.echo(remark)
    typer.echo(f"wrote {path}")


def _tell(report: ScenesReport, out: Path) -> None:
    """Say what became of many scenes.

    Raises
    ------
    SceneError
        If any failed.
    """
    for name in report.written:
        for remark in prediction_remarks(read_passport(out / name)["prediction"]):
            typer.echo(f"{name}: {remark}")
    typer.echo(f"wrote {len(report.written)} predictions to {out}; {len(report.kept)} were there")
    for name, problem in report.failed.items():
        typer.echo(f"{name} failed: {problem}", err=True)
    if report.failed:
        count = len(report.written) + len(report.kept) + len(report.failed)
        raise SceneError(
            f"{len(report.failed)} of {count} scenes failed",
            ", ".join(report.failed),
            "There is no mosaic yet: mend or remove them, and run it again; the others are kept.",
        )
    if report.mosaic is not None:
        typer.echo(f"wrote {report.mosaic}")
