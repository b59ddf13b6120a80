"""The command line: each subcommand reads its options and calls one workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from cryonet import __version__, workflows
from cryonet.config import EXAMPLE, load_config
from cryonet.console import ConsoleProgress, confusion_table, doctor_table, score_table
from cryonet.doctor import examine
from cryonet.errors import CryonetError
from cryonet.insar_scene import LOOKS, add_insar
from cryonet.layers import LAYERS, layers_table
from cryonet.progress import Cancelled
from cryonet.sample_scene import sample_scene
from cryonet.samples import MIRROR, SAMPLES
from cryonet.scene_info import describe, scene_tables
from cryonet.sources.local import import_scene, parse_assignments


class Refusing(TyperGroup):
    """Tells an error of the user's in one line and exits with 2; Ctrl-C with 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except CryonetError as error:
            typer.secho(f"Error: {error}", err=True, fg="red")
            ctx.exit(2)
        except (KeyboardInterrupt, Cancelled) as stop:
            typer.echo(f"Cancelled: {stop or 'nothing was written'}.", err=True)
            ctx.exit(130)


class ManyValues(TyperCommand):
    """Lets ``--bands a=1 b=2`` stand for ``--bands a=1 --bands b=2``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat an option before each further NAME=VALUE behind it."""
        spread: list[str] = []
        option = None
        for arg in args:
            if arg.startswith("-"):
                option = arg if arg in ("--bands", "--labels") else None
            elif option and "=" in arg and spread[-1] != option:
                spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


def _group(text: str) -> typer.Typer:
    return typer.Typer(help=text, cls=Refusing, no_args_is_help=True, rich_markup_mode="markdown")


app = _group("Map clean ice, debris-covered ice and glacial lakes, and see why.")
scene_app = _group("Make and describe scenes.")
layers_app = _group("List and compute feature layers.")
app.add_typer(scene_app, name="scene")
app.add_typer(layers_app, name="layers")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Out = Annotated[Path, typer.Argument(help="What to write; it must not exist yet.")]


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


@scene_app.command("import", cls=ManyValues)
def scene_import(
    out: Out,
    bands: Annotated[list[str], typer.Option(help="Optical bands, NAME=FILE:BAND …")],
    dem: Annotated[str | None, typer.Option(help="Elevation in metres.")] = None,
    coherence: Annotated[str | None, typer.Option(help="Coherence, 0 to 1.")] = None,
    phase: Annotated[str | None, typer.Option(help="Interferometric phase, radians.")] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Outlines: clean_ice=, debris=, lake= or glacier=FILE …"),
    ] = None,
    clean_ice: Annotated[
        str | None,
        typer.Option(help="Where a glacier outline is clean ice, the rest debris: 'red>=0.55'."),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Reflectance a number.")] = None,
    offset: Annotated[float | None, typer.Option(help="Reflectance of number 0.")] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="STAC item or SAFE folder that states scale and offset."),
    ] = None,
    nodata: Annotated[float | None, typer.Option(help="Number that means missing.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Pixel side, metres.")] = None,
    like: Annotated[str | None, typer.Option(help="Band or file whose grid is used.")] = None,
    acquired: Annotated[str | None, typer.Option(help="ISO time of the image.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Build a scene from local rasters and outlines of any CRS."""
    with ConsoleProgress("import") as progress:
        path = import_scene(
            out,
            parse_assignments(bands),
            dem=dem,
            coherence=coherence,
            phase=phase,
            labels=parse_assignments(labels or [], what="label"),
            clean_ice_rule=clean_ice,
            scale=scale,
            offset=offset,
            metadata=metadata,
            nodata=nodata,
            resolution=resolution,
            like=like,
            acquired=acquired,
            overwrite=overwrite,
            progress=progress,
        )
    _show_scene(path)


@scene_app.command("add-insar")
def scene_add_insar(
    scene: Annotated[Path, typer.Argument(help="A scene's folder.")],
    products: Annotated[
        list[Path],
        typer.Argument(help="HyP3 folders or zips, *_cc.tif and *_unw.tif, or two OPERA CSLC."),
    ],
    looks: Annotated[
        tuple[int, int], typer.Option(help="Rows and columns of a pixel made of OPERA's images.")
    ] = LOOKS,
    overwrite: Overwrite = False,
) -> None:
    """Add coherence and phase of one pair of radar images to a scene."""
    with ConsoleProgress("add-insar") as progress:
        add_insar(scene, products, looks=looks, overwrite=overwrite, progress=progress)
    _show_scene(scene)


@scene_app.command("info")
def scene_info(scene: Annotated[Path, typer.Argument(help="A scene's folder.")]) -> None:
    """Print bands, units, coverage, grid and label shares of a scene."""
    _show_scene(scene)


def _show_scene(path: Path) -> None:
    console = Console()
    for table in scene_tables(describe(path)):
        console.print(table)


@scene_app.command("synthetic")
def scene_synthetic(
    out: Out,
    size: Annotated[int, typer.Option(help="Rows and columns, pixels of 10 m.")] = 1024,
    seed: Annotated[int, typer.Option(help="Same seed, same scene.")] = 0,
    region: Annotated[str, typer.Option(help="poiqu or montblanc.")] = "poiqu",
    dem: Annotated[str | None, typer.Option(help="Real terrain instead of generated.")] = None,
    outlines: Annotated[Path | None, typer.Option(help="Real glacier outlines.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Generate the synthetic teaching scene: all eight input families, known truth."""
    with ConsoleProgress("synthetic scene") as progress:
        path = workflows.make_synthetic(
            out,
            size=size,
            seed=seed,
            region=region,
            dem=dem,
            outlines=outlines,
            overwrite=overwrite,
            progress=progress,
        )
    _show_scene(path)


@scene_app.command("sample")
def scene_sample(
    name: Annotated[str, typer.Argument(help=f"Which: {', '.join(SAMPLES)}.")],
    out: Out,
    mirror: Annotated[
        Path | None, typer.Option(help=f"A folder with its files; else {MIRROR}, or the network.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Fetch a public sample and make a scene of it."""
    with ConsoleProgress("sample") as progress:
        path = sample_scene(name, out, mirror=mirror, overwrite=overwrite, progress=progress)
    _show_scene(path)
    typer.echo(SAMPLES[name].terms)


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
    with ConsoleProgress("train") as progress:
        path = workflows.run_training(load_config(config), overwrite=overwrite, progress=progress)
    typer.echo(f"wrote {path}; its card is {path / 'CARD.md'}")


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    scene: Annotated[Path, typer.Argument(help="A scene's folder.")],
    out: Out,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overlap: Annotated[
        float | None, typer.Option(help="Share of a window, 0 to 0.5; the bundle's by default.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Windows run at once.")] = 4,
    blend: Annotated[str, typer.Option(help="cosine, linear or constant.")] = "cosine",
    flips: Annotated[bool, typer.Option("--flips", help="Average eight orientations.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Predict a scene: classes, probabilities and confidence as COGs, with a passport."""
    with ConsoleProgress("predict") as progress:
        path = workflows.run_prediction(
            bundle,
            scene,
            out,
            device=device,
            overlap=overlap,
            batch=batch,
            blend=blend,
            flips=flips,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(f"wrote {path}")


@app.command()
def evaluate(
    prediction: Annotated[Path, typer.Argument(help="A prediction's folder.")],
    labels: Annotated[Path, typer.Argument(help="A scene's folder, or a raster of class codes.")],
    split: Annotated[str, typer.Option(help="all, train, validation or test.")] = "all",
    out: Annotated[Path | None, typer.Option(help="Write the scores as JSON, too.")] = None,
) -> None:
    """Score a prediction against labels."""
    scores = workflows.run_evaluation(prediction, labels, out=out, split=split)
    console = Console()
    console.print(score_table(scores))
    console.print(confusion_table(scores))


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
