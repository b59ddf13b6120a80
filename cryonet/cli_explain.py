"""The subcommands that explain: why the map says so at a place, and what layers are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryonet.command import Out, Overwrite
from cryonet.console import ConsoleProgress
from cryonet.errors import ConfigError
from cryonet.grid import Window
from cryonet.memory import keep_memory

#: Shares may miss this much of the evidence before more steps are advised.
COMPLETE = 0.05


def explain(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    scene: Annotated[Path, typer.Argument(help="A scene's folder.")],
    out: Out,
    at: Annotated[str | None, typer.Option(help="A pixel: LON,LAT in degrees, WGS 84.")] = None,
    polygon: Annotated[
        Path | None, typer.Option(help="The pixels in it: .gpkg, .geojson, .shp or zipped.")
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            "--class",
            help="The class asked about: all its pixels in the map, or with --at or --polygon "
            "why it, and not what the model says there.",
        ),
    ] = "",
    window: Annotated[
        str | None, typer.Option(help="Where --class looks: ROW,COL,HEIGHT,WIDTH.")
    ] = None,
    against: Annotated[
        str, typer.Option(help="Another class: why the one rather than the other.")
    ] = "",
    errors: Annotated[
        bool, typer.Option("--errors", help="What sets right pixels of --class apart from wrong.")
    ] = False,
    method: Annotated[
        str,
        typer.Option(
            help="integrated gradients, gradient x input, layer occlusion, family occlusion, "
            "family shapley or layer shapley; hyphens may stand for spaces."
        ),
    ] = "integrated gradients",
    baseline: Annotated[
        str, typer.Option(help="training mean, local rock mean or blurred.")
    ] = "training mean",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of the path, or orders drawn; the method's own.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn at random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    check: Annotated[
        bool, typer.Option("--check", help="Check whether the explanation is to be believed.")
    ] = False,
    stages: Annotated[
        bool,
        typer.Option("--stages", help="Look inside the network, too: its encoder's stages."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Explain a pixel, a polygon or a class: what each family of layers adds, with maps.

    Give one of --at, --polygon and --class. OUT holds maps, tables, a record and a picture.
    """
    from cryonet.explain.methods import METHODS
    from cryonet.explain.words import answer
    from cryonet.explain_workflow import Place, run_explanation

    place = Place(
        at=None if at is None else _point(at),
        polygon=polygon,
        target=target,
        window=None if window is None else _window(window),
        against=against,
        errors=errors,
    )
    keep_memory()
    with ConsoleProgress("explain") as progress:
        found, verdict = run_explanation(
            bundle, scene, out, place, method=method.replace("-", " "),
            baseline=baseline.replace("-", " "), steps=steps, seed=seed, device=device,
            check=check, stages=stages, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    for line in (*answer(found), *verdict):
        typer.echo(line)
    if METHODS[found.method].complete and found.gap > COMPLETE:
        typer.echo(f"the shares miss over {COMPLETE:.0%} of the evidence: give more --steps")
    if found.attrs.get("synthetic"):
        typer.echo("the scene is synthetic: this says nothing of real glaciers")
    typer.echo(f"wrote {out}")


def importance(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    scene: Annotated[Path, typer.Argument(help="A scene's folder, with labels.")],
    out: Out,
    retrained: Annotated[
        Path | None,
        typer.Option(
            help="The results.json of cryonet experiment with [importance], of the same kind "
            "of model: what retraining without each family cost."
        ),
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="ROW,COL,HEIGHT,WIDTH; all by default.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Times that pixels are shuffled.")] = 3,
    pixels: Annotated[int, typer.Option(min=1, help="Explained pixels of each class.")] = 200,
    seed: Annotated[int, typer.Option(help="Of what is drawn at random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Say what each family of layers is worth over a scene, three ways, and why these disagree.

    OUT holds a table, a record and a picture.
    """
    from cryonet.importance_workflow import run_importance

    keep_memory()
    with ConsoleProgress("importance") as progress:
        found = run_importance(
            bundle, scene, out, retrained=retrained,
            window=None if window is None else _window(window), repeats=repeats, pixels=pixels,
            seed=seed, device=device, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    columns = [*found.values(), "told_by_others"]
    typer.echo(found.table()[columns].to_string(float_format="{:.3f}".format))
    for line in found.why():
        typer.echo(line)
    typer.echo(f"wrote {out}")


def _point(text: str) -> tuple[float, float]:
    try:
        lon, lat = (float(part) for part in text.split(","))
    except ValueError:
        rule = "Write --at 86.92,27.98: longitude first, no space."
        raise ConfigError("the place is not two numbers", text, rule) from None
    return lon, lat


def _window(text: str) -> Window:
    try:
        row, col, height, width = (int(part) for part in text.split(","))
    except ValueError:
        rule = "Write --window ROW,COL,HEIGHT,WIDTH, in pixels."
        raise ConfigError("the window is not four whole numbers", text, rule) from None
    return Window(row, col, height, width)
