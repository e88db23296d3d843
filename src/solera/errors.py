"""The root of the error tree: everything that Solera raises on purpose is a `SoleraError`."""


class SoleraError(Exception):
    """Base of every error that Solera raises on purpose; its text is written for the person who must act on it."""


class KubeError(SoleraError):
    """The apiserver refused or did not answer. ``what`` names the request ("apply Deployment ml/x"), ``status`` its answer (0: none)."""

    def __init__(self, what: str, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(f"{what}: {message}")
        self.what = what
        self.message = message
        self.status = status
        self.reason = reason


class NotFound(KubeError):  # noqa: N818 - named like the apiserver's own answer, read in `except` clauses
    """404: the object, its namespace or its whole kind is not there."""


class Conflict(KubeError):  # noqa: N818
    """409: the object is not the one, or not as, the writer believed. Look again, then decide again."""


class Invalid(KubeError):  # noqa: N818
    """The object cannot be accepted as it is, however often it is sent. ``fields`` are the paths that the apiserver named."""

    def __init__(
        self, what: str, message: str, *, status: int = 0, reason: str = "", fields: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what, message, status=status, reason=reason)
        self.fields = fields


class Forbidden(KubeError):  # noqa: N818
    """401 or 403: the operator's credentials or rights do not suffice."""


class Gone(KubeError):  # noqa: N818
    """410: the version asked for has left the apiserver's history; list again."""


class Throttled(KubeError):  # noqa: N818
    """429: the apiserver asks to wait ``retry_after`` seconds."""

    def __init__(
        self, what: str, message: str, *, status: int = 429, reason: str = "", retry_after: float = 1.0
    ) -> None:
        super().__init__(what, message, status=status, reason=reason)
        self.retry_after = retry_after


class Unavailable(KubeError):  # noqa: N818
    """The apiserver did not answer, or answered that it cannot now."""


class NameTaken(SoleraError):  # noqa: N818
    """A child's name is carried by an object that someone else owns; it is never applied over. ``owner`` says whose it is."""

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self.owner = owner


class NotSafe(SoleraError):  # noqa: N818
    """A destructive action was refused because a live look showed that its reason no longer holds."""


class NotLeading(SoleraError):  # noqa: N818
    """This process must not write: another one leads, may lead by now, or this one is about to stop."""
