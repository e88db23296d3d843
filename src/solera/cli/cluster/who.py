"""Who may promote: read from RBAC, as far as the person who asks may read it. Pure, apart from the lists it is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from solera.cli.cluster.client import GROUP, PLURAL, Client
from solera.cli.errors import CliError

VERB = "promote"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
Object = Mapping[str, Any]


def allows(rules: Iterable[Object], name: str) -> bool:
    """Does a role with these rules give the verb `promote` on the LLMDeployment `name`?"""
    return any(
        {VERB, "*"} & set(rule.get("verbs") or ())
        and {GROUP, "*"} & set(rule.get("apiGroups") or ())
        and {PLURAL, "*"} & set(rule.get("resources") or ())
        and (not rule.get("resourceNames") or name in rule["resourceNames"])
        for rule in rules
    )


def subjects(
    name: str,
    roles: Iterable[Object],
    cluster_roles: Iterable[Object],
    bindings: Iterable[Object],
) -> Iterator[str]:
    """`Group ml-leads (by RoleBinding promoters)` for each subject that some binding gives a role that allows it."""
    giving = {("Role", r["metadata"]["name"]) for r in roles if allows(r.get("rules") or (), name)}
    giving |= {("ClusterRole", r["metadata"]["name"]) for r in cluster_roles if allows(r.get("rules") or (), name)}
    for binding in bindings:
        ref = binding.get("roleRef") or {}
        if (ref.get("kind"), ref.get("name")) not in giving:
            continue
        where = "RoleBinding" if binding["metadata"].get("namespace") else "ClusterRoleBinding"
        for s in binding.get("subjects") or ():
            who = f"{s['namespace']}/{s['name']}" if s.get("namespace") else s.get("name")
            yield f"{s.get('kind')} {who} (by {where} {binding['metadata']['name']})"


def who_may(client: Client, namespace: str, name: str) -> tuple[list[str], bool]:
    """Everyone who may promote, and whether all of RBAC could be read (most people may read only a part)."""
    complete = True

    def read(path: str) -> list[dict[str, Any]]:
        nonlocal complete
        try:
            return client.items(f"{RBAC}{path}")
        except CliError:
            complete = False
            return []

    inside = f"/namespaces/{namespace}"
    found = subjects(
        name,
        read(f"{inside}/roles"),
        read("/clusterroles"),
        [*read(f"{inside}/rolebindings"), *read("/clusterrolebindings")],
    )
    return list(dict.fromkeys(found)), complete
