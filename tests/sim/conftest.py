from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _nothing_but_the_lives() -> Iterator[None]:
    """Log lines of thousands of operators help nobody, and what is imported by now is garbage to no collection."""
    logging.disable(logging.CRITICAL)
    gc.freeze()
    yield
    gc.unfreeze()
    logging.disable(logging.NOTSET)
