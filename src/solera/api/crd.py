"""Generates the CustomResourceDefinitions from the models: `python -m solera.api.crd [--check] [FOLDER...]`.

Without a folder it writes `crds` and the copy that the chart installs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from solera.api.base import LABEL
from solera.api.extensions import Rule, rules
from solera.api.llmdeployment import KIND, PLURAL, LLMDeployment
from solera.api.metadata import GROUP, MAX_NAME, SAY_NAME, VERSION
from solera.api.record import RolloutRecord
from solera.api.schema import Schema, structural
from solera.errors import SoleraError

HEADER = "# Made from the models in src/solera/api by `python -m solera.api.crd`. Do not edit.\n"
MAX_BYTES = 100_000
WIDTH = 400
"""Longer than most sentences: a line that is broken begins with the indentation of its depth once more."""
FOLDERS = ["crds", "charts/solera/files/crds"]
_READY = '.status.conditions[?(@.type=="Ready")]'


def llmdeployment() -> dict[str, Any]:
    """The CustomResourceDefinition of LLMDeployment."""
    schema = _object(structural(LLMDeployment), "spec", "status")
    status = schema["properties"]["status"]
    # A wait on an object that no operator has seen yet must not pass: readers of status take no observedGeneration for "current".
    status["default"] = {"observedGeneration": -1}
    status["properties"]["observedGeneration"]["default"] = -1
    version = _version(schema) | {
        "subresources": {"status": {}},
        "selectableFields": [
            {"jsonPath": path}
            for path in (
                ".spec.serve",
                ".status.state",
                ".status.modelName",
                ".status.effectiveVersion",
                ".status.stable.version",
                ".status.candidate.version",
            )
        ],
        "additionalPrinterColumns": [
            _column("Ready", f"{_READY}.status", "The spec is accepted, traffic is safe, and all goes by plan"),
            _column("Stable", ".status.stable.version", "Version that carries the traffic"),
            _column("Candidate", ".status.candidate.version", "Version being let in"),
            _column("Weight", ".status.weight", "Weight of the candidate in percent", kind="integer"),
            _column("State", ".status.state", "Where the rollout stands"),
            _column("Next", ".status.next", "What happens next, and when"),
            _column("Age", ".metadata.creationTimestamp", "Time since it was created", kind="date"),
            _column("Serve", ".spec.serve", "Version that the spec asks for", wide=True),
            _column("Model", ".status.modelName", "Name under which the model is asked for", wide=True),
            _column("Share", ".status.rollout.observedShare", "Share of requests that the candidate gets", wide=True),
            _column("Previous", ".status.previous.version", "Version kept warm after a promotion", wide=True),
            _column("Reason", f"{_READY}.reason", "Why it is ready or not", wide=True),
            _column("Message", f"{_READY}.message", "Why it is ready or not, in a sentence", wide=True),
        ],
    }
    return _definition(KIND, PLURAL, "llmdep", version)


def rolloutrecord() -> dict[str, Any]:
    """The CustomResourceDefinition of RolloutRecord."""
    schema = _object(structural(RolloutRecord), "spec")
    version = _version(schema) | {
        "selectableFields": [{"jsonPath": ".spec.llmdeployment"}],
        "additionalPrinterColumns": [
            _column("LLMDeployment", ".spec.llmdeployment", "What the evidence is about"),
            _column("Rollout", ".spec.rolloutId", "Identity of the rollout"),
            _column("Age", ".metadata.creationTimestamp", "Time since it was created", kind="date"),
        ],
    }
    return _definition("RolloutRecord", "rolloutrecords", "rr", version)


def _object(schema: Schema, *parts: str) -> Schema:
    """The schema of a whole object: kind and metadata are the apiserver's own, only the name may be narrowed."""
    own = schema["properties"]
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": "Version of the API."},
        "kind": {"type": "string", "description": "Kind of the object."},
        "metadata": {
            "type": "object",  # a description of its own is refused: the apiserver has one
            "properties": {
                "name": {
                    "type": "string",
                    "description": f"Name, at most {MAX_NAME} characters: it is part of the names of all children.",
                    "maxLength": MAX_NAME,
                    **rules(Rule(f"self.matches('{LABEL}')", SAY_NAME)),
                }
            },
        },
        **{name: value for name, value in own.items() if name not in {"apiVersion", "kind", "metadata"}},
    }
    schema["required"] = [name for name in parts if name != "status"]
    return schema


def _version(schema: Schema) -> dict[str, Any]:
    return {"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}


def _column(name: str, path: str, description: str, *, kind: str = "string", wide: bool = False) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | {"priority": 1} if wide else column


def _definition(kind: str, plural: str, short: str, version: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["solera"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


class _Plain(yaml.SafeDumper):
    """YAML without anchors: shared parts are written out, as every reader of CRDs expects."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Never refer back."""
        return True


def render() -> dict[str, str]:
    """File name -> YAML text, the same at every run.

    Raises:
        SoleraError: a definition is larger than what fits twice into an annotation of client-side apply.
    """
    out = {}
    for definition in (llmdeployment(), rolloutrecord()):
        text = HEADER + yaml.dump(definition, Dumper=_Plain, sort_keys=False, width=WIDTH, allow_unicode=True)
        plural = definition["spec"]["names"]["plural"]
        if len(text.encode()) > MAX_BYTES:
            raise SoleraError(f"the definition of {plural} has {len(text.encode())} bytes, more than {MAX_BYTES}")
        out[f"{GROUP}_{plural}.yaml"] = text
    return out


def main(arguments: list[str]) -> int:
    """Write the definitions, or with `--check` say which of the files are not up to date (exit code 1)."""
    check = "--check" in arguments
    folders = [argument for argument in arguments if argument != "--check"] or FOLDERS
    stale = []
    for name, text in render().items():
        for path in (Path(folder) / name for folder in folders):
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            stale.append(str(path))
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"not up to date: {', '.join(stale)}; run `python -m solera.api.crd`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
