"""What every command of the command line shares: how it refuses, and common options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cryonet.errors import CryonetError
from cryonet.progress import Cancelled


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
            typer.echo(f"Cancelled: {stop}." if str(stop) else "Cancelled.", err=True)
            ctx.exit(130)


#: Options that take several NAME=VALUE.
MANY = ("--bands", "--labels", "--label-dates", "--label-sources")


class ManyValues(TyperCommand):
    """Lets ``--bands a=1 b=2`` stand for ``--bands a=1 --bands b=2``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat an option before each further NAME=VALUE behind it."""
        spread: list[str] = []
        option = None
        for arg in args:
            if arg.startswith("-"):
                option = arg if arg in MANY else None
            elif option and "=" in arg and spread[-1] != option:
                spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


def group(text: str) -> typer.Typer:
    """Return a group of commands with its help."""
    return typer.Typer(help=text, cls=Refusing, no_args_is_help=True, rich_markup_mode="markdown")


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Out = Annotated[Path, typer.Argument(help="What to write; it must not exist yet.")]
Correlation = Annotated[
    float, typer.Option(min=0, help="Metres over which errors of areas go together.")
]
Buffer = Annotated[
    float, typer.Option(min=0, help="Pixels to either side of an outline, for areas.")
]
