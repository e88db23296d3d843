"""The shapes of the OpenAI API, as far as the engine speaks it: reading requests, writing answers and chunks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from .engine import Ask, Config

DEFAULT_COMPLETION_TOKENS = 16
DONE = b"data: [DONE]\n\n"
_NAMES = {400: "BadRequestError", 404: "NotFoundError", 429: "TooManyRequests", 503: "ServiceUnavailableError"}


class RefusedError(Exception):
    """The request is not one that the engine answers: ``status`` and a message that says what to send instead."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def error_body(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": _NAMES.get(status, "InternalServerError"), "code": status}}


def read_ask(body: Any, config: Config, *, chat: bool) -> Ask:
    """Validate the JSON of a request. Raises ``RefusedError`` (400 or 404) naming the field."""
    if not isinstance(body, dict):
        raise RefusedError(400, "body: send a JSON object")
    model = body.get("model", config.served_names[0])
    if model not in config.served_names:
        raise RefusedError(404, f"The model `{model}` does not exist; served: {', '.join(config.served_names)}")
    if body.get("n", 1) != 1:
        raise RefusedError(400, "n: only 1 is served")
    stream = body.get("stream") or False
    if not isinstance(stream, bool):
        raise RefusedError(400, "stream: send true or false")
    prompt = _chat_prompt(body) if chat else _completion_prompt(body)
    asked = body.get("max_tokens")
    if chat:
        asked = body.get("max_completion_tokens", asked)
    room = config.max_model_len - len(prompt)
    if asked is None:
        asked = room if chat else DEFAULT_COMPLETION_TOKENS
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
        raise RefusedError(400, f"max_tokens: {asked!r} must be a whole number of at least 1")
    if asked > room:
        raise RefusedError(400, f"max_tokens: {asked} and {len(prompt)} of prompt exceed {config.max_model_len}")
    return Ask(prompt, asked, stream, _stops(body.get("stop")))


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream ends with a chunk of usage (``stream_options.include_usage``)."""
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _completion_prompt(body: Mapping[str, Any]) -> str:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise RefusedError(400, "prompt: send one string")
    return prompt


def _chat_prompt(body: Mapping[str, Any]) -> str:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        raise RefusedError(400, "messages: send a list of messages; the last one is continued")
    content = messages[-1].get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise RefusedError(400, "messages: the last message needs a content of text")
    return content


def _stops(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    stops = [given] if isinstance(given, str) else given
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise RefusedError(400, "stop: send a string or a list of strings")
    return tuple(stops)


class Writer:
    """Writes one answer, whole or as chunks."""

    def __init__(self, number: int, model: str, ask: Ask, *, chat: bool, usage: bool = False) -> None:
        self._ask = ask
        self._with_usage = usage
        self._chat = chat
        kind = "chat.completion" if chat else "text_completion"
        self._head: dict[str, Any] = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{number:08x}",
            "object": f"{kind}.chunk" if chat and ask.stream else kind,
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, text: str, reason: str) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        return {**self._head, "choices": [choice], "usage": self._usage(len(text))}

    def chunk(self, text: str, reason: str | None = None) -> bytes:
        said = {"delta": {"content": text}} if self._chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        return event({**self._head, "choices": [choice]})

    def end(self, tokens: int, reason: str) -> bytes:
        """What a stream ends with: the finish reason, the usage if it was asked for, ``[DONE]``."""
        usage = event({**self._head, "choices": [], "usage": self._usage(tokens)}) if self._with_usage else b""
        return self.chunk("", reason) + usage + DONE

    def _usage(self, tokens: int) -> dict[str, int]:
        prompt = len(self._ask.prompt)
        return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}


def event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
