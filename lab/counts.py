"""Add up the test reports of all layers; the last line is what a machine reads. Fails on a skipped or deselected layer."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def main(folder: Path) -> int:
    passed = failed = skipped = 0
    for report in sorted(folder.glob("*.xml")):
        suite = ET.parse(report).getroot().find("testsuite")
        if suite is None:
            continue
        tests, bad, left_out = (
            int(suite.get("tests", 0)),
            int(suite.get("failures", 0)) + int(suite.get("errors", 0)),
            int(suite.get("skipped", 0)),
        )
        good = tests - bad - left_out
        print(f"{report.stem}: {good} of {tests} passed in {float(suite.get('time', 0)):.0f} s")
        passed, failed, skipped = passed + good, failed + bad, skipped + left_out
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or skipped or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
