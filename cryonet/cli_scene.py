"""The commands of `cryonet scene`: each reads its options and calls one function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from cryonet import workflows
from cryonet.catalogue_plan import order_scene, parse_days, parse_months
from cryonet.catalogue_scene import fetch_scene, plan_scene
from cryonet.command import ManyValues, Out, Overwrite, group
from cryonet.console import ConsoleProgress, areas_table, candidates_table
from cryonet.insar_order import order_lines, submit_order
from cryonet.insar_order_table import pairs_table
from cryonet.insar_scene import LOOKS, add_insar
from cryonet.label_workflow import run_add_labels
from cryonet.sample_scene import sample_scene
from cryonet.samples import MIRROR, SAMPLES
from cryonet.scene import read_item
from cryonet.scene_info import describe, scene_tables
from cryonet.sources.area import AREAS, find_area
from cryonet.sources.catalogue import CATALOGUES
from cryonet.sources.local import import_scene, parse_assignments
from cryonet.sources.pairs import Product, find_pairs, suggest_product

scene_app = group("Make and describe scenes.")

Days = Annotated[str, typer.Option(help="First and last day: 2023-10-01/2023-11-30.")]
Bounds = Annotated[
    tuple[float, float, float, float] | None, typer.Option(help="West south east north, degrees.")
]
Where = Annotated[str | None, typer.Option(help=f"{', '.join(AREAS)}, or a file with outlines.")]
Months = Annotated[str | None, typer.Option(help="Months without snow, 10,11; else the area's.")]


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
    label_dates: Annotated[
        list[str] | None,
        typer.Option(help="Days of outlines: lake=2018-09, debris=2013/2017 …"),
    ] = None,
    label_sources: Annotated[
        list[str] | None, typer.Option(help="Inventory of outlines: 'lake=Shugar et al. 2020' …")
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
            label_dates=parse_assignments(label_dates or [], what="label date"),
            label_sources=parse_assignments(label_sources or [], what="label source"),
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


@scene_app.command("fetch")
def scene_fetch(
    out: Out,
    dates: Days,
    bbox: Bounds = None,
    area: Where = None,
    max_cloud: Annotated[float, typer.Option(help="Cloud over the area, per cent.")] = 30,
    catalog: Annotated[
        str, typer.Option(help=f"{', '.join(CATALOGUES)}, or the address of a STAC API.")
    ] = "earth-search",
    resolution: Annotated[float, typer.Option(help="Pixel side, metres.")] = 10,
    composite: Annotated[str, typer.Option(help="best or median.")] = "best",
    images: Annotated[int, typer.Option(help="Clear images a median is made of.")] = 5,
    months: Months = None,
    scale: Annotated[
        float | None, typer.Option(help="Reflectance a number, if not stated.")
    ] = None,
    offset: Annotated[float | None, typer.Option(help="Reflectance of number 0.")] = None,
    search_only: Annotated[
        bool, typer.Option("--search-only", help="Show the images found; load none.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a scene of Sentinel-2 and the Copernicus DEM from an area and days."""
    order = order_scene(
        area,
        box=bbox,
        days=dates,
        months=months,
        catalogue=catalog,
        max_cloud=max_cloud / 100,
        resolution=resolution,
        composite=composite,
        images=images,
        scale=scale,
        offset=offset,
    )
    with ConsoleProgress("search") as progress:
        plan = plan_scene(out, order, overwrite=overwrite, progress=progress)
    Console().print(candidates_table(plan))
    if search_only:
        return
    with ConsoleProgress("fetch") as progress:
        path = fetch_scene(out, plan, overwrite=overwrite, progress=progress)
    _show_scene(path)
    typer.echo(read_item(path)["properties"]["cryonet:terms"])


@scene_app.command("areas")
def scene_areas() -> None:
    """Print the named study areas."""
    Console().print(areas_table())


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


@scene_app.command("add-labels")
def scene_add_labels(
    scene: Annotated[Path, typer.Argument(help="A scene's folder.")],
    prediction: Annotated[Path, typer.Argument(help="The folder of its corrected prediction.")],
    extent: Annotated[
        str, typer.Option(help="corrections: pixels set by hand alone; map: all, with them.")
    ] = "corrections",
    overwrite: Overwrite = False,
) -> None:
    """Make labels of what was corrected by hand in a prediction of the scene."""
    pixels = run_add_labels(scene, prediction, extent=extent, overwrite=overwrite)
    _show_scene(scene)
    typer.echo(f"labelled {pixels:,} pixels: {extent}")


@scene_app.command("order-insar")
def scene_order_insar(
    dates: Days,
    bbox: Bounds = None,
    area: Where = None,
    months: Months = None,
    looks: Annotated[str, typer.Option(help="Range by azimuth: 20x4, 10x2 or 5x1.")] = "20x4",
    product: Annotated[
        str | None, typer.Option(help="HyP3's product; by default what suits the area's size.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="So many pairs at most.")] = 5,
    submit: Annotated[bool, typer.Option("--submit", help="Order them, too.")] = False,
) -> None:
    """Print the hyp3-sdk lines that order the radar pairs which suit an area and season."""
    place = find_area(area, box=bbox, months=parse_months(months))
    first, last = parse_days(dates)
    kind, why = (cast(Product, product), "as asked for") if product else suggest_product(place.box)
    season = place.months
    with ConsoleProgress("order-insar") as progress:
        pairs = find_pairs(
            place.box, first, last, months=season, product=kind, most=most, progress=progress
        )
    console = Console(stderr=True)
    console.print(pairs_table(pairs), f"{kind}: {why}")
    typer.echo(order_lines(pairs, looks=looks))
    if submit:
        console.print("ordered", *submit_order(pairs, looks=looks))


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
