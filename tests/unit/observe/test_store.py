from __future__ import annotations

from typing import Any

import pytest

from solera.observe.store import FAIL_OPEN, Store
from twin.objects import KEY, NAME, NAMESPACE, child, llmdeployment


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def woken() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def store(woken: list[tuple[str, str]], clock: Clock) -> Store:
    return Store(woken.append, clock=clock)


def deployment(name: str = "chat-v1-abcdefgh", **kwargs: Any) -> dict[str, Any]:
    return child("Deployment", name, **kwargs)


def test_a_child_is_found_by_its_label_and_wakes_its_owner(store: Store, woken: list[Any]) -> None:
    store.upsert("Deployment", deployment())
    assert [d["metadata"]["name"] for d in store.children(KEY, "Deployment")] == ["chat-v1-abcdefgh"]
    assert woken == [KEY]


def test_a_known_or_older_version_changes_nothing_and_wakes_nobody(store: Store, woken: list[Any]) -> None:
    store.upsert("Deployment", deployment(version="7", spec={"replicas": 2}))
    woken.clear()
    store.upsert("Deployment", deployment(version="7", spec={"replicas": 9}))
    store.upsert("Deployment", deployment(version="6", spec={"replicas": 9}))
    assert store.get("Deployment", NAMESPACE, "chat-v1-abcdefgh")["spec"] == {"replicas": 2}  # type: ignore[index]
    assert woken == []


def test_versions_are_compared_as_numbers_not_as_text(store: Store) -> None:
    store.upsert("Deployment", deployment(version="99", spec={"replicas": 1}))
    store.upsert("Deployment", deployment(version="100", spec={"replicas": 2}))
    assert store.get("Deployment", NAMESPACE, "chat-v1-abcdefgh")["spec"] == {"replicas": 2}  # type: ignore[index]


def test_a_late_deletion_of_the_old_object_leaves_the_new_one_of_its_name(store: Store) -> None:
    store.upsert("LLMDeployment", llmdeployment(uid="old", version="1"))
    store.upsert("LLMDeployment", llmdeployment(uid="new", version="5"))
    store.remove("LLMDeployment", llmdeployment(uid="old", version="4"))
    assert store.get("LLMDeployment", *KEY)["metadata"]["uid"] == "new"  # type: ignore[index]
    store.remove("LLMDeployment", llmdeployment(uid="new", version="6"))
    assert store.keys() == ()


def test_a_child_whose_label_moves_wakes_both_owners(store: Store, woken: list[Any]) -> None:
    store.upsert("Deployment", deployment(version="1"))
    woken.clear()
    store.upsert("Deployment", deployment(version="2", of="other"))
    assert sorted(woken) == [KEY, (NAMESPACE, "other")]
    assert store.children(KEY, "Deployment") == ()


def test_replace_forgets_what_vanished_and_says_how_much(store: Store, woken: list[Any]) -> None:
    for name in ("chat-v1-aaaaaaaa", "chat-v2-bbbbbbbb", "chat-v3-cccccccc"):
        store.upsert("Deployment", deployment(name))
    woken.clear()
    assert store.replace("Deployment", [deployment("chat-v2-bbbbbbbb")]) == 2
    assert [d["metadata"]["name"] for d in store.children(KEY, "Deployment")] == ["chat-v2-bbbbbbbb"]
    assert woken == [KEY]


def test_replace_of_what_is_known_already_wakes_nobody(store: Store, woken: list[Any]) -> None:
    store.upsert("Deployment", deployment(version="3"))
    woken.clear()
    assert store.replace("Deployment", [deployment(version="3")]) == 0
    assert woken == []


def test_replace_believes_a_list_with_lower_versions(store: Store) -> None:
    """An apiserver restored from a backup counts from an earlier version on."""
    store.upsert("Deployment", deployment(version="900", spec={"replicas": 2}))
    store.replace("Deployment", [deployment(version="40", spec={"replicas": 1})])
    assert store.get("Deployment", NAMESPACE, "chat-v1-abcdefgh")["spec"] == {"replicas": 1}  # type: ignore[index]


def test_replace_of_one_namespace_leaves_the_others(store: Store) -> None:
    store.upsert("Deployment", deployment())
    assert store.replace("Deployment", [], "elsewhere") == 0
    assert store.replace("Deployment", [], NAMESPACE) == 1


def test_behind_until_the_own_write_is_heard_of(store: Store) -> None:
    store.upsert("Deployment", deployment(version="3"))
    assert not store.behind(KEY)
    store.wrote(KEY, deployment(version="8"))
    assert store.behind(KEY)
    store.upsert("Deployment", deployment(version="7"))
    assert store.behind(KEY)
    store.upsert("Deployment", deployment(version="9"))
    assert not store.behind(KEY)


def test_behind_until_a_created_object_is_heard_of(store: Store) -> None:
    store.wrote(KEY, deployment(version="8"))
    assert store.behind(KEY)
    store.upsert("Deployment", deployment(version="8"))
    assert not store.behind(KEY)


def test_a_write_that_is_never_heard_of_does_not_hold_up_for_ever(store: Store, clock: Clock) -> None:
    store.wrote(KEY, deployment(version="8"))
    clock.now += FAIL_OPEN - 0.1
    assert store.behind(KEY)
    clock.now += 0.1
    assert not store.behind(KEY)
    clock.now -= 5
    assert not store.behind(KEY), "what was given up stays given up"


def test_versions_that_are_no_numbers_are_compared_by_equality(store: Store) -> None:
    store.upsert("Deployment", deployment(version="abc"))
    store.wrote(KEY, deployment(version="def"))
    assert store.behind(KEY)
    store.upsert("Deployment", deployment(version="def"))
    assert not store.behind(KEY)


def test_not_behind_what_another_hand_has_deleted_since(store: Store) -> None:
    store.upsert("HTTPRoute", child("HTTPRoute", NAME, version="3"))
    store.wrote(KEY, child("HTTPRoute", NAME, version="8"))
    store.upsert("HTTPRoute", child("HTTPRoute", NAME, version="8"))
    store.remove("HTTPRoute", child("HTTPRoute", NAME, version="9"))  # before anybody asked
    assert not store.behind(KEY)


def test_the_end_of_an_older_object_is_no_news_of_a_later_write(store: Store) -> None:
    store.upsert("HTTPRoute", child("HTTPRoute", NAME, version="3", uid="first"))
    store.wrote(KEY, child("HTTPRoute", NAME, version="8", uid="second"))
    store.remove("HTTPRoute", child("HTTPRoute", NAME, version="5", uid="first"))
    assert store.behind(KEY)


def test_one_key_being_behind_does_not_hold_up_another(store: Store) -> None:
    store.wrote(KEY, deployment(version="8"))
    assert not store.behind((NAMESPACE, "other"))


@pytest.mark.parametrize("change", ["gone", "terminating", "other uid"])
def test_behind_until_an_own_deletion_is_heard_of(store: Store, change: str) -> None:
    seen = deployment(version="3")
    store.upsert("Deployment", seen)
    store.deleted(KEY, "Deployment", NAMESPACE, "chat-v1-abcdefgh", seen["metadata"]["uid"])
    assert store.behind(KEY)
    after = deployment(version="4", uid="another" if change == "other uid" else None)
    if change == "gone":
        store.remove("Deployment", after)
    else:
        if change == "terminating":
            after["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        store.upsert("Deployment", after)
    assert not store.behind(KEY)


def test_writes_of_kinds_that_are_not_watched_are_not_waited_for(store: Store) -> None:
    store.wrote(KEY, child("PersistentVolumeClaim", "chat-v1-cache", api_version="v1"))
    assert not store.behind(KEY)


def claiming(
    name: str, /, *hosts: str, created: str = "2026-01-01T00:00:00Z", version: str = "1", **ref: Any
) -> dict[str, Any]:
    gateway = {"parentRefs": [{"name": "inference", "namespace": "gateways", **ref}], "hostnames": list(hosts)}
    spec = {"traffic": {"gateway": gateway}}
    return llmdeployment(name, uid=f"uid-{name}", version=version, created=created, spec=spec)


def test_the_younger_loses_a_hostname_and_the_older_does_not(store: Store) -> None:
    store.upsert("LLMDeployment", claiming("young", "a.example.com", created="2026-02-01T00:00:00Z"))
    store.upsert("LLMDeployment", claiming("old", "A.example.com", "b.example.com"))
    assert store.rivals((NAMESPACE, "young")) == (f"a.example.com is claimed by {NAMESPACE}/old (older)",)
    assert store.rivals((NAMESPACE, "old")) == ()


def test_of_two_of_one_second_the_first_by_name_is_older(store: Store) -> None:
    store.upsert("LLMDeployment", claiming("b", "a.example.com"))
    store.upsert("LLMDeployment", claiming("a", "a.example.com"))
    assert store.rivals((NAMESPACE, "a")) == ()
    assert store.rivals((NAMESPACE, "b")) == (f"a.example.com is claimed by {NAMESPACE}/a (older)",)


def test_the_younger_is_woken_when_the_older_lets_go(store: Store, woken: list[Any]) -> None:
    store.upsert("LLMDeployment", claiming("old", "a.example.com"))
    store.upsert("LLMDeployment", claiming("young", "a.example.com", created="2026-02-01T00:00:00Z"))
    woken.clear()
    store.upsert("LLMDeployment", claiming("old", "c.example.com", version="2"))
    assert (NAMESPACE, "young") in woken
    assert store.rivals((NAMESPACE, "young")) == ()
    store.upsert("LLMDeployment", claiming("old", "a.example.com", version="3"))
    woken.clear()
    store.remove("LLMDeployment", claiming("old", "a.example.com"))
    assert (NAMESPACE, "young") in woken
    assert store.rivals((NAMESPACE, "young")) == ()


def test_a_change_of_status_alone_does_not_wake_neighbours(store: Store, woken: list[Any]) -> None:
    store.upsert("LLMDeployment", claiming("old", "a.example.com"))
    store.upsert("LLMDeployment", claiming("young", "a.example.com", created="2026-02-01T00:00:00Z"))
    woken.clear()
    store.upsert("LLMDeployment", claiming("old", "a.example.com", version="2"))
    assert woken == [(NAMESPACE, "old")]


@pytest.mark.parametrize(
    ("mine", "theirs", "meet"),
    [
        ({"sectionName": "http"}, {"sectionName": "https"}, False),
        ({"sectionName": "http"}, {}, True),
        ({"port": 80}, {"port": 443}, False),
        ({"name": "another"}, {}, False),
        ({"namespace": "another"}, {}, False),
    ],
)
def test_claims_meet_only_at_one_listener(
    store: Store, mine: dict[str, Any], theirs: dict[str, Any], meet: bool
) -> None:
    store.upsert("LLMDeployment", claiming("old", "a.example.com", **theirs))
    store.upsert("LLMDeployment", claiming("young", "a.example.com", created="2026-02-01T00:00:00Z", **mine))
    assert bool(store.rivals((NAMESPACE, "young"))) is meet


def test_without_hostnames_the_whole_listener_is_claimed(store: Store) -> None:
    store.upsert("LLMDeployment", claiming("old"))
    store.upsert("LLMDeployment", claiming("young", created="2026-02-01T00:00:00Z"))
    assert store.rivals((NAMESPACE, "young")) == (
        f"every hostname of the listener is claimed by {NAMESPACE}/old (older)",
    )


def test_a_gateway_without_namespace_is_one_of_the_own_namespace(store: Store) -> None:
    store.upsert("LLMDeployment", claiming("old", "a.example.com", namespace=None))
    store.upsert(
        "LLMDeployment", claiming("young", "a.example.com", created="2026-02-01T00:00:00Z", namespace=NAMESPACE)
    )
    assert store.rivals((NAMESPACE, "young"))


def test_the_name_alone_is_enough_for_the_own_key(store: Store, woken: list[Any]) -> None:
    store.upsert("LLMDeployment", llmdeployment())
    assert woken == [(NAMESPACE, NAME)]
    assert store.keys() == (KEY,)


def test_a_child_that_vanished_makes_its_owner_doubtful_until_that_is_seen_alive(store: Store) -> None:
    store.upsert("LLMDeployment", llmdeployment(version="1"))
    seen = deployment(version="2")
    store.upsert("Deployment", seen)
    assert not store.doubtful(KEY)
    store.remove("Deployment", seen)
    assert store.doubtful(KEY)
    store.upsert("LLMDeployment", llmdeployment(version="3"))
    assert store.doubtful(KEY), "that may have been before"
    store.alive(KEY)
    assert not store.doubtful(KEY)


def test_a_child_that_a_list_lacks_makes_its_owner_doubtful(store: Store) -> None:
    store.upsert("LLMDeployment", llmdeployment(version="1"))
    store.upsert("Deployment", deployment(version="2"))
    store.replace("Deployment", [])
    assert store.doubtful(KEY)


def test_what_was_deleted_here_and_what_others_make_says_nothing_about_the_owner(store: Store) -> None:
    store.upsert("LLMDeployment", llmdeployment(version="1"))
    seen, pod = deployment(version="2"), child("Pod", "chat-v1-abcdefgh-x", api_version="v1", version="3")
    for obj in (seen, pod):
        store.upsert(obj["kind"], obj)
    store.deleted(KEY, "Deployment", NAMESPACE, "chat-v1-abcdefgh", seen["metadata"]["uid"])
    for obj in (seen, pod):
        store.remove(obj["kind"], obj)
    assert not store.doubtful(KEY)


def test_an_owner_that_is_gone_is_not_kept_in_mind(store: Store) -> None:
    owner, seen = llmdeployment(version="1"), deployment(version="2")
    store.upsert("LLMDeployment", owner)
    store.upsert("Deployment", seen)
    store.remove("LLMDeployment", owner)
    store.remove("Deployment", seen)
    assert not store.doubtful(KEY)
