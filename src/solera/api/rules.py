"""The CEL rules of the CRD that look at more than one scalar. Each stands as deep as it can.

A rule on an object is skipped when that object did not change, so a rule deep down never locks a stored object; a rule at the
root always runs, also on status writes and on the removal of a finalizer. Cross references are written linearly (a list bound
once by `[x].all(name, ...)`): a loop in a loop costs a third of the time of a write with 64 versions.
`checks.py` says the same in Python for objects that did not pass through these rules.
"""

import re
from itertools import pairwise

from pydantic import AfterValidator

from solera.api.extensions import Rule
from solera.api.scalars import DATE, DURATION


def _literal(text: str) -> str:
    """A CEL string literal."""
    return "'" + text.replace("'", "\\'") + "'"


# --- the model -------------------------------------------------------------------------------------------------------

SAY_MODEL_URI = "write hf://ORG/NAME, pvc://CLAIM/PATH, or image:///PATH for weights inside the engine's image"
SAY_HF_REVISION = (
    "hf:// needs revision: the commit of the model, 40 hexadecimal digits, so that the weights cannot change unseen"
)

_SEGMENT = "[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*"  # not only dots: `..` would step out of the folder
_REPOSITORY = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_CLAIM = "[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
MODEL_URI_FORM = (
    f"^(hf://{_REPOSITORY}/{_REPOSITORY}(/{_SEGMENT})*|pvc://{_CLAIM}(/{_SEGMENT})+|image://(/{_SEGMENT})+)$"
)
COMMIT = "^[0-9a-f]{40}$"


def check_model_uri(text: str) -> str:
    """The Python side of MODEL_URI."""
    if not re.match(MODEL_URI_FORM, text) or text.endswith("\n"):
        raise ValueError(f"{text!r} names no model that can be served: {SAY_MODEL_URI}")
    return text


MODEL_URI = (
    AfterValidator(check_model_uri),
    Rule(
        f"self.matches('{MODEL_URI_FORM}')",
        SAY_MODEL_URI,
    ),
)
HF_NEEDS_REVISION = Rule(
    f"!self.uri.startsWith('hf://') || (has(self.revision) && self.revision.matches('{COMMIT}'))",
    SAY_HF_REVISION,
    field_path=".revision",
)
MODEL_IS_PUBLISHED = Rule(
    "self.model == oldSelf.model",
    "a published model cannot change; add a new version instead",
    "'version ' + self.name + ' is published: its model cannot change; add a new version instead'",
    field_path=".model",
    forbidden=True,
)

# --- environment -----------------------------------------------------------------------------------------------------

SAY_ONE_ENV_VALUE = "write exactly one of value and valueFrom"
SAY_ONE_ENV_SOURCE = "write exactly one of secretKeyRef and configMapKeyRef"
CONFIDENTIAL = "(^|_)(TOKEN|PASSWORD|SECRET|API_KEY|ACCESS_KEY|SECRET_KEY)$"
SAY_CONFIDENTIAL = (
    "a secret never stands here: put it into a Secret, and write valueFrom with secretKeyRef in place of value"
)
NO_SECRET = Rule(
    f"!has(self.value) || self.value == '' || !self.name.matches('{CONFIDENTIAL}')",
    SAY_CONFIDENTIAL,
    field_path=".value",
    forbidden=True,  # as such it is reported without the value
)
ONE_ENV_VALUE = Rule("has(self.value) != has(self.valueFrom)", SAY_ONE_ENV_VALUE)
ONE_ENV_SOURCE = Rule("has(self.secretKeyRef) != has(self.configMapKeyRef)", SAY_ONE_ENV_SOURCE)

# --- lifecycle -------------------------------------------------------------------------------------------------------

SAY_REDIRECT = "Redirect needs successor: the version that answers from retiresAt on"
RETIRES_AFTER_DEPRECATED = Rule(
    "!has(self.deprecatedAt) || !has(self.retiresAt) || "
    f"!self.deprecatedAt.matches('{DATE}') || !self.retiresAt.matches('{DATE}') || "
    "timestamp(self.retiresAt) > timestamp(self.deprecatedAt)",
    "retiresAt must be after deprecatedAt",
    "'retiresAt (%s) must be after deprecatedAt (%s)'.format([self.retiresAt, self.deprecatedAt])",
    field_path=".retiresAt",
)
REDIRECT_NEEDS_SUCCESSOR = Rule(
    "!has(self.onRetirement) || self.onRetirement != 'Redirect' || has(self.successor)",
    SAY_REDIRECT,
    field_path=".onRetirement",
)

_HAS_SUCCESSOR = "has(v.lifecycle) && has(v.lifecycle.successor)"
_WRONG_SUCCESSOR = f"{_HAS_SUCCESSOR} && (v.lifecycle.successor == v.name || !(v.lifecycle.successor in names))"
SUCCESSOR_EXISTS = Rule(
    "[self.map(w, w.name)].all(names, self.all(v, !has(v.lifecycle) || !has(v.lifecycle.successor) || "
    "(v.lifecycle.successor != v.name && v.lifecycle.successor in names)))",
    "lifecycle.successor must name another version in spec.versions",
    "'lifecycle.successor must name another version: %s'.format([[self.map(w, w.name)].map(names, "
    f"self.filter(v, {_WRONG_SUCCESSOR}))[0].map(v, '%s -> %s'.format([v.name, v.lifecycle.successor]))])",
)


def _no_circle(maximum: int) -> Rule:
    """Follow every successor 1, 2, 4, ... steps at once: after `maximum` steps only what leads into a circle is left.

    The values that are left are then exactly the members of circles.
    """
    doublings = max(1, (maximum - 1).bit_length())
    start = f"[self.filter(v, {_HAS_SUCCESSOR}).transformMapEntry(i, v, {{v.name: v.lifecycle.successor}})]"
    names = [f"m{i}" for i in range(doublings + 1)]

    def nest(macro: str, last: str) -> str:
        steps = [f"[{a}.transformMap(k, s, s in {a}, {a}[s])].{macro}({b}, " for a, b in pairwise(names)]
        return f"{start}.{macro}(m0, " + "".join(steps) + last + ")" * len(names)

    end = names[-1]
    # Every `map` wraps its result in a list of one: as many `[0]` take it out again.
    members = nest("map", f"[{end}.map(k, {end}[k])].map(on, self.map(v, v.name).filter(n, n in on))[0]")
    unwrapped = members + "[0]" * len(names)
    return Rule(
        nest("all", f"{end}.size() == 0"),
        "successors form a circle",
        f"'successors form a circle: %s'.format([{unwrapped}])",
    )


MAX_VERSIONS = 64
NO_CIRCLE = _no_circle(MAX_VERSIONS)

# --- rollout ---------------------------------------------------------------------------------------------------------

SAY_LAST_WEIGHT = "the last step must have weight 100"
SAY_PAUSE = "write Approved, or a duration, for example 30m"
SAY_SLOWER_THAN = (
    "every metric but ErrorRate needs slowerThan (from which time on an answer is bad); ErrorRate has none"
)
SAY_BOUND = "write limit, or comparedToStable with require: Pass; otherwise nothing can show that the guardrail is kept"
SAY_STEP_TIMES = "maxDuration must be longer than minDuration, and than a pause that has a duration"

WEIGHTS_RISE = Rule(
    "self.all(i, s, i == 0 || s.weight > self[i - 1].weight)",
    "weights must rise from step to step",
    "'weights must rise from step to step: %s'.format([self.map(s, s.weight)])",
)
LAST_WEIGHT_IS_100 = Rule("self.size() == 0 || self[self.size() - 1].weight == 100", SAY_LAST_WEIGHT)


def _longer(than: str, present: str) -> str:
    """A CEL expression: maxDuration is longer than another duration, if both are there and readable."""
    return (
        f"({present} || !{than}.matches('{DURATION}') || !self.maxDuration.matches('{DURATION}') || "
        f"duration(self.maxDuration) > duration({than}))"
    )


STEP_TIMES = Rule(
    f"!has(self.maxDuration) || ({_longer('self.minDuration', '!has(self.minDuration)')} && "
    f"{_longer('self.pause.until', '!has(self.pause)')})",
    SAY_STEP_TIMES,
    field_path=".maxDuration",
)
PAUSE_UNTIL = Rule(f"self == 'Approved' || (self.matches('{DURATION}') && self.size() > 0)", SAY_PAUSE)


def _check_pause(text: str) -> str:
    if text != "Approved" and (text.endswith("\n") or not text or not re.match(DURATION, text)):
        raise ValueError(f"{text!r} is not possible here: {SAY_PAUSE}")
    return text


PAUSE_UNTIL_CHECK = AfterValidator(_check_pause)
SLOWER_THAN = Rule("(self.metric == 'ErrorRate') != has(self.slowerThan)", SAY_SLOWER_THAN, field_path=".slowerThan")
GUARDRAIL_NEEDS_A_BOUND = Rule(
    "has(self.limit) || (has(self.comparedToStable) && has(self.comparedToStable.require))",
    SAY_BOUND,
    field_path=".limit",
)

SAY_BUDGET = "Adaptive needs maxHarmedRequests: write how many bad requests more than its limits allow a rollout may cause, for example 50"
SAY_NO_BUDGET = "only strategy: Adaptive keeps maxHarmedRequests; write that strategy, or leave this out"
SAY_BUDGET_OF_WHAT = "Adaptive needs a limit to count from; write a guardrail with limit that rolls back, for example ErrorRate with limit 1%"

_ADAPTIVE = "has(self.strategy) && self.strategy == 'Adaptive'"
_BUDGET = "has(self.risk) && has(self.risk.maxHarmedRequests)"
ADAPTIVE_NEEDS_A_BUDGET = Rule(f"!({_ADAPTIVE}) || ({_BUDGET})", SAY_BUDGET, field_path=".risk.maxHarmedRequests")
BUDGET_NEEDS_ADAPTIVE = Rule(f"!({_BUDGET}) || ({_ADAPTIVE})", SAY_NO_BUDGET, field_path=".risk.maxHarmedRequests")
ADAPTIVE_NEEDS_A_LIMIT = Rule(
    f"!({_ADAPTIVE}) || (has(self.guardrails) && "
    "self.guardrails.exists(g, has(g.limit) && (!has(g.action) || g.action == 'RollBack')))",
    SAY_BUDGET_OF_WHAT,
    field_path=".guardrails",
)

# --- traffic ---------------------------------------------------------------------------------------------------------

SAY_NOT_AN_ADDRESS = "write a host name, not an address"
NOT_AN_ADDRESS = Rule("!self.matches('^[0-9]{1,3}([.][0-9]{1,3}){3}$')", SAY_NOT_AN_ADDRESS)

# --- spec and the whole object ---------------------------------------------------------------------------------------

SERVE_EXISTS = Rule(
    "self.serve in self.versions.map(v, v.name)",
    "serve must name a version in spec.versions",
    "'no version is named %s; spec.versions has %s'.format([self.serve, self.versions.map(v, v.name)])",
    field_path=".serve",
)


def _engine_has(field: str, say: str) -> Rule:
    there = f"has(self.template) && has(self.template.engine) && has(self.template.engine.{field})"
    each = f"has(v.template) && has(v.template.engine) && has(v.template.engine.{field})"
    return Rule(
        f"({there}) || self.versions.all(v, {each})",
        say,
        f"{_literal(f'{say}; missing for %s')}.format([self.versions.filter(v, !({each})).map(v, v.name)])",
        field_path=".template",
    )


SAY_ENGINE_NAME = (
    "write engine.name (vLLM, SGLang, llama.cpp or OpenAI) in spec.template or in every version's template"
)
SAY_ENGINE_IMAGE = "write engine.image in spec.template or in every version's template"
ENGINE_NAME = _engine_has("name", SAY_ENGINE_NAME)
ENGINE_IMAGE = _engine_has("image", SAY_ENGINE_IMAGE)

# Compared with self.status, never with oldSelf.status: a wrong record would otherwise lock the object for good.
NAME_NOT_REUSED = Rule(
    "!has(self.status) || !has(self.status.versions) || "
    "[self.spec.versions.transformMapEntry(i, v, {v.name: v.model})].all(m, self.status.versions.all(s, !has(s.uri) || "
    "!(s.name in m) || (m[s.name].uri == s.uri && has(m[s.name].revision) == has(s.modelRevision) && "
    "(!has(s.modelRevision) || m[s.name].revision == s.modelRevision))))",
    "a version name was used for another model before; use a new name",
    "'%s was used for another model before; use a new name'.format([[self.spec.versions.transformMapEntry(i, v, "
    "{v.name: v.model})].map(m, self.status.versions.filter(s, has(s.uri) && s.name in m && !(m[s.name].uri == s.uri && "
    "has(m[s.name].revision) == has(s.modelRevision) && (!has(s.modelRevision) || "
    "m[s.name].revision == s.modelRevision))).map(s, s.name))[0]])",
    field_path=".spec.versions",
    forbidden=True,
)
SERVING_VERSION_STAYS = Rule(
    "!has(self.status) || !has(self.status.stable) || self.spec.versions.exists(v, v.name == self.status.stable.version)",
    "the version that carries the traffic cannot be removed",
    "'%s carries the traffic and cannot be removed; move spec.serve to another version and wait until it does'"
    ".format([self.status.stable.version])",
    field_path=".spec.versions",
    forbidden=True,
)
# What is missing already locks nothing: a status is written all the same.
WARM_VERSION_STAYS = Rule(
    "!has(self.status) || !has(self.status.previous) || "
    "self.spec.versions.exists(v, v.name == self.status.previous.version) || "
    "!oldSelf.spec.versions.exists(v, v.name == self.status.previous.version)",
    "the version that is kept warm cannot be removed yet",
    "'%s is kept warm, to go back to, and cannot be removed yet; wait until status.previous is gone'"
    ".format([self.status.previous.version])",
    field_path=".spec.versions",
    forbidden=True,
)
