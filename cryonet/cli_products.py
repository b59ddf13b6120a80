"""Subcommands that make products of a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryonet.areas import BUFFER, CORRELATION
from cryonet.command import Buffer, Correlation, Out, Overwrite
from cryonet.console import ConsoleProgress
from cryonet.outlines import MIN_AREA


def outlines(
    prediction: Annotated[Path, typer.Argument(help="A prediction's folder.")],
    out: Annotated[Path, typer.Argument(help="A file to write: .gpkg or .parquet.")],
    min_area: Annotated[
        float, typer.Option(min=0, help="Glaciers and lakes below are left out, km².")
    ] = MIN_AREA,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Take steps of about a pixel off the outlines.")
    ] = False,
    divides: Annotated[
        Path | None,
        typer.Option(help="An inventory (RGI, GLIMS) to divide glaciers by, and match them to."),
    ] = None,
    scene: Annotated[
        Path | None,
        typer.Option(help="The scene's folder, for its elevation; the linked one by default."),
    ] = None,
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
    told = ", ".join(f"{number} {name}" for name, number in counts.items())
    typer.echo(f"wrote {out}: {told}")
    if divides is None:
        typer.echo("Glaciers are divided by connection; give --divides for those of an inventory.")


def change(
    before: Annotated[Path, typer.Argument(help="The earlier prediction's folder.")],
    after: Annotated[Path, typer.Argument(help="The later prediction's folder.")],
    out: Out,
    divides: Annotated[
        Path | None, typer.Option(help="An inventory (RGI, GLIMS) to divide glaciers by.")
    ] = None,
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
