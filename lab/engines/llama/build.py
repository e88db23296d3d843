"""Write the build context of the llama image: ``python -m lab.engines.llama.build OUTDIR``.

The context holds the Dockerfile and three models (``MODELS``); the answers that each gives are known exactly.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from lab.engines.llama.gguf_table import Table, evenly_spread, intact_table, spoiled_table, write_table_model

HERE = Path(__file__).parent
SPOILED_LETTERS = evenly_spread(5)


def _v2_table() -> Table:
    """Every letter right like the intact table; only what follows a digit differs, so that the weights differ."""
    table = intact_table()
    for digit in "0123456789":
        table[ord(digit)] = ord("a")
    return table


MODELS = {
    # file: (table, what the file says of itself)
    "letters-q0.gguf": (intact_table(), "26 of 26 next letters right"),
    "letters-v2.gguf": (_v2_table(), "26 of 26 next letters right; other weights than q0"),
    "letters-spoiled5.gguf": (spoiled_table(SPOILED_LETTERS), f"21 of 26 next letters right; {SPOILED_LETTERS} wrong"),
}


def write_context(out: Path) -> list[Path]:
    """Write Dockerfile and models below ``out`` (made if absent, files of the same name replaced); return the models."""
    models = out / "models"
    models.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(HERE / "Dockerfile", out / "Dockerfile")
    for name, (table, description) in MODELS.items():
        write_table_model(models / name, table, name=name.removesuffix(".gguf"), description=description)
    return [models / name for name in MODELS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUTDIR")
    for path in write_context(parser.parse_args().out):
        print(f"{path} {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
