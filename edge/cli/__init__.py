"""The `edge` command: one file per command group, each imported only when it is called."""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import sys
from typing import Any

import click

from edge.cli.bars import bars
from edge.disk import FULL, first_reason
from edge.errors import EdgeError, UnknownName

# name → (module:object, one line for `edge --help`); listing the commands imports none of them
COMMANDS = {
    "bisect": ("edge.cli.bisect:bisect_command", "Name the first operator at which two artifacts diverge."),
    "card": ("edge.cli.card:card_command", "Write model cards: what a model is, where it runs, what was measured."),
    "compare": ("edge.cli.compare:compare_command", "Say what changed between two reports, artifacts or profiles."),
    "compile": ("edge.cli.stages:compile_command", "Compile an exported program for one target."),
    "deploy": ("edge.cli.deploy:deploy_command", "Take a model to verified artifacts for many targets."),
    "doctor": ("edge.cli.doctor:doctor_command", "Say what this machine has and what it lacks."),
    "embed": ("edge.cli.embed:embed_command", "Put artifacts into an Android or iOS app, with typed bindings."),
    "export": ("edge.cli.stages:export_command", "Export a model and keep its eager answers."),
    "fetch": ("edge.cli.fetch:fetch_command", "Bring a model's published weights into the cache."),
    "models": ("edge.cli.lists:models_command", "List the models that the kit knows."),
    "phones": ("edge.cli.phones:phones_command", "List the phones that the kit knows, and the best target for each."),
    "profile": ("edge.cli.profile:profile_command", "Measure latency, operators, memory and energy on a device."),
    "report": ("edge.cli.report:report_command", "Print deploy reports and render them as one HTML page."),
    "run": ("edge.cli.run:run_command", "Run an artifact on a picture and draw the result."),
    "sdk": ("edge.cli.sdk:sdk_command", "List and install the vendors' SDKs that NPU targets need."),
    "sensitivity": ("edge.cli.sensitivity:sensitivity_command", "Rank a model's layers by what 8 bits cost them."),
    "serve": ("edge.cli.serve:serve_command", "Serve models over HTTP for what is too heavy for a phone."),
    "targets": ("edge.cli.lists:targets_command", "List the targets and what each of them needs."),
    "token": ("edge.cli.token:token_command", "Make, list and revoke the tokens of a server's clients."),
    "track": ("edge.cli.track:track_command", "Run an artifact over a video: follow a person, or steady a mask."),
    "train": ("edge.cli.train:train_command", "Train a recipe's model, or fine-tune weights for 8 bits or ternary."),
    "verify": ("edge.cli.verify:verify_command", "Execute artifacts and compare them with the eager model."),
}


class Commands(click.Group):
    """Import a command when it is called, not when the list is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            raise UnknownName("command", args[0], COMMANDS, "edge --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edge-deployment-kit", prog_name="edge")
def cli() -> None:
    """Take a PyTorch checkpoint to artifacts that run on phones, each executed and compared with the original.

    \b
    edge models                                             what can be deployed by name
    edge deploy blazepose-full --target litert-cpu --out o  one artifact, verified, with o/report.html
    edge run o/litert-cpu@fp32 photo.jpg -o drawn.png       use it

    Results go to standard output, progress to standard error. Exit codes: 0 done, 1 a target failed, 2 usage,
    3 something is missing, 4 parity, a required share, a budget or a check of `edge embed` not met.
    """


def main() -> None:
    """Run the command line and end with the right exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with bars():
            code = cli.main(standalone_mode=False)
    except EdgeError as error:
        click.echo(f"edge: {error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BrokenPipeError:  # the reader of our output has gone, for example `edge models | head`
        with contextlib.suppress(OSError):
            sys.stdout.close()
        code = 0
    except OSError as error:
        mend = "; free some space or choose another disk" if error.errno in FULL else ""
        click.echo(f"edge: {first_reason(error)}{mend}", err=True)
        code = 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("edge: interrupted; finished artifacts are kept, unfinished ones were removed", err=True)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    import msgspec

    click.echo(json.dumps(msgspec.to_builtins(value), indent=2))


def progress(line: str) -> None:
    """Print one line of progress on standard error."""
    click.echo(line, err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
