from __future__ import annotations

from hypothesis import settings

# What is computed here takes milliseconds, but a busy machine may stop any example for longer than the usual deadline.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")
