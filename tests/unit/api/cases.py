"""Objects that must be accepted and refused, for both judges: the Python checks (unit) and a real apiserver (cluster)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Change = Callable[[Object], Any]

COMMIT = "9c925d64d72725edaf899c6cb9c377fd0709d9c5"


def version(name: str, successor: str | None = None, **lifecycle: str) -> Object:
    out: Object = {"name": name, "model": {"uri": f"hf://org/model-{name}", "revision": COMMIT}}
    if successor:
        lifecycle["successor"] = successor
    if lifecycle:
        out["lifecycle"] = lifecycle
    return out


BASE: Object = {
    "apiVersion": "solera.dev/v1alpha1",
    "kind": "LLMDeployment",
    "metadata": {"name": "chat", "namespace": "default"},
    "spec": {
        "serve": "v1",
        "template": {"engine": {"name": "vLLM", "version": "0.18.1", "image": "vllm/vllm-openai:v0.18.1"}},
        "versions": [version("v1"), version("v2")],
        "traffic": {"gateway": {"parentRefs": [{"name": "inference", "namespace": "gateways"}]}},
    },
}


def base() -> Object:
    return copy.deepcopy(BASE)


def spec(**changes: Any) -> Change:
    """Replace fields of spec."""
    return lambda obj: obj["spec"].update(changes)


def template(**changes: Any) -> Change:
    return lambda obj: obj["spec"]["template"].update(changes)


def engine(**changes: Any) -> Change:
    return lambda obj: obj["spec"]["template"]["engine"].update(changes)


def model(**changes: Any) -> Change:
    return lambda obj: obj["spec"]["versions"][0]["model"].update(changes)


def life(**changes: Any) -> Change:
    return lambda obj: obj["spec"]["versions"][0].update(lifecycle=changes)


def rollout(**changes: Any) -> Change:
    return spec(rollout=changes)


def steps(*items: Any) -> Change:
    return rollout(steps=[{"weight": item} if isinstance(item, int) else item for item in items])


def guardrail(**fields: Any) -> Change:
    return rollout(guardrails=[{"name": "g", **fields}])


def gateway(**changes: Any) -> Change:
    return lambda obj: obj["spec"]["traffic"]["gateway"].update(changes)


def drop(*path: str) -> Change:
    def change(obj: Object) -> None:
        for part in path[:-1]:
            obj = obj[part]
        del obj[path[-1]]

    return change


def both(*changes: Change) -> Change:
    def change(obj: Object) -> None:
        for one in changes:
            one(obj)

    return change


@dataclass(frozen=True)
class Refused:
    """`path` and `says` are what a person must read, from either judge. `python` and `cel` are for where the words differ."""

    name: str
    change: Change
    path: str
    says: str = ""
    python: str = ""
    cel: str = ""
    python_path: str = ""

    def object(self) -> Object:
        obj = base()
        self.change(obj)
        return obj


@dataclass(frozen=True)
class Accepted:
    name: str
    change: Change

    def object(self) -> Object:
        obj = base()
        self.change(obj)
        return obj


def chain(length: int, *, closed: bool) -> list[Object]:
    names = [f"m{i}" for i in range(length)]
    following = [*names[1:], names[0] if closed else None]
    return [version("v1"), *(version(n, s) for n, s in zip(names, following, strict=True))]


def named(name: str) -> Change:
    return lambda obj: obj["metadata"].update(name=name)


DURATION = "write a duration in h, m, s and ms"
PERCENT = "write a percentage"
DATE = "write date, time and offset, for example 2027-03-01T00:00:00Z"
URI = "write hf://ORG/NAME, pvc://CLAIM/PATH, or image:///PATH"
LIFE = "spec.versions[0].lifecycle"
STEPS = "spec.rollout.steps"
GUARD = "spec.rollout.guardrails[0]"
RISK = "spec.rollout.risk"
ERRORS = [{"name": "errors", "metric": "ErrorRate", "limit": "1%"}]

REFUSED = [
    # names
    Refused("name too long", named("a" * 34), "metadata.name", python="at most 33", cel="may not be more than 33"),
    Refused(
        "name with a dot",
        named("a.b"),
        "metadata.name",
        "digits and -, with a letter or digit at both ends, and without dots",
    ),
    Refused(
        "version name too long",
        both(spec(serve="a" * 21), spec(versions=[version("a" * 21)])),
        "spec.serve",
        python="at most 20",
        cel="may not be more than 20",
    ),
    Refused(
        "two versions of one name",
        spec(versions=[version("v1"), version("v1")]),
        "spec.versions[1]",
        python="twice",
        cel="Duplicate value",
    ),
    Refused("no versions", spec(versions=[]), "spec.versions", python="at least 1", cel="at least 1"),
    Refused(
        "too many versions",
        spec(versions=[version(f"v{i}") for i in range(1, 66)]),
        "spec.versions",
        python="at most 64",
        cel="at most 64",
    ),
    Refused(
        "model name with a space",
        spec(modelName="my model"),
        "spec.modelName",
        "write letters, digits",
    ),
    Refused("version name in capitals", spec(serve="V1"), "spec.serve", "write lower-case letters, digits and -"),
    Refused(
        "version name with a letter that looks like another",
        both(spec(serve="v1\u0430"), spec(versions=[version("v1\u0430")])),
        "spec.versions[0].name",
        "write lower-case letters, digits and -, with a letter or digit at both ends; not ",
        python="'\u0430' (CYRILLIC SMALL LETTER A)",
        cel='not ["\u0430"]',
        python_path="spec.serve",
    ),
    Refused(
        "version name that ends wrongly",
        both(spec(serve="v1-"), spec(versions=[version("v1-")])),
        "spec.serve",
        "with a letter or digit at both ends",
    ),
    Refused(
        "field in another spelling",
        template(node_selector={"a": "b"}),
        "spec.template.node_selector",
        python="not a field",
        cel="unknown field",
    ),
    Refused(
        "Gateway in capitals",
        gateway(parentRefs=[{"name": "Inference"}]),
        "spec.traffic.gateway.parentRefs[0].name",
        "write lower-case letters, digits, - and .",
    ),
    Refused(
        "env name with a dash",
        template(env=[{"name": "MY-VAR", "value": "1"}]),
        "spec.template.env[0].name",
        "write letters, digits and _",
    ),
    Refused(
        "quantity with a fraction",
        template(resources={"cpu": 1.5}),
        "spec.template.resources.cpu",
        python="in quotes",
        cel="must be of type integer,string",
    ),
    Refused(
        "weight in quotes",
        steps({"weight": "5"}, 100),
        f"{STEPS}[0].weight",
        python="without quotes",
        cel="must be of type integer",
    ),
    Refused(
        "limit as a number",
        guardrail(metric="ErrorRate", limit=5),
        f"{GUARD}.limit",
        python="must be text: write a percentage",
        cel="must be of type string",
    ),
    # required
    Refused("no serve", drop("spec", "serve"), "spec.serve", python="is required", cel="Required value"),
    Refused("no traffic", drop("spec", "traffic"), "spec.traffic", python="is required", cel="Required value"),
    Refused("no spec", drop("spec"), "spec", python="is required", cel="Required value"),
    # serve
    Refused("unknown serve", spec(serve="v9"), "spec.serve", "no version is named v9; spec.versions has "),
    # engine
    Refused(
        "no engine anywhere",
        drop("spec", "template"),
        "spec.template",
        "write engine.name (vLLM, SGLang, llama.cpp or OpenAI)",
    ),
    Refused(
        "engine image missing in one version",
        lambda obj: (
            obj["spec"]["template"]["engine"].pop("image"),
            obj["spec"]["versions"][0].update(template={"engine": {"image": "x"}}),
        ),
        "spec.template",
        "write engine.image in spec.template or in every version's template; missing for ",
    ),
    Refused(
        "unknown engine",
        engine(name="vllm"),
        "spec.template.engine.name",
        python="write 'vLLM', 'SGLang'",
        cel='Unsupported value: "vllm"',
    ),
    Refused(
        "image with a space",
        engine(image="a b"),
        "spec.template.engine.image",
        "write the name of an image",
    ),
    Refused(
        "number as version",
        engine(version=0.18),
        "spec.template.engine.version",
        python="put it in quotes",
        cel="must be of type string",
    ),
    Refused(
        "misspelt field", engine(imgae="x"), "spec.template.engine.imgae", python="not a field", cel="unknown field"
    ),
    # template
    Refused(
        "negative replicas",
        template(replicas=-1),
        "spec.template.replicas",
        python="at least 0",
        cel="greater than or equal to 0",
    ),
    Refused(
        "too many replicas",
        template(replicas=1001),
        "spec.template.replicas",
        python="at most 1000",
        cel="less than or equal to 1000",
    ),
    Refused("port 0", template(port=0), "spec.template.port", python="at least 1", cel="greater than or equal to 1"),
    Refused("duration in days", template(drainTimeout="1d"), "spec.template.drainTimeout", DURATION),
    Refused("duration without unit", template(drainTimeout="30"), "spec.template.drainTimeout", DURATION),
    Refused("duration in wrong order", template(drainTimeout="30s5m"), "spec.template.drainTimeout", DURATION),
    Refused("ISO duration", template(drainTimeout="PT2M"), "spec.template.drainTimeout", DURATION),
    Refused("startup in no time", template(startupTimeout="0s"), "spec.template.startupTimeout", DURATION),
    Refused(
        "cpu is no quantity",
        template(resources={"cpu": "lots"}),
        "spec.template.resources.cpu",
        "write a quantity above 0",
    ),
    Refused("cpu 0", template(resources={"cpu": 0}), "spec.template.resources.cpu", "write a quantity above 0"),
    Refused(
        "negative memory",
        template(resources={"memory": "-1Gi"}),
        "spec.template.resources.memory",
        "write a quantity above 0",
    ),
    Refused(
        "memory 0", template(resources={"memory": "0Gi"}), "spec.template.resources.memory", "write a quantity above 0"
    ),
    Refused(
        "GPU resource without domain",
        template(resources={"gpuResource": "gpu"}),
        "spec.template.resources.gpuResource",
        "write the name of an extended resource",
    ),
    Refused(
        "env without value",
        template(env=[{"name": "A"}]),
        "spec.template.env[0]",
        "write exactly one of value and valueFrom",
    ),
    Refused(
        "secret in env",
        template(env=[{"name": "HF_TOKEN", "value": "hf_abc"}]),
        "spec.template.env[0].value",
        "put it into a Secret, and write valueFrom with secretKeyRef",
    ),
    Refused(
        "env with value and source",
        template(env=[{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        "spec.template.env[0]",
        "write exactly one of value and valueFrom",
    ),
    Refused(
        "env with an empty source",
        template(env=[{"name": "A", "valueFrom": {}}]),
        "spec.template.env[0].valueFrom",
        "write exactly one of secretKeyRef and configMapKeyRef",
    ),
    Refused(
        "env twice",
        template(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        "spec.template.env[1]",
        python="twice",
        cel="Duplicate value",
    ),
    Refused(
        "env value not quoted",
        template(env=[{"name": "A", "value": 1}]),
        "spec.template.env[0].value",
        python="put it in quotes",
        cel="must be of type string",
    ),
    Refused(
        "headroom misspelt",
        template(headroom="surge"),
        "spec.template.headroom",
        python="write 'Surge' or 'None'",
        cel='Unsupported value: "surge"',
    ),
    Refused(
        "wrong override in a version",
        lambda obj: obj["spec"]["versions"][1].update(template={"drainTimeout": "soon"}),
        "spec.versions[1].template.drainTimeout",
        DURATION,
    ),
    # model
    Refused("model on s3", model(uri="s3://bucket/model"), "spec.versions[0].model.uri", URI),
    Refused(
        "quantization with a space",
        model(quantization="a b"),
        "spec.versions[0].model.quantization",
        "write letters, digits",
    ),
    Refused("model without scheme", model(uri="Qwen/Qwen3-8B"), "spec.versions[0].model.uri", URI),
    Refused("hf without organisation", model(uri="hf://Qwen3-8B"), "spec.versions[0].model.uri", URI),
    Refused("pvc without path", model(uri="pvc://claim"), "spec.versions[0].model.uri", URI),
    Refused("path that climbs", model(uri="pvc://claim/../other"), "spec.versions[0].model.uri", URI),
    Refused("image with a relative path", model(uri="image://models/a"), "spec.versions[0].model.uri", URI),
    Refused(
        "hf without revision",
        lambda obj: obj["spec"]["versions"][0]["model"].pop("revision"),
        "spec.versions[0].model.revision",
        "40 hexadecimal digits",
    ),
    Refused("hf with a branch", model(revision="main"), "spec.versions[0].model.revision", "40 hexadecimal digits"),
    # lifecycle
    Refused("date without time", life(retiresAt="2027-03-01"), f"{LIFE}.retiresAt", DATE),
    Refused("date without offset", life(retiresAt="2027-03-01T00:00:00"), f"{LIFE}.retiresAt", DATE),
    Refused("30 February", life(retiresAt="2027-02-30T00:00:00Z"), f"{LIFE}.retiresAt", DATE),
    Refused("date of another age", life(retiresAt="1999-01-01T00:00:00Z"), f"{LIFE}.retiresAt", DATE),
    Refused(
        "retired before it is deprecated",
        life(deprecatedAt="2027-03-01T00:00:00Z", retiresAt="2027-03-01T05:00:00+09:00"),
        f"{LIFE}.retiresAt",
        "retiresAt (2027-03-01T05:00:00+09:00) must be after deprecatedAt (2027-03-01T00:00:00Z)",
    ),
    Refused("redirect to nowhere", life(onRetirement="Redirect"), f"{LIFE}.onRetirement", "Redirect needs successor"),
    Refused(
        "successor unknown",
        life(successor="v7"),
        "spec.versions",
        "lifecycle.successor must name another version: ",
        python="v1 -> v7",
        cel='["v1 -> v7"]',
    ),
    Refused(
        "successor is itself", life(successor="v1"), "spec.versions", "lifecycle.successor must name another version: "
    ),
    Refused(
        "circle of 2",
        spec(versions=chain(2, closed=True)),
        "spec.versions",
        "successors form a circle: ",
        python="m0, m1",
        cel='["m0", "m1"]',
    ),
    Refused("circle of 3", spec(versions=chain(3, closed=True)), "spec.versions", "successors form a circle: "),
    Refused("circle of 63", spec(versions=chain(63, closed=True)), "spec.versions", "successors form a circle: "),
    Refused(
        "way into a circle",
        spec(versions=[version("v1", "m0"), *chain(5, closed=True)[1:]]),
        "spec.versions",
        "successors form a circle: ",
        cel='["m0", "m1", "m2", "m3", "m4"]',
    ),
    # traffic
    Refused(
        "no parents", gateway(parentRefs=[]), "spec.traffic.gateway.parentRefs", python="at least 1", cel="at least 1"
    ),
    Refused(
        "host name with a path",
        gateway(hostnames=["a.example.com/x"]),
        "spec.traffic.gateway.hostnames[0]",
        "write a host name in lower-case",
    ),
    Refused(
        "host name in capitals",
        gateway(hostnames=["A.example.com"]),
        "spec.traffic.gateway.hostnames[0]",
        "write a host name in lower-case",
    ),
    Refused(
        "address as host name",
        gateway(hostnames=["192.0.2.1"]),
        "spec.traffic.gateway.hostnames[0]",
        "write a host name, not an address",
    ),
    # steps
    Refused("weights fall", steps(50, 25, 100), STEPS, "weights must rise from step to step: [50, 25, 100]"),
    Refused("weight twice", steps(50, 50, 100), STEPS, "weights must rise from step to step: [50, 50, 100]"),
    Refused("last weight below 100", steps(5, 50), STEPS, "the last step must have weight 100"),
    Refused("no steps", steps(), STEPS, python="at least 1", cel="at least 1"),
    Refused("weight 0", steps(0, 100), f"{STEPS}[0].weight", python="at least 1", cel="greater than or equal to 1"),
    Refused("weight 101", steps(5, 101), f"{STEPS}[1].weight", python="at most 100", cel="less than or equal to 100"),
    Refused("33 steps", steps(*range(1, 33), 100), STEPS, python="at most 32", cel="at most 32"),
    Refused(
        "pause for a while",
        steps({"weight": 5, "pause": {"until": "later"}}, 100),
        f"{STEPS}[0].pause.until",
        "write Approved, or a duration",
    ),
    Refused(
        "pause without until",
        steps({"weight": 5, "pause": {}}, 100),
        f"{STEPS}[0].pause.until",
        python="is required",
        cel="Required value",
    ),
    Refused(
        "step ends before it may",
        steps({"weight": 5, "minDuration": "1h", "maxDuration": "60m"}, 100),
        f"{STEPS}[0].maxDuration",
        "maxDuration must be longer than minDuration",
    ),
    Refused(
        "step ends before its pause",
        steps({"weight": 5, "maxDuration": "1h", "pause": {"until": "2h"}}, 100),
        f"{STEPS}[0].maxDuration",
        "maxDuration must be longer than minDuration, and than a pause",
    ),
    # guardrails
    Refused(
        "latency without slowerThan",
        guardrail(metric="TimeToFirstToken", limit="5%"),
        f"{GUARD}.slowerThan",
        "needs slowerThan",
    ),
    Refused(
        "errors with slowerThan",
        guardrail(metric="ErrorRate", limit="1%", slowerThan="1s"),
        f"{GUARD}.slowerThan",
        "ErrorRate has none",
    ),
    Refused(
        "guardrail without bound",
        guardrail(metric="ErrorRate"),
        f"{GUARD}.limit",
        "write limit, or comparedToStable with require: Pass",
    ),
    Refused(
        "ratio that shows nothing",
        guardrail(metric="ErrorRate", comparedToStable={"maxRatio": "1.25"}),
        f"{GUARD}.limit",
        "write limit, or comparedToStable with require: Pass",
    ),
    Refused("limit without percent sign", guardrail(metric="ErrorRate", limit="0.01"), f"{GUARD}.limit", PERCENT),
    Refused("limit 0%", guardrail(metric="ErrorRate", limit="0%"), f"{GUARD}.limit", PERCENT),
    Refused("limit 100%", guardrail(metric="ErrorRate", limit="100%"), f"{GUARD}.limit", PERCENT),
    Refused("limit 101%", guardrail(metric="ErrorRate", limit="101%"), f"{GUARD}.limit", PERCENT),
    Refused(
        "ratio below 1",
        guardrail(metric="ErrorRate", limit="1%", comparedToStable={"maxRatio": "0.9"}),
        f"{GUARD}.comparedToStable.maxRatio",
        "write a decimal number in quotes",
    ),
    Refused(
        "ratio not quoted",
        guardrail(metric="ErrorRate", limit="1%", comparedToStable={"maxRatio": 1.25}),
        f"{GUARD}.comparedToStable.maxRatio",
        python="write a decimal number in quotes",
        cel="must be of type string",
    ),
    Refused(
        "unknown metric",
        guardrail(metric="Errors", limit="1%"),
        f"{GUARD}.metric",
        python="write 'ErrorRate'",
        cel='Unsupported value: "Errors"',
    ),
    Refused(
        "two guardrails of one name",
        rollout(guardrails=[{"name": "g", "metric": "ErrorRate", "limit": "1%"}] * 2),
        "spec.rollout.guardrails[1]",
        python="twice",
        cel="Duplicate value",
    ),
    Refused(
        "adaptive without a budget",
        rollout(strategy="Adaptive", guardrails=ERRORS),
        f"{RISK}.maxHarmedRequests",
        "Adaptive needs maxHarmedRequests: write how many",
    ),
    Refused(
        "adaptive with half of a risk",
        rollout(strategy="Adaptive", guardrails=ERRORS, risk={"falseRollback": "1%"}),
        f"{RISK}.maxHarmedRequests",
        "Adaptive needs maxHarmedRequests: write how many",
    ),
    Refused(
        "a budget without adaptive",
        rollout(guardrails=ERRORS, risk={"maxHarmedRequests": 50}),
        f"{RISK}.maxHarmedRequests",
        "only strategy: Adaptive keeps maxHarmedRequests",
    ),
    Refused(
        "a budget for steps",
        rollout(strategy="Steps", guardrails=ERRORS, risk={"maxHarmedRequests": 50}),
        f"{RISK}.maxHarmedRequests",
        "only strategy: Adaptive keeps maxHarmedRequests",
    ),
    Refused(
        "adaptive without guardrails",
        rollout(strategy="Adaptive", risk={"maxHarmedRequests": 50}),
        "spec.rollout.guardrails",
        "write a guardrail with limit that rolls back",
    ),
    Refused(
        "adaptive without a limit that rolls back",
        rollout(
            strategy="Adaptive",
            risk={"maxHarmedRequests": 50},
            guardrails=[
                {**ERRORS[0], "action": "Observe"},
                {"name": "ratio", "metric": "ErrorRate", "comparedToStable": {"maxRatio": "1.25", "require": "Pass"}},
            ],
        ),
        "spec.rollout.guardrails",
        "write a guardrail with limit that rolls back",
    ),
    Refused(
        "a budget of nothing",
        rollout(strategy="Adaptive", risk={"maxHarmedRequests": 0}, guardrails=ERRORS),
        f"{RISK}.maxHarmedRequests",
        python="at least 1",
        cel="greater than or equal to 1",
    ),
    Refused(
        "a budget in quotes",
        rollout(strategy="Adaptive", risk={"maxHarmedRequests": "50"}, guardrails=ERRORS),
        f"{RISK}.maxHarmedRequests",
        python="without quotes",
        cel="must be of type integer",
    ),
    Refused(
        "strategy misspelt",
        rollout(strategy="adaptive", guardrails=ERRORS),
        "spec.rollout.strategy",
        python="write 'Steps' or 'Adaptive'",
        cel='Unsupported value: "adaptive"',
    ),
    Refused("risk of a coin", rollout(risk={"falseRollback": "50%"}), "spec.rollout.risk.falseRollback", PERCENT),
    Refused(
        "inconclusive misspelt",
        rollout(onInconclusive="hold"),
        "spec.rollout.onInconclusive",
        python="write 'Hold' or 'RollBack'",
        cel='Unsupported value: "hold"',
    ),
    Refused(
        "address as metric source",
        rollout(metrics={"source": "http://prometheus:9090"}),
        "spec.rollout.metrics.source",
        "write Direct, or the name of a source",
    ),
]

ACCEPTED = [
    Accepted("as it is", lambda _: None),
    Accepted("longest names", both(named("a" * 33), spec(serve="b" * 20, versions=[version("b" * 20)]))),
    Accepted("chain of 63", spec(versions=chain(63, closed=False))),
    Accepted("many lead to one", spec(versions=[version("v1", "v3"), version("v2", "v3"), version("v3")])),
    Accepted("durations", template(drainTimeout="0s", startupTimeout="1h30m2.5s500ms")),
    Accepted("quantities", template(resources={"cpu": 8, "memory": "64Gi", "gpus": 0})),
    Accepted("fractions of quantities", template(resources={"cpu": "1500m", "memory": "1.5e9"})),
    Accepted("model on a claim", model(uri="pvc://weights/qwen/3.0")),
    Accepted("file of a repository", model(uri="hf://Qwen/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf")),
    Accepted(
        "model in the image", lambda obj: obj["spec"]["versions"][0].update(model={"uri": "image:///models/..a/m.gguf"})
    ),
    Accepted(
        "dates across offsets",
        life(
            deprecatedAt="2027-03-01T09:00:00+09:00",
            retiresAt="2027-03-01T00:00:01Z",
            successor="v2",
            onRetirement="Redirect",
            migrateBefore="0s",
        ),
    ),
    Accepted("refuse without successor", life(retiresAt="2027-03-01T00:00:00.5Z", onRetirement="Refuse")),
    Accepted("one step", steps(100)),
    Accepted(
        "steps with all fields",
        steps(
            {"weight": 5, "minDuration": "1m", "minRequests": 0, "maxDuration": "61s", "pause": {"until": "Approved"}},
            {"weight": 50, "pause": {"until": "30m"}},
            100,
        ),
    ),
    Accepted(
        "guardrail by ratio alone",
        guardrail(metric="ErrorRate", comparedToStable={"maxRatio": "1.25", "require": "Pass"}),
    ),
    Accepted(
        "guardrail with both",
        guardrail(
            metric="RequestLatency", slowerThan="2.5s", limit="99.9%", comparedToStable={"maxRatio": "2"}, action="Hold"
        ),
    ),
    Accepted(
        "risks",
        rollout(
            risk={"falseRollback": "0.1%", "falsePromotion": "49.9%"}, keepPrevious="0s", metrics={"source": "central"}
        ),
    ),
    Accepted("adaptive", rollout(strategy="Adaptive", risk={"maxHarmedRequests": 1_000_000}, guardrails=ERRORS)),
    Accepted(
        "adaptive that stops on its way",
        rollout(
            strategy="Adaptive",
            risk={"maxHarmedRequests": 1},
            guardrails=[{**ERRORS[0], "action": "RollBack"}],
            steps=[{"weight": 50, "pause": {"until": "Approved"}}, {"weight": 100}],
        ),
    ),
    Accepted("steps by name", rollout(strategy="Steps")),
    Accepted("wildcard host", gateway(hostnames=["*.models.example.com", "localhost"])),
    Accepted(
        "engine by version",
        lambda obj: (
            obj["spec"].pop("template"),
            [v.update(template={"engine": {"name": "OpenAI", "image": "x"}}) for v in obj["spec"]["versions"]],
        ),
    ),
    Accepted(
        "env of all kinds",
        template(
            env=[
                {"name": "A", "value": ""},
                {"name": "API_KEY", "value": ""},
                {"name": "MAX_TOKENS", "value": "5"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k.d"}}},
            ]
        ),
    ),
]
