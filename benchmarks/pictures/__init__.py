"""The pictures and the figures of docs/verdicts.md, made by the code that decides."""
