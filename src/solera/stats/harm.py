"""How many bad events more than a limit allows do so many events hold at most? A confidence limit that is valid at every look.

With p the share of bad events, l the limit and n events, the expected number of bad ones beyond the limit is n·max(0, p - l): the *harm*.
It is known as well as p is, and the question whether the harm of n events counted and m to come stays within a budget B is a question about p:

    (n + m)·(p - l) <= B    is the same as    p <= q = l + B/(n + m)

so it is answered by the test of ``solera.stats.share`` that p is below q. Its prior is tightest when ``BAD_DUE`` bad events are due at q: it
grows with 1/q, which makes the limit sharp from the first event (4.4/n after n good ones at 5%) to the last, whatever l is.

The guarantee. The tests of all q share one coverage: what is shown for q is shown for every larger one, too (a test walks through them), so
with probability 1 - alpha nothing false is ever shown at ``log_level`` = ln(1/alpha), for any number of looks and any B, l and m, also if they are chosen
after looking. It takes the chance of a bad event to be the same at every event. If it moves, n·(u - l) is still no less than the bad
events counted beyond the limit, since an upper limit u never lies below the observed share.

Bad events that come together tell less than so many single ones: with ``size`` b, how many of them count for one (``solera.stats.dispersion``), the test is
asked about x/b bad of n/b events, and the harm is still that of all n.
"""

from __future__ import annotations

from functools import lru_cache

from solera.stats.share import prior_weight, shown_below

BAD_DUE = 8.0
"""Bad events due at a share where its test is tightest. With fewer the prior of large shares degenerates, and their tests are not nested."""

_HALVINGS = 40


def harm_within(
    bad: int, total: int, more: float, limit: float, budget: float, log_level: float, size: float = 1.0
) -> bool:
    """Whether ``total`` events with ``bad`` bad ones, and ``more`` to come, are shown to do no more harm than ``budget`` (in events)."""
    events = total + more
    if events * (1 - limit) <= budget:  # all of them bad
        return True
    return _shown(bad / size, total / size, limit + budget / events, log_level)


@lru_cache(maxsize=4096)
def most_harm(bad: int, total: int, limit: float, log_level: float, size: float = 1.0) -> float:
    """Upper confidence limit of the harm of ``total`` events with ``bad`` bad ones, in events; 0 when the limit is shown to be kept."""
    if not total or _shown(bad / size, total / size, limit, log_level):
        return 0.0
    low, high = max(bad / total, limit), 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _shown(bad / size, total / size, middle, log_level):
            high = middle
        else:
            low = middle
        if total * (high - low) < 1e-3:
            break
    return total * (high - limit)


def _shown(bad: float, total: float, share: float, log_level: float) -> bool:
    return 0 < share < 1 and shown_below(bad, total, share, prior_weight(share, BAD_DUE), log_level)
