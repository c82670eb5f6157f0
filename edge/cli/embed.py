"""`edge embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from edge.cli import json_option, print_json
from edge.embed.checks import Finding
from edge.embed.checks.size import megabytes, parse_budget
from edge.embed.embed import embed
from edge.embed.records import Answer, Change

_PATH = click.Path(path_type=Path)


@click.command("embed")
@click.argument("artifacts", nargs=-1, required=True, type=_PATH, metavar="ARTIFACT...")
@click.option("--app", "system", required=True, type=click.Choice(["android", "ios"]), help="The app's system.")
@click.option("--into", required=True, type=_PATH, metavar="DIR", help="The app's project.")
@click.option(
    "--package", metavar="NAME", help="The package of Kotlin bindings. Default: the app's namespace + .models."
)
@click.option("--budget", metavar="SIZE", help="What all models of the app may weigh, for example 30MB; else exit 4.")
@json_option
def embed_command(
    artifacts: tuple[Path, ...],
    system: Literal["android", "ios"],
    into: Path,
    package: str | None,
    budget: str | None,
    as_json: bool,
) -> int:
    """Copy each ARTIFACT into an app, write a typed binding for it, and check what breaks in the field.

    DIR is one of the sample apps, or a project of your own: Gradle, Xcode, XcodeGen or SwiftPM. A second run replaces
    only what the first one made; embed.json says what that is. Exit code 4: a check failed.
    """
    budget_bytes = parse_budget(budget) if budget is not None else None
    answer = embed(artifacts, system=system, into=into, package=package, budget_bytes=budget_bytes)
    if as_json:
        print_json(answer)
    else:
        click.echo("\n".join(describe(answer)))
    return 0 if answer.passed else 4


def describe(answer: Answer) -> list[str]:
    """Return an answer as lines of text."""
    found = [line for change in answer.models for line in _change(change)]
    return [*found, *(line for finding in answer.findings for line in _finding(finding))]


def _change(change: Change) -> list[str]:
    model = change.model
    found = [
        f"{change.state:9} {change.folder}  {model.target}@{model.precision}, {megabytes(model.bytes)}",
        f"          {change.binding}",
        "  add to the app:",
    ]
    added = (change.lines.dependency, change.lines.packaging, change.lines.call)
    return [*found, *(f"    {line}" for text in added for line in text.splitlines())]


def _finding(finding: Finding) -> list[str]:
    word = finding.verdict if finding.verdict != "failed" else "FAILED"
    return [
        f"{word:8} {finding.check}: {finding.where}: {finding.message}",
        *([f"         {finding.mend}"] * bool(finding.mend)),
    ]
