"""`reddiff models`: which priors there are, and getting them onto this machine."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..options.checks import check_choice
from .making import Command, errors_as_lines
from .narrow import FoldingGroup

if TYPE_CHECKING:
    from ..checkpoints.cards import Card

models = typer.Typer(
    name="models",
    cls=FoldingGroup,
    help="List, fetch, check and convert priors. Without a command: the list.",
    epilog="Example: reddiff models fetch imagenet256",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object per prior and line.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")]
Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Names, or owner/repository@revision.")
]
Name = Annotated[str, typer.Argument(help="A name, a folder, or owner/repository@revision.")]


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.add_typer(models)


@models.callback()
def root(context: typer.Context, as_json: Json = False) -> None:
    """List, fetch, check and convert priors. Without a command: the list."""
    context.obj = as_json
    if context.invoked_subcommand is None:
        _list(context, as_json)
    elif as_json and context.invoked_subcommand != "list":
        with errors_as_lines(0):
            raise UsageError("--json: only the list has it; drop it")


@models.command(
    "list",
    cls=Command,
    help="Names, sizes, whether they are on this machine, what they are for, and their licences.",
    epilog="Example: reddiff models list --json",
)
def _list(context: typer.Context, as_json: Json = False) -> None:
    as_json = as_json or context.obj  # `models --json list` as well
    with errors_as_lines(0):
        from ..checkpoints.models import all_cards
        from ..reporting.report import print_line
        from ..reporting.tables import print_table

        facts = [_facts(card) for card in all_cards().values()]
        if as_json:
            for fact in facts:
                print_line(json.dumps(fact))
            return
        columns = ["name", "kind", "window", "MB", "here", "good for", "licence"]
        print_table(columns, [_row(fact) for fact in facts])


@models.command(
    "fetch",
    cls=Command,
    help="Bring priors onto this machine; from then on no network is needed.",
    epilog="Example: reddiff models fetch celebahq256",
)
def _fetch(names: Names, quiet: Quiet = False) -> None:
    with errors_as_lines(0):
        from ..checkpoints.models import find_model
        from ..reporting.progress import FetchReporter

        for name in names:
            with FetchReporter(quiet) as watcher:
                card = find_model(name, watcher=watcher, fresh=True)
                watcher.end(f"{name}: {card.source or card.folder}")


@models.command(
    "path",
    cls=Command,
    help="Print the folder of a prior that is on this machine.",
    epilog="Example: reddiff models path natural",
)
def _path(name: Name) -> None:
    with errors_as_lines(0):
        from ..checkpoints.models import find_model
        from ..reporting.report import print_line

        card = find_model(name, offline=True)
        # Before its conversion, all there is of a guided-diffusion card is its file.
        here = card.folder if card.folder.is_dir() else card.source
        print_line(str(here))


@models.command(
    "verify",
    cls=Command,
    help="Read the weights once more and compare their sha256 with the card's, if it has one.",
    epilog="Example: reddiff models verify natural",
)
def _verify(name: Name) -> None:
    with errors_as_lines(0):
        from ..checkpoints.models import find_model, verify_model
        from ..reporting.report import print_line

        card = find_model(name, offline=True)
        digest, compared = verify_model(card)
        print_line(
            f"{digest}  {card.name}  {'as expected' if compared else 'no sha256 to compare with'}"
        )


@models.command(
    "convert",
    cls=Command,
    help="Write a prior as a diffusers folder with safetensors, which --model takes.\n\n"
    "A file is taken as weights of guided-diffusion, whose network it does not describe: name "
    "its\nfamily. A folder is a diffusers folder with a pickle (.bin) or with older names.",
    epilog="Example: reddiff models convert 256x256_diffusion_uncond.pt my-prior "
    "--family imagenet256",
)
def _convert(
    source: Annotated[Path, typer.Argument(help="A guided-diffusion file, or a folder.")],
    folder: Annotated[Path, typer.Argument(help="The new folder.")],
    family: Annotated[
        str | None, typer.Option("--family", help="Of a file: imagenet256, lsun256 or ffhq256.")
    ] = None,
) -> None:
    with errors_as_lines(0):
        from ..reporting.report import print_line

        if not source.exists():
            raise UsageError(f"{source}: no such file or folder")
        if source.is_dir() and family is not None:
            raise UsageError(f"--family {family}: is for files, {source} is a folder; drop it")
        if not source.is_dir() and family is None:
            told = f"{source}: does not say of which family it is"
            raise UsageError(f"{told}; give it, as --family imagenet256")
        from ..networks.convert import FAMILIES, convert_file, convert_folder

        if family is not None:
            check_choice("--family", family, FAMILIES)
        made = (
            convert_folder(source, folder)
            if family is None
            else convert_file(source, folder, family)
        )
        print_line(str(made))


def _facts(card: "Card") -> dict[str, Any]:
    """What is told of a card; keys may be added, never renamed."""
    from ..checkpoints.models import is_cached, size_of

    origin = card.origin
    return {
        "name": card.name,
        "kind": "hub" if origin else "local",
        "repo": origin.repo if origin else None,
        "revision": origin.revision if origin else None,
        "window": card.window or None,
        "bytes": size_of(card),
        "cached": is_cached(card),
        "good_for": card.good_for,
        "licence": card.licence,
    }


def _row(fact: dict[str, Any]) -> list[str]:
    size = f"{fact['bytes'] / 1e6:.0f}" if fact["bytes"] else "?"
    here = "yes" if fact["cached"] else "no"
    window = str(fact["window"] or "?")
    return [fact["name"], fact["kind"], window, size, here, fact["good_for"], fact["licence"]]
