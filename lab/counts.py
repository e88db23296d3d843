"""Add up the test reports of all layers; the last line is what a machine reads.

Fails on a failed or skipped test. A layer may run in parts (``e2e.xml``, ``e2e-disruptive.xml``); what they must add up to stands
in ``e2e.collected``, the output of ``pytest -q --collect-only``: each test of it must be in exactly one part.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path


def main(folder: Path) -> int:
    passed = failed = skipped = 0
    met: dict[str, Counter[str]] = {}
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
        layer = report.stem.partition("-")[0]
        met.setdefault(layer, Counter()).update({_id(case) for case in suite.iter("testcase")})
    astray = [words for listed in sorted(folder.glob("*.collected")) for words in _astray(listed, met)]
    for words in astray:
        print(words)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or skipped or astray or not passed else 0


def _id(case: ET.Element) -> str:
    """As the list has it: ``tests/e2e/test_x.py::test_y[param]`` is ``test_y[param]`` of class ``tests.e2e.test_x`` in a report."""
    return f"{case.get('classname')}::{case.get('name')}"


def _astray(listed: Path, met: dict[str, Counter[str]]) -> list[str]:
    """What is wrong with the parts of one layer; empty when each of its tests ran in one of them."""
    found = [line.partition("::") for line in listed.read_text().splitlines() if "::" in line]
    wanted = {f"{path.removesuffix('.py').replace('/', '.')}::{name}" for path, _, name in found}
    ran = met.get(listed.stem, Counter())
    if not wanted:
        return [f"{listed.name} names no test"]
    missing = [f"not run: {name}" for name in sorted(wanted - ran.keys())]
    strange = [f"run but not listed in {listed.name}: {name}" for name in sorted(ran.keys() - wanted)]
    return (
        missing + strange + [f"run in more than one part: {name}" for name, times in sorted(ran.items()) if times > 1]
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
