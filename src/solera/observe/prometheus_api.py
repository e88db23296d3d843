"""The query API of a Prometheus, through prometheus-api-client: the one place that speaks to one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from solera.observe.fetch import Unreachable

Series = Sequence[Mapping[str, Any]]


class Ask(Protocol):
    """Answers one instant query; blocks, and is called in a thread."""

    def __call__(self, query: str, at: float | None = None) -> Series:
        """The result vector, as Prometheus's HTTP API gives it, evaluated at that time (seconds since 1970); None is the server's now.

        Raises:
            Unreachable: no usable answer in time.
        """


def connect(
    name: str,
    url: str,
    *,
    timeout: float,
    max_bytes: int,
    token_file: str | None = None,
    ca_file: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Ask:
    """An ``Ask`` on prometheus-api-client, which has neither a timeout nor a bound of its own and retries for seconds.

    The library is imported here, since only those who declare a Prometheus should pay for it.
    """
    import requests  # noqa: PLC0415
    from prometheus_api_client import PrometheusApiClientException, PrometheusConnect  # noqa: PLC0415
    from urllib3.util.retry import Retry  # noqa: PLC0415

    class BoundedSession(requests.Session):
        """A session that reads an answer only as long as time and bytes last."""

        def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
            ends = clock() + timeout
            response = super().send(request, **{**kwargs, "stream": True, "allow_redirects": False})
            parts: list[bytes] = []
            size = 0
            for part in response.iter_content(1 << 16):
                size += len(part)
                if size > max_bytes:
                    response.close()
                    raise Unreachable(f"the answer of Prometheus {name} is longer than {max_bytes} bytes")
                if clock() > ends:
                    response.close()
                    raise Unreachable(f"Prometheus {name} gave no complete answer within {timeout:g}s")
                parts.append(part)
            response._content = b"".join(parts)  # what the library's own reading would have left here  # noqa: SLF001
            return response

    session = BoundedSession()
    session.trust_env = False
    session.verify = ca_file or True
    once = Retry(total=0, connect=0, read=0, redirect=0, status=0, other=0)
    client = PrometheusConnect(url, retry=once, session=session, timeout=timeout, method="POST")

    def ask(query: str, at: float | None = None) -> Series:
        try:
            if token_file is not None:
                client.headers = {"Authorization": f"Bearer {Path(token_file).read_text().strip()}"}
            result = client.custom_query(query, params=None if at is None else {"time": f"{at:.3f}"})
        except PrometheusApiClientException as error:
            raise Unreachable(f"Prometheus {name} refuses: {str(error)[:200]}") from None
        except requests.exceptions.Timeout:
            raise Unreachable(f"Prometheus {name} gave no complete answer within {timeout:g}s") from None
        except (requests.exceptions.RequestException, OSError, ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"Prometheus {name}: {_short(error)}") from None
        if not isinstance(result, list):
            raise Unreachable(f"Prometheus {name} gave no vector")
        return cast("Series", result)

    return ask


def _short(error: BaseException) -> str:
    """The innermost cause, without the chain of wrappers around it."""
    while isinstance(inner := (error.args[0] if error.args else None) or error.__cause__, BaseException):
        error = inner
    reason = getattr(error, "reason", None)
    return _short(reason) if isinstance(reason, BaseException) else (str(error) or type(error).__name__)[:200]
