"""What lives by chance have found, each once more by name."""

from __future__ import annotations

from sim.life import Life, manifest, settled


def shifting(weight: int = 30) -> Life:
    life = Life(manifest())
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2", 0) >= weight, 300)
    return life


def test_a_spec_that_cannot_be_read_does_not_keep_status_from_telling_the_weights_that_are() -> None:
    life = shifting(30)
    life.edit_rollout(steps=[{"weight": 50}, {"weight": 20}])
    life.run(1)
    assert life.reason("Stalled") == "InvalidSpec"
    for weights in ({"v1": 50, "v2": 50}, {"v1": 100}):
        backends = [b for b in life.route["spec"]["rules"][0]["backendRefs"] if life.version_of(b["name"]) in weights]
        rule = {"backendRefs": [{**b, "weight": weights[life.version_of(b["name"])]} for b in backends]}
        life.cluster.edit("HTTPRoute", "ml", "chat", lambda route, rule=rule: route["spec"].update(rules=[rule]))
        life.run(1)
        assert {w["version"]: w["weight"] for w in life.status["weights"]} == weights
        assert life.status["weight"] == weights.get("v2", 0)


def test_what_was_made_for_an_owner_that_is_gone_does_not_keep_the_next_one_from_serving() -> None:
    life = Life(manifest())
    life.until(settled("v1"), 60)
    life.cluster.lag = 10.0
    life.edit_template(replicas=3)
    life.run(9.9)
    spec = life.spec
    life.delete()
    life.create(spec)
    life.cluster.lag = 0.0
    life.until(settled("v1"), 300)
    assert len(life.pods("v1")) == 3
