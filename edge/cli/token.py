"""`edge token new`, `edge token list` and `edge token revoke`."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from edge.cli import json_option, print_json, progress
from edge.server.tokens import Token, Tokens, new_token, revoke_token

_file_option = click.option(
    "--file", "path", required=True, type=click.Path(path_type=Path), help="The file of tokens that `edge serve` reads."
)


@click.group("token")
def token_command() -> None:
    """Make, list and revoke the tokens with which clients call `edge serve`; the file holds hashes only."""


@token_command.command("new")
@click.argument("name")
@_file_option
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Only this model, or metrics; repeatable.")
@click.option(
    "--per-minute", type=click.IntRange(1, 60_000_000), help="Requests that it may send. Default: any number."
)
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Its last day (UTC), as 2027-01-31.")
@json_option
def new_command(
    name: str, path: Path, models: tuple[str, ...], per_minute: int | None, expires: datetime | None, as_json: bool
) -> None:
    """Make a token for the client of that NAME and print it: it is shown this once.

    A client has two tokens at most: to change one, make the second, hand it over and revoke the first.
    """
    last_day = expires.date() if expires else None
    text, token = new_token(path, name, time.time(), models=models, requests_per_minute=per_minute, expires=last_day)
    if as_json:
        print_json({"token": text, **_row(token)})
        return
    progress(f"{token.id}: {_words(token)}; the token is shown this once")
    click.echo(text)


@token_command.command("list")
@_file_option
@json_option
def list_command(path: Path, as_json: bool) -> None:
    """List the tokens: whose they are and what they may do."""
    from rich.console import Console
    from rich.table import Table

    now = time.time()
    rows = [{**_row(token), "live": token.is_live(now)} for token in Tokens.read(path).tokens]
    if as_json:
        print_json(rows)
        return
    table = Table("id", "client", "models", "per minute", "created", "expires", "live", header_style="bold")
    for row in rows:
        table.add_row(
            row["id"], row["client"], ", ".join(row["models"]), str(row["requests_per_minute"] or "any"),
            str(row["created"]), str(row["expires"] or "never"), "yes" if row["live"] else "no",
        )  # fmt: skip
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


@token_command.command("revoke")
@click.argument("identifier", metavar="ID")
@_file_option
@json_option
def revoke_command(identifier: str, path: Path, as_json: bool) -> None:
    """Take the token of that ID out of the file; servers notice within seconds."""
    token = revoke_token(path, identifier)
    if as_json:
        print_json(_row(token))
    else:
        click.echo(f"{token.id}: revoked")


def _row(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "client": token.client,
        "models": list(token.models),
        "requests_per_minute": token.requests_per_minute,
        "created": token.created,
        "expires": token.expires,
    }


def _words(token: Token) -> str:
    models = "every model" if token.models == ("*",) else ", ".join(token.models)
    often = "any number of requests" if token.requests_per_minute is None else f"{token.requests_per_minute} a minute"
    return f"{models}, {often}, {'no last day' if token.expires is None else f'until {token.expires}'}"
