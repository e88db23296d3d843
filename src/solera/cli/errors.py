"""What can go wrong on the command line, each with the exit code that scripts may rely on (docs/kubectl-solera.md)."""

from __future__ import annotations

import click

from solera.errors import SoleraError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_NOTHING_TO_DO = 4
EXIT_REFUSED = 5
EXIT_FAILED = 6
EXIT_HELD = 7
EXIT_TIMED_OUT = 124
EXIT_INTERRUPTED = 130


class CliError(SoleraError, click.ClickException):
    """An error told to the person at the terminal; `exit_code` is stable."""

    exit_code = EXIT_ERROR


class Unreachable(CliError):  # noqa: N818 - named like the condition that it tells of
    """No answer came from the apiserver; trying again may help."""


class Expired(CliError):  # noqa: N818
    """The resourceVersion to go on from is too old (410): list again."""


class Conflict(CliError):  # noqa: N818
    """Somebody else wrote in between (409)."""


class NotFound(CliError):  # noqa: N818
    """There is no such LLMDeployment."""

    exit_code = EXIT_NOT_FOUND


class NothingToDo(CliError):  # noqa: N818
    """The request would change nothing: no rollout, nothing to approve."""

    exit_code = EXIT_NOTHING_TO_DO


class Refused(CliError):  # noqa: N818
    """The apiserver or the operator did not allow it."""

    exit_code = EXIT_REFUSED


class Failed(CliError):  # noqa: N818
    """What was waited for did not come about, and will not by itself; or a manifest has problems."""

    exit_code = EXIT_FAILED


class Held(CliError):  # noqa: N818
    """What was waited for goes on only when a person lets it."""

    exit_code = EXIT_HELD


class TimedOut(CliError):  # noqa: N818
    """The operator did not answer, or what was waited for did not come about, in time."""

    exit_code = EXIT_TIMED_OUT
