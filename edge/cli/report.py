"""`edge report`."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli import json_option, print_json
from edge.cli.table import print_reports
from edge.errors import InputError
from edge.report.html import write_html
from edge.report.records import REPORT, read_report


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def report_command(folder: Path, as_json: bool) -> None:
    """Print the report of FOLDER, or of every deploy below it, and render FOLDER/report.html."""
    folders = [folder] if (folder / REPORT).is_file() else sorted(path.parent for path in folder.glob(f"*/{REPORT}"))
    if not folders:
        raise InputError(
            f"{folder} has no {REPORT}, nor has a folder in it; make one with `edge deploy MODEL --out {folder}`"
        )
    reports = [read_report(path) for path in folders]
    page = write_html(folders, folder)
    if as_json:
        print_json(reports)
        return
    print_reports(reports)
    click.echo(str(page))
