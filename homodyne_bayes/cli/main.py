"""The command line: which commands there are, and how every failure ends in one sentence.

A command is a file of this folder that is imported when the command is called, so that help and
what only reads a file load no more than they need.
"""

import os
import signal
import threading
import time
import warnings
from importlib import import_module
from typing import NamedTuple

import click

from homodyne_bayes.cli import screen
from homodyne_bayes.environment import default_devices
from homodyne_bayes.errors import InputError, MissingPrecisionError, suggest

OUT_OF_MEMORY = (
    "a device ran out of memory: choose more shards, --chain-method parallel, fewer frames, or "
    "--bin-frames; finished chains are kept, if the settings stay --resume takes them up"
)
GRACE = 10.0  # s that work has to end after Ctrl-C


class Command(NamedTuple):
    """Where a command is, and the first sentence of its help, known without importing it."""

    target: str
    sentence: str


COMMANDS = {
    "inspect": Command("inspect:inspect", "Say what is in a data FILE, without reading the maps."),
    "plot": Command(
        "plot:plot", "Draw the maps of a data FILE, its lag cuts and its frames, before any fit."
    ),
    "fit": Command("fit:fit", "Sample the posterior of a data FILE and write it."),
    "series": Command(
        "series:series", "Fit many data FILES by one setting; write results, a table and trends."
    ),
    "summary": Command(
        "report:summary", "Print the posterior of a RESULT file, its diagnostics and its cost."
    ),
    "report": Command(
        "report:report",
        "Write a RESULT file as one self-contained HTML page, or as a folder for a paper.",
    ),
    "rerun": Command(
        "rerun:rerun",
        "Repeat a RESULT file from what it recorded, and say whether the draws are the same.",
    ),
    "compare": Command(
        "compare:compare",
        "Say which model the data in FILE prefer, by evidence and by leaving out angles.",
    ),
    "calibrate": Command(
        "calibrate:calibrate",
        "Test by simulation whether posteriors are right: ranks of truths, or coverage.",
    ),
    "simulate": Command(
        "simulate:simulate",
        "Simulate an experiment into OUT (.h5: APS-U layout; .nc: netCDF; .nxs: NXxpcs).",
    ),
    "init": Command(
        "init:init", "Write a settings file with every setting explained, and its JSON schema."
    ),
    "convert": Command(
        "convert:convert", "Make settings of a CONFIG of homodyne 2.x, and say what was not taken."
    ),
    "demo": Command(
        "demo:demo", "Simulate sheared speckle, fit the file, and report, against the truth."
    ),
    "models": Command(
        "models:models", "List what there is: models, rate laws, noises, scalings, file formats."
    ),
    "doctor": Command(
        "doctor:doctor",
        "Say what this machine offers, and test that it computes what it should.",
    ),
}


class Commands(click.Group):
    """The group of all commands, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command and return it, None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        return getattr(import_module(f"homodyne_bayes.cli.{module}"), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a command by its name, or say which one may have been meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise InputError(f"No such command {args[0]!r}; {suggest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write what every command does, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.sentence) for name, command in COMMANDS.items()])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="homodyne-bayes", prog_name="homodyne-bayes")
@click.option(
    "--cite",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, asked: _cite(context) if asked else None,
    help="Say how to cite the package and what it rests on.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say more: settings in force, versions.")
@click.option("-q", "--quiet", is_flag=True, help="Say less: no progress, no tables of a fit.")
@click.option("--log", metavar="FILE", help="Add to FILE all that is said, whatever is shown.")
@click.option(
    "--cpu-devices",
    type=click.IntRange(min=1),
    default=default_devices,
    show_default="the number of cores, at least 2",
    help="CPU devices to sample on, a chain each; another number may round differently.",
)
def commands(cpu_devices: int, verbose: bool, quiet: bool, log: str | None) -> None:  # noqa: ARG001
    """Bayesian inference for two-time correlation maps of a fluid that diffuses and shears."""
    if verbose and quiet:
        raise InputError("--verbose and --quiet exclude each other: leave out one")
    screen.choose(quiet, verbose, log)


def _cite(context: click.Context) -> None:
    """Say how to cite the package, and leave."""
    from homodyne_bayes.cli import citation  # noqa: PLC0415 - YAML is slow to import

    screen.say(citation.told())
    context.exit()


def main() -> None:
    """Run the command line; every foreseen failure is one sentence and exit code 2."""
    warnings.showwarning = screen.show_warning
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        commands.main(standalone_mode=False)
    except (KeyboardInterrupt, click.Abort) as stopped:
        said = str(stopped.__cause__ or stopped)  # click wraps the interrupt
        screen.fail(said or "interrupted; nothing was written", 130)
    except (InputError, MissingPrecisionError) as error:
        screen.fail(str(error), 2)
    except click.ClickException as error:
        screen.fail(error.format_message(), 2)
    except RuntimeError as error:  # of which those of JAX and the click.Abort above are kinds
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        screen.fail(OUT_OF_MEMORY, 2)
    except OSError as error:
        screen.fail(f"{error.strerror or error}: {error.filename or 'no file named'}", 2)
    finally:
        screen.choose(quiet=False, verbose=False, log=None)


def _interrupt_once(_signal: int, _frame: object) -> None:
    """Stop the work, and let nothing interrupt what is still to be said."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_anyway, daemon=True).start()
    raise KeyboardInterrupt


def _leave_anyway() -> None:
    """Leave where a library does not end its work; all that was finished is on disk, whole."""
    time.sleep(GRACE)
    screen.say_error(
        f"interrupted, and left what did not end within {GRACE:g} s; what was "
        "finished is kept, and fit --resume takes it up"
    )
    os._exit(130)


if __name__ == "__main__":
    main()
