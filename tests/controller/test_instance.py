"""A run on an instance: launched, followed, healed what was attacked, and nothing of it is left."""

from __future__ import annotations

from maintainer.drill import bombs, lies, poison
from maintainer.edges.clock import SystemClock
from tests.support.instances import Fleet, shown


def test_an_attacked_repository_is_healed_on_an_instance_and_nothing_is_left(park: Fleet) -> None:
    repository = park.repository()
    assert park.run()[0] == 0
    poison.poison(repository, poison.partly_true)
    lies.one_of_nothing(repository, SystemClock().now())
    bombs.snapshot(repository)
    for key in repository.objects("data/"):
        repository.put(key, b"garbage")
    code, events = park.run()
    assert code == 3, shown(events)
    found = {str(event.fields["kind"]) for event in events if event.event == "finding.reported"}
    assert found == {"overwritten", "poisoned-index", "garbage", "suspect-snapshot"}, shown(events)
    names = [event.event for event in events]
    told = [name.removeprefix("instance.") for name in names if name.startswith("instance.")]
    assert told == ["launched", "reached", "terminated", "billed"]
    assert "object.healed" in names
    assert "run.committed" in names
    park.nothing_is_left()
    repository.verify(next(iter(repository.trees)))
    (launched,) = [event for event in events if event.event == "instance.launched"]
    assert launched.fields["market"] == "spot"
