"""Subcommands that make products of a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cryonet.areas import BUFFER, CORRELATION
from cryonet.command import Buffer, Correlation, Out, Overwrite
from cryonet.console import ConsoleProgress
from cryonet.correction_record import correction_lines
from cryonet.glims_submission import state_submission
from cryonet.outlines import MIN_AREA
from cryonet.prediction import read_passport
from cryonet.remarks import hand_remarks

Prediction = Annotated[Path, typer.Argument(help="A prediction's folder.")]
MinArea = Annotated[float, typer.Option(min=0, help="Glaciers and lakes below are left out, km².")]
Smooth = Annotated[
    bool, typer.Option("--smooth", help="Take steps of about a pixel off the outlines.")
]
Divides = Annotated[
    Path | None,
    typer.Option(help="An inventory (RGI, GLIMS) to divide glaciers by, and name them."),
]
SceneFolder = Annotated[
    Path | None, typer.Option(help="The scene's folder; the linked one by default.")
]


def outlines(
    prediction: Prediction,
    out: Annotated[Path, typer.Argument(help="A file to write: .gpkg or .parquet.")],
    min_area: MinArea = MIN_AREA,
    smooth: Smooth = False,
    divides: Divides = None,
    scene: SceneFolder = None,
    correlation: Correlation = CORRELATION,
    buffer: Buffer = BUFFER,
    overwrite: Overwrite = False,
) -> None:
    """Draw the outlines of glaciers, their parts and lakes, with attributes of the RGI."""
    from cryonet.outlines_workflow import run_outlines

    with ConsoleProgress("outlines") as progress:
        counts = run_outlines(
            prediction,
            out,
            min_area=min_area,
            smooth=smooth,
            divides=divides,
            scene=scene,
            correlation=correlation,
            buffer=buffer,
            overwrite=overwrite,
            progress=progress,
        )
    _say_hand(prediction)
    typer.echo(f"wrote {out}: {_counted(counts)}")
    if divides is None:
        typer.echo("Glaciers are divided by connection; give --divides for those of an inventory.")


def change(
    before: Annotated[Path, typer.Argument(help="The earlier prediction's folder.")],
    after: Annotated[Path, typer.Argument(help="The later prediction's folder.")],
    out: Out,
    divides: Divides = None,
    correlation: Correlation = CORRELATION,
    buffer: Buffer = BUFFER,
    overwrite: Overwrite = False,
) -> None:
    """Compare two predictions of one area: ice and lakes gained and lost, with a map."""
    from cryonet.change_workflow import run_change

    with ConsoleProgress("change") as progress:
        total = run_change(
            before,
            after,
            out,
            divides=divides,
            correlation=correlation,
            buffer=buffer,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(
        f"ice {total.before:.3f} → {total.after:.3f} km²: lost {total.loss:.3f} ± "
        f"{total.loss_pm:.3f}, gained {total.gain:.3f} ± {total.gain_pm:.3f}"
    )
    typer.echo(f"wrote {out}")


def correct(
    prediction: Prediction,
    corrections: Annotated[
        Path, typer.Argument(help="Polygons: .gpkg, .geojson, .shp or zipped; later ones win.")
    ],
    out: Out,
    field: Annotated[
        str, typer.Option(help="The column with the class, name or number.")
    ] = "class",
    by: Annotated[str, typer.Option(help="Who drew them, where their column by is empty.")] = "",
    comment: Annotated[str, typer.Option(help="Why, where their column comment is empty.")] = "",
    overwrite: Overwrite = False,
) -> None:
    """Burn polygons drawn by hand into a prediction; the model's own map is kept beside."""
    from cryonet.correct_workflow import run_correct

    with ConsoleProgress("correct") as progress:
        done = run_correct(
            prediction, corrections, out, field=field, by=by, comment=comment,
            overwrite=overwrite, progress=progress,
        )  # fmt: skip
    for line in correction_lines(done.rows):
        typer.echo(line)
    typer.echo(f"wrote {out}: {done.record['changed']:,} pixels changed class")


def glims(
    prediction: Prediction,
    out: Annotated[Path, typer.Argument(help="The package to write: .zip.")],
    analyst: Annotated[
        list[str] | None, typer.Option(help="'Surname, Given names'; repeat it for several.")
    ] = None,
    submitter: Annotated[
        str | None, typer.Option(help="Who sends it: 'Surname, Given names'.")
    ] = None,
    organisation: Annotated[str | None, typer.Option(help="That of analyst and submitter.")] = None,
    region: Annotated[str, typer.Option(help="The name of the ground.")] = "",
    centre: Annotated[int | None, typer.Option(help="Number of the regional centre.")] = None,
    image: Annotated[
        list[str] | None, typer.Option(help="The provider's id of the image, if not the scene's.")
    ] = None,
    platform: Annotated[str, typer.Option(help="What carried the instrument: landsat-7.")] = "",
    instrument: Annotated[str, typer.Option(help="What took the image: ETM+.")] = "",
    geolocation: Annotated[
        float | None, typer.Option(help="How well the image is placed, metres.")
    ] = None,
    divides: Divides = None,
    scene: SceneFolder = None,
    min_area: MinArea = MIN_AREA,
    smooth: Smooth = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a package for the GLIMS database, and read it back against the rules."""
    from cryonet.glims_workflow import run_glims

    submission = state_submission(
        analyst or (), submitter, organisation, region=region, centre=centre, images=image or (),
        platform=platform, instrument=instrument, geolocation=geolocation,
    )  # fmt: skip
    with ConsoleProgress("glims") as progress:
        counts, left_out = run_glims(
            prediction, out, submission, divides=divides, scene=scene, min_area=min_area,
            smooth=smooth, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    _say_hand(prediction)
    typer.echo(f"wrote {out}: {_counted(counts)}")
    if left_out:
        typer.echo(f"left out {left_out} lakes: too small, or at no glacier")


def glims_check(package: Annotated[Path, typer.Argument(help="A package: .zip.")]) -> None:
    """Hold a GLIMS package against the rules; tell what breaks them."""
    from cryonet.glims_check import check_package

    found = check_package(package)
    for fault in found.faults:
        typer.echo(fault)
    if found.faults:
        raise typer.Exit(2)
    typer.echo(f"{package} keeps the rules: {_counted(found.counts)}")


def report(
    prediction: Annotated[Path, typer.Argument(help="A prediction's folder.")],
    out: Annotated[Path, typer.Argument(help="The page to write: .html.")],
    scene: Annotated[
        Path | None, typer.Option(help="The scene's folder; the linked one by default.")
    ] = None,
    bundle: Annotated[
        list[Path] | None,
        typer.Option(help="A model's folder, for its card; the linked ones by default."),
    ] = None,
    correlation: Correlation = CORRELATION,
    buffer: Buffer = BUFFER,
    overwrite: Overwrite = False,
) -> None:
    """Write one page about a prediction: maps, areas, scores, confidence, where it is from."""
    from cryonet.report_workflow import run_report

    with ConsoleProgress("report") as progress:
        path = run_report(
            prediction,
            out,
            scene=scene,
            bundles=bundle or (),
            correlation=correlation,
            buffer=buffer,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")


def _say_hand(prediction: Path) -> None:
    for remark in hand_remarks(read_passport(prediction).get("prediction", {})):
        typer.echo(remark)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
