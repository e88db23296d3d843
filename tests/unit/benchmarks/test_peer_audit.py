from __future__ import annotations

import json

from benchmarks.peer import audit


def line(**more) -> str:
    event = {
        "stage": "ResponseComplete",
        "requestReceivedTimestamp": "2026-11-24T01:00:00.500000Z",
        "user": {"username": "flagger"},
        "verb": "get",
        "objectRef": {"resource": "deployments", "namespace": "n", "name": "m", "apiGroup": "apps"},
        "responseStatus": {"code": 200},
    }
    return json.dumps(event | more) + "\n"


AT = 1795482000.5


def test_a_request_is_read_from_the_line_of_its_end() -> None:
    [one] = audit.requests(
        [line(objectRef={"resource": "canaries", "subresource": "status", "name": "m"}, verb="update")]
    )
    assert one == audit.Request(AT, "flagger", "update", "canaries/status", "", "m", 200)
    assert one.write
    assert not one.read


def test_a_watch_counts_once_when_it_begins() -> None:
    lines = [line(verb="watch", stage="ResponseStarted"), line(verb="watch")]
    assert len(list(audit.requests(lines))) == 1


def test_what_is_still_being_written_is_left_out() -> None:
    assert len(list(audit.requests([line(), line()[:20]]))) == 1


def test_a_path_that_is_no_resource_is_a_read() -> None:
    [one] = audit.requests([line(objectRef=None)])
    assert one.resource == audit.OTHER
    assert audit.count([one], "flagger", AT, AT + 1).reads == 1


def test_counts_are_of_one_user_in_one_span_by_reads_writes_and_events() -> None:
    found = list(
        audit.requests(
            [
                line(),
                line(verb="update", responseStatus={"code": 409}),
                line(verb="create", objectRef={"resource": "events"}),
                line(user={"username": "solera"}),
                line(requestReceivedTimestamp="2026-11-24T01:00:02Z"),
            ]
        )
    )
    counted = audit.count(found, "flagger", AT, AT + 1)
    assert (counted.reads, counted.writes, counted.events, counted.refused, counted.all) == (1, 1, 1, 1, 3)
    assert dict(counted.by_kind) == {"get deployments": 1, "update deployments": 1, "create events": 1}
    assert audit.count(found, "flagger", AT, AT + 2).reads == 2
