"""What each engine is run with, field by field, and that a stored template still becomes the same Deployment."""

from __future__ import annotations

import pytest

from unit.render.cases import CASES, golden, render, render_deployment, resolved


@pytest.mark.parametrize("name", CASES)
def test_pod_template(name):
    assert render(name)[0] == golden(name, "template")


@pytest.mark.parametrize("name", CASES)
def test_stored_template_becomes_the_same_deployment(name):
    # From the file, not from a fresh rendering: this is what happens after the operator was upgraded.
    assert render_deployment(golden(name, "template"), resolved(*CASES[name])) == golden(name, "deployment")
