"""The task that every lab engine answers: continue the text by a fixed table of "next" symbols.

The right answer to any prompt is known beforehand, so an answer of any engine can be marked right or wrong by
whoever asked. The simulated engine, the table models of llama.cpp and the traffic generator share this module.
"""

from __future__ import annotations

import string

LETTERS = string.ascii_lowercase
_CYCLES = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
# What follows a symbol that is in no cycle: the first letter, so that any prompt has a defined answer.
_OTHERWISE = "a"


def _table() -> dict[str, str]:
    return {symbol: cycle[(i + 1) % len(cycle)] for cycle in _CYCLES for i, symbol in enumerate(cycle)}


_NEXT = _table()


def next_symbol(symbol: str) -> str:
    """The symbol after ``symbol``: a→b, z→a, Z→A, 9→0, and ``a`` after anything else."""
    return _NEXT.get(symbol, _OTHERWISE)


def continue_text(prompt: str, tokens: int) -> str:
    """The right continuation of ``prompt``, ``tokens`` symbols long (an empty prompt counts as one unknown symbol)."""
    symbol = prompt[-1:]
    out: list[str] = []
    for _ in range(tokens):
        symbol = next_symbol(symbol)
        out.append(symbol)
    return "".join(out)


def wrong_continuation(prompt: str, tokens: int) -> str:
    """A continuation that is wrong in every symbol: one place further along the table than the right one."""
    return "".join(next_symbol(symbol) for symbol in continue_text(prompt, tokens))
