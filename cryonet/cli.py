"""The command line: each subcommand reads its options and calls one workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cryonet import __version__, workflows
from cryonet.areas import BUFFER, CORRELATION
from cryonet.cli_explain import explain, importance
from cryonet.cli_predict import predict
from cryonet.cli_products import change, correct, glims, glims_check, outlines, report
from cryonet.cli_scene import scene_app
from cryonet.command import Buffer, Correlation, Out, Overwrite, group
from cryonet.config import EXAMPLE, load_config
from cryonet.console import (
    ConsoleProgress,
    area_uncertainty_table,
    confusion_table,
    doctor_table,
    probability_table,
    score_table,
)
from cryonet.doctor import examine
from cryonet.errors import CryonetError
from cryonet.experiment_config import load_experiment
from cryonet.layers import LAYERS, layers_table
from cryonet.prediction import read_passport
from cryonet.rank import is_first_process
from cryonet.remarks import hand_remarks

app = group("Map clean ice, debris-covered ice and glacial lakes, and see why.")
layers_app = group("List and compute feature layers.")
app.add_typer(scene_app, name="scene")
app.add_typer(layers_app, name="layers")
app.command()(predict)
app.command()(explain)
app.command()(importance)
app.command()(outlines)
app.command()(change)
app.command()(correct)
app.command()(glims)
app.command("glims-check")(glims_check)
app.command()(report)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cryonet {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def doctor(
    folder: Annotated[Path, typer.Option(help="Where scenes are to be written.")] = Path(),
    offline: Annotated[bool, typer.Option("--offline", help="Ask no catalogue.")] = False,
) -> None:
    """Report what this machine has and lacks, and what to do about it."""
    with Console(stderr=True).status("examining this machine"):
        findings = list(examine(folder, catalogues=not offline))
    Console().print(doctor_table(findings))
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


LayerNames = Annotated[
    str, typer.Option(help="A stack (optical, lean, full), a family, or names with commas.")
]
FitsFile = Annotated[
    Path | None,
    typer.Option(help="What PCA and texture learned, from layers fit; else from this scene."),
]


def _listed(layers: str) -> str | list[str]:
    return layers.split(",") if "," in layers or layers in LAYERS else layers


@layers_app.command("list")
def layers_list() -> None:
    """Print every layer as a Markdown table."""
    typer.echo(layers_table())


@layers_app.command("compute")
def layers_compute(
    scene: Annotated[Path, typer.Argument(help="A scene's folder.")],
    out: Out,
    layers: LayerNames = "full",
    fits: FitsFile = None,
) -> None:
    """Compute layers of a scene and write them as one COG."""
    with ConsoleProgress("layers") as progress:
        absent = workflows.compute_layers(
            scene, out, layers=_listed(layers), fits=fits, progress=progress
        )
    for name, lacks in absent.items():
        typer.echo(f"left out {name}: it needs {', '.join(lacks)}")
    typer.echo(f"wrote {out}")


@layers_app.command("plot")
def layers_plot(
    scene: Annotated[Path, typer.Argument(help="A scene's folder.")],
    out: Annotated[Path, typer.Argument(help="The PNG file to write.")],
    layers: LayerNames = "full",
    fits: FitsFile = None,
) -> None:
    """Draw a contact sheet of a scene's layers, family by family."""
    with ConsoleProgress("layers") as progress:
        workflows.plot_layers(scene, out, layers=_listed(layers), fits=fits, progress=progress)
    typer.echo(f"wrote {out}")


@layers_app.command("check")
def layers_check(
    scene: Annotated[Path, typer.Argument(help="A scene's folder.")],
    layers: LayerNames = "full",
    fits: FitsFile = None,
) -> None:
    """Find layers that are copies of others, or sums of them."""
    with ConsoleProgress("layers") as progress:
        found = workflows.check_layers(scene, layers=_listed(layers), fits=fits, progress=progress)
    for copy in found:
        kind = "is a copy of" if len(copy.of) == 1 else "is a sum of"
        typer.echo(f"{copy.layer} {kind} {', '.join(copy.of)}")
    if not found:
        typer.echo("every layer says something of its own")
    if any(len(copy.of) == 1 for copy in found):
        raise typer.Exit(1)


@layers_app.command("fit")
def layers_fit(
    out: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    scenes: Annotated[list[Path], typer.Argument(help="Folders of training scenes.")],
) -> None:
    """Fit the principal axes and the grey limits of texture to training scenes."""
    with ConsoleProgress("fits") as progress:
        fits = workflows.fit_scenes(scenes, out, progress=progress)
    if fits.pca is not None:
        shares = ", ".join(f"{share:.1%}" for share in fits.pca.explained)
        typer.echo(f"PCA of {fits.pca.pixels:,} pixels: the axes explain {shares}")
    if fits.texture is not None:
        grey = fits.texture
        typer.echo(
            f"texture: {grey.levels} levels of {grey.variable}, {grey.low:g} to {grey.high:g}"
        )
    typer.echo(f"wrote {out}")


@app.command()
def train(
    config: Annotated[Path | None, typer.Argument(help="A TOML file.")] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a commented one.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model after a configuration; Ctrl-C keeps the best bundle so far."""
    if example:
        typer.echo(EXAMPLE, nl=False)
        return
    if config is None:
        raise CryonetError("no configuration was given", "", "Give a TOML file; see --example")
    settings = load_config(config)
    if not is_first_process():
        workflows.run_training(settings, overwrite=overwrite)
        return
    with ConsoleProgress("train") as progress:
        path = workflows.run_training(settings, overwrite=overwrite, progress=progress)
    typer.echo(f"wrote {path}; its card is {path / 'CARD.md'}")


@app.command()
def experiment(
    config: Annotated[Path, typer.Argument(help="A TOML file: models, stacks, folds, seeds.")],
    overwrite: Overwrite = False,
) -> None:
    """Compare models with equal budget and search; what is finished is not run again."""
    from cryonet.experiment import run_experiment
    from cryonet.experiment_report import write_report

    settings = load_experiment(config)
    with ConsoleProgress("experiment") as progress:
        results = run_experiment(settings, overwrite=overwrite, progress=progress)
    typer.echo(f"wrote {write_report(settings, results)}")


@app.command()
def card(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    scenes: Annotated[list[Path], typer.Argument(help="Folders of labelled scenes.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Windows run at once.")] = 4,
) -> None:
    """Score a bundle on labelled scenes, see where it fails, and write that into its card."""
    from cryonet.card_workflow import run_card

    with ConsoleProgress("card") as progress:
        path = run_card(bundle, scenes, device=device, batch=batch, progress=progress)
    typer.echo(f"wrote {path / 'CARD.md'}")


@app.command()
def evaluate(
    prediction: Annotated[Path, typer.Argument(help="A prediction's folder.")],
    labels: Annotated[Path, typer.Argument(help="A scene's folder, or a raster of class codes.")],
    split: Annotated[str, typer.Option(help="all, train, validation or test.")] = "all",
    out: Annotated[Path | None, typer.Option(help="Write the scores as JSON, too.")] = None,
    reliability: Annotated[
        Path | None, typer.Option(help="Draw how reliable the probabilities are, as PNG.")
    ] = None,
    correlation: Correlation = CORRELATION,
    buffer: Buffer = BUFFER,
) -> None:
    """Score a prediction against labels, with its probabilities and areas."""
    scores = workflows.run_evaluation(
        prediction,
        labels,
        out=out,
        split=split,
        reliability=reliability,
        correlation=correlation,
        buffer=buffer,
    )
    for remark in hand_remarks(read_passport(prediction).get("prediction", {})):
        typer.echo(remark)
    tables = (score_table, confusion_table, probability_table, area_uncertainty_table)
    Console().print(*(table(scores) for table in tables))


@app.command()
def serve(
    scene: Annotated[Path, typer.Option(help="A scene's folder.")],
    bundle: Annotated[Path | None, typer.Option(help="A bundle's folder.")] = None,
    prediction: Annotated[Path | None, typer.Option(help="A prediction's folder.")] = None,
    port: Annotated[int, typer.Option(help="Port of the dashboard.")] = 5006,
    address: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    show: Annotated[bool, typer.Option("--show", help="Open a browser.")] = False,
) -> None:
    """Open a scene in the dashboard."""
    from dashboards.server import serve as serve_dashboard

    serve_dashboard(
        scene, bundle=bundle, prediction=prediction, port=port, address=address, show=show
    )
