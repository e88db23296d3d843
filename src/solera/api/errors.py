"""Errors of the API layer. Each one names the field by its path in the YAML and says what to write instead."""

from solera.errors import SoleraError


class FieldError(SoleraError):
    """A value of the API cannot be read.

    Attributes:
        path: where it stands, as in YAML, for example `spec.rollout.steps[0].minDuration`.
        message: what is wrong and what to write instead, in the user's words.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message

    def under(self, parent: str) -> "FieldError":
        """The same error, told from further up: `parent` is put before the path."""
        joined = parent if not self.path else f"{parent}{self.path}" if self.path[0] == "[" else f"{parent}.{self.path}"
        return type(self)(joined, self.message)


class InvalidValue(FieldError):  # noqa: N818 - read in messages and `except` clauses, like ValueError's own children
    """One scalar (duration, percentage, date, quantity, uri) is not in the form that its field asks for."""


class InvalidSpec(FieldError):  # noqa: N818 - see InvalidValue
    """An object does not make sense as a whole: shown to its owner as the `Stalled` condition."""
