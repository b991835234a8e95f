"""The ``diffnum`` command. What is wrong with the input is one sentence on stderr, and exit code 2."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from .auditing import audit
from .certificates import certify
from .designing import design
from .listing import listing
from .running import report, run_notebook, sweep
from .sampling import sample
from .studies import PROCESSES, study
from .tables import table

__all__ = ["PROCESSES", "app", "main", "run"]

app = typer.Typer(
    name="diffnum",
    help="An oracle for diffusion samplers: what they claim, what they keep, and which one your images want.",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_PART = re.compile(r"\.part(\.[0-9]+)?(?=/|$)")


def main() -> None:
    """Run the command line and exit. A polite end from outside tidies up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for a claim that fails or a defect, 2 for bad input, 130 if
    interrupted.

    Args:
        arguments: words after ``diffnum``; those of this process if None.
    """
    usage_error: Any = typer.BadParameter.__bases__[0]  # click's, wherever this typer keeps its click
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False, prog_name="diffnum")
        sys.stdout.flush()
        # some versions of typer turn Ctrl-C into this code
        return _interrupted() if code == 130 else code if isinstance(code, int) else 0
    except usage_error as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "diffnum"
        return _complain(f"{error.format_message().rstrip('.')}{_given(error)}: see {where} --help")
    except BrokenPipeError:
        # the reader had enough, as in `diffnum solvers | head`; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ValueError as error:
        return _complain(str(error))
    except OSError as error:
        # what is written bears another name until it is whole
        where = f"{_PART.sub('', str(error.filename))}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}: choose another place or mend this one")
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()


def _complain(message: str) -> int:
    print("diffnum: " + " ".join(message.split()), file=sys.stderr)
    return 2


def _given(error: BaseException) -> str:
    """The value that was given, where a validator has said only what is wanted."""
    cause: Any = error.__cause__
    return f"; {cause.errors()[0]['input']!r} was given" if hasattr(cause, "errors") else ""


def _interrupted() -> int:
    print("diffnum: interrupted; nothing half-written is kept", file=sys.stderr)
    return 130


@app.callback(invoke_without_command=True)
def _front(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from .. import __version__

        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


app.command("solvers")(listing)
app.command()(certify)
app.command()(audit)
app.command()(study)
app.command()(design)
app.command()(sample)
app.command()(table)
app.command("run")(run_notebook)
app.command()(sweep)
app.command()(report)
