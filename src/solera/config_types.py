"""The scalars of the operator's configuration: read strictly, refused with what to write instead."""

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from solera.api.errors import InvalidValue
from solera.api.scalars import SAY_DURATION, format_duration, parse_duration, parse_quantity


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a duration: {SAY_DURATION}")  # noqa: TRY004 - pydantic collects ValueError
    try:
        return parse_duration(value)
    except InvalidValue as error:
        raise ValueError(error.message) from None


def _bytes(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not a size: write bytes with a suffix, for example 4Mi")  # noqa: TRY004
    text = str(value).removesuffix("B")  # 4MiB is what people write, 4Mi what Kubernetes reads
    try:
        return int(parse_quantity(text))
    except InvalidValue:
        raise ValueError(f"{value!r} is not a size: write bytes with a suffix, for example 4Mi") from None


def between(low: str, high: str) -> AfterValidator:
    """A bound on a duration, told in the words of the file."""
    least, most = parse_duration(low), parse_duration(high)

    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"{format_duration(value)} is out of range: write {low} to {high}")
        return value

    return AfterValidator(check)


def _url(text: str) -> str:
    say = "write http://HOST:PORT/PATH or https://..., without user, password, query or fragment"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(f"{text!r} is not an address: {say}") from None
    plain = parts.username is None and parts.password is None and not parts.query and not parts.fragment
    if parts.scheme not in {"http", "https"} or not parts.hostname or not plain or any(c.isspace() for c in text):
        shown = text if plain else f"{parts.scheme}://{parts.hostname}..."  # a password must not reach a log
        raise ValueError(f"{shown!r} is not an address: {say}")
    return text.rstrip("/") if parts.path == "/" else text


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1 << 10, le=1 << 28)]
Url = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_url)]
Port = Annotated[int, Field(ge=1, le=65535)]
SourceName = Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
LabelName = Annotated[str, Field(min_length=1, max_length=64, pattern="^[a-zA-Z_][a-zA-Z0-9_]*$")]
FilePath = Annotated[str, Field(min_length=1, max_length=512, pattern="^/")]
