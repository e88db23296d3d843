"""Write docs/pictures anew, which takes a second, and with --costs the tables of docs/verdicts.md, which takes some minutes.

python -m benchmarks.pictures [--costs]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.pictures.costs import BEGIN, END, tables
from benchmarks.pictures.drawing import draw
from benchmarks.pictures.scenes import SCENES
from benchmarks.written import between

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--costs", action="store_true", help="compute the tables of docs/verdicts.md, too")
    costs = parser.parse_args().costs
    for scene in SCENES:
        (DOCS / "pictures" / f"{scene.name}.svg").write_text(draw(scene))
    if costs:
        page = DOCS / "verdicts.md"
        text = page.read_text()
        for name, table in tables().items():
            text = between(text, BEGIN.format(name), END.format(name), table)
        page.write_text(text)


if __name__ == "__main__":
    main()
