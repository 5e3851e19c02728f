"""Droplets, by DigitalOcean's API as it is described: whole runs, lost answers, full regions, refusals, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from maintainer.cli import compute
from maintainer.core.events import decode
from maintainer.edges.compute import droplets
from tests.controller.test_compute import chosen_compute, job, settings
from tests.controller.test_end import follow_to
from tests.support.instances import Fleet, shown
from tests.support.ocean import IMAGE, LOST, TOKEN, Ocean, configure, ocean
from tests.support.patience import PATIENCE_S, until

CREATE = "POST /v2/droplets"


@pytest.fixture
def sea(park: Fleet, tmp_path: Path) -> Iterator[Ocean]:
    park.repository()
    with ocean(park) as sea:
        configure(park, sea, tmp_path)
        yield sea


def created(sea: Ocean) -> list[tuple[str, str]]:
    return [(body["size"], body["region"]) for method, path, body in sea.asked if (method, path) == ("POST", "/v2/droplets")]


def test_a_run_on_a_droplet_commits_and_nothing_of_it_is_left(park: Fleet, sea: Ocean, tmp_path: Path) -> None:
    code, events = park.run()
    assert code == 0, shown(events)
    names = [event.event for event in events]
    assert names.index("instance.launched") < names.index("keys.given") < names.index("run.started", names.index("instance.launched"))
    (billed,) = [event.fields for event in events if event.event == "instance.billed"]
    assert (billed["type"], billed["market"], billed["usd"]) == ("s-2vcpu-4gb", "droplet", 0.01)
    assert not sea.droplets
    park.nothing_is_left()
    # The droplet had no role, and neither its user data nor any event the store's keys: they came by SSH.
    secrets = [TOKEN, *json.loads((tmp_path / "keys.json").read_text()).values()]
    said = json.dumps([event.fields for event in events]) + json.dumps([body for _, _, body in sea.asked])
    assert not [one for one in secrets if one in said]


def test_what_no_emulator_would_notice_is_in_the_request(park: Fleet, sea: Ocean) -> None:
    assert park.run()[0] == 0
    ((_, _, body),) = [one for one in sea.asked if one[:2] == ("POST", "/v2/droplets")]
    assert (body["image"], body["with_droplet_agent"], body["ipv6"]) == (IMAGE, False, False)
    assert "ssh_keys" not in body
    assert body["tags"][0] == "maintainer"
    assert "poweroff" in body["user_data"]


def test_a_place_without_room_is_passed_over_and_none_at_all_is_told(park: Fleet, sea: Ocean) -> None:
    sea.full = {("s-2vcpu-4gb", "fra1"), ("s-2vcpu-4gb", "ams3")}
    assert park.run()[0] == 0
    assert created(sea) == [("s-2vcpu-4gb", "fra1"), ("s-2vcpu-4gb", "ams3"), ("s-4vcpu-8gb", "fra1")]
    sea.full |= {("s-4vcpu-8gb", "fra1"), ("s-4vcpu-8gb", "ams3")}
    park.configure("[group.sandbox.droplet]\n", '[group.sandbox.droplet]\ntry_for = "0m"\n')
    code, events = park.run()
    assert code == 5
    assert "s-4vcpu-8gb in ams3: capacity: 422 Size is not available in this region." in shown(events)
    park.nothing_is_left()


@pytest.mark.matrix
@pytest.mark.parametrize("blow", [LOST, 503])
def test_an_answer_that_was_lost_makes_no_second_droplet(park: Fleet, sea: Ocean, blow: int) -> None:
    sea.blows = {CREATE: [blow], "DELETE /v2/droplets/{droplet_id}": [blow], "GET /v2/droplets/{droplet_id}": [blow, blow]}
    agent = chosen_compute(park).launch(job(park))
    assert len(sea.droplets) == 1
    assert len(created(sea)) == (1 if blow == LOST else 2)
    agent.signal(signal.SIGKILL)
    list(agent.lines())
    agent.wait()
    assert not sea.droplets
    park.nothing_is_left()


def test_a_twin_that_turns_up_late_never_has_keys_and_goes_with_the_run(park: Fleet, sea: Ocean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(droplets, "SHOWN_WITHIN_S", 0)
    sea.blows, sea.blind = {CREATE: [LOST]}, 1
    agent = chosen_compute(park).launch(job(park))
    twin, followed = (one["instance"] for one in sea.droplets.values())
    lines = agent.lines()
    next(lines)
    until(lambda: park.inside(twin, "ls", "/run/maintainer") != "")
    assert "keys.json" in park.inside(followed, "ls", "/run/maintainer")
    assert "keys.json" not in park.inside(twin, "ls", "/run/maintainer")
    agent.signal(signal.SIGKILL)
    list(lines)
    agent.wait()
    assert not sea.droplets
    park.nothing_is_left()


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("token", (2, "Unable to authenticate you")),
        ("digest", (2, "carries 0000")),
        ("image", (2, "no image 7 in this account")),
        ("regions", (2, "is not in fra1, ams3")),
        ("limit", (5, "will exceed your droplet limit")),
        ("sentence", (2, "something new")),
        ("keys", (2, "not what was expected")),
        ("no keys", (2, "can not be read")),
    ],
)
def test_a_mistake_is_told_before_anything_costs(park: Fleet, sea: Ocean, tmp_path: Path, mistake: str, told: tuple[int, str]) -> None:
    code, why = told
    park.configure("[group.sandbox.droplet]\n", '[group.sandbox.droplet]\ntry_for = "0m"\n')
    match mistake:
        case "token":
            (tmp_path / "token").write_text("dop_v1_other")
        case "digest":
            sea.digest = "0" * 64
        case "image":
            park.configure(f"image = {IMAGE}", "image = 7")
        case "regions":
            sea.image_regions = ("nyc1",)
        case "limit":
            sea.sentences = ["creating this/these droplet(s) will exceed your droplet limit"] * 99
        case "sentence":
            sea.sentences = ["something new"]
        case "keys":
            (tmp_path / "keys.json").write_text("my secret key")
        case "no keys":
            (tmp_path / "keys.json").unlink()
    ended, output, _ = park.call("run", "--once", "--json")  # which also says that what may be left could not be looked for
    events = [decode(line) for line in output.splitlines()]
    assert (ended, why in shown(events)) == (code, True), shown(events)
    assert "my secret key" not in shown(events)
    assert "dop_v1" not in shown(events)
    assert not sea.droplets
    assert park.instances(living=False) == []


@pytest.mark.matrix
@pytest.mark.parametrize("step", ["survey", "admit", "check"])
def test_a_droplet_that_dies_is_destroyed_and_another_takes_its_place(park: Fleet, sea: Ocean, step: str) -> None:
    slow = park.repository("slow", fast=False)
    process = park.start("run", "--once", "--json", "--repository", "slow")
    follow_to(process, "step.started", step)
    (machine,) = park.machines()
    os.kill(park.state_of(machine).init, signal.SIGKILL)
    assert process.stdout is not None
    output = process.stdout.read()
    assert process.wait(PATIENCE_S) == 0, output
    assert "attempt.started" in output
    assert len(created(sea)) == 2
    assert not sea.droplets
    park.nothing_is_left()
    slow.verify(next(iter(slow.trees)))


def test_sweep_destroys_what_a_killed_controller_left(park: Fleet, sea: Ocean) -> None:
    process = park.start("run", "--once", "--json")
    until(lambda: bool(park.machines()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout and process.stderr:
        process.stdout.close()
        process.stderr.close()
    (left,) = sea.droplets
    code, said, _ = park.call("sweep", "--dry-run")
    assert code == 0
    assert f"droplet {left} of run " in said
    assert "the controller that launched it is dead" in said
    assert park.call("sweep")[0] == 0
    assert not sea.droplets
    assert len(sea.tags) == 2
    park.nothing_is_left()


def test_every_page_of_a_list_is_read(park: Fleet, sea: Ocean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(droplets, "PAGE", 1)
    made = chosen_compute(park)
    agents = [made.launch(one) for one in (job(park), job(park), job(park))]
    assert len(made.api.find(compute.owner(settings(park)))) == 3  # type: ignore[attr-defined]
    assert len([path for method, path, _ in sea.asked if (method, path) == ("GET", "/v2/droplets")]) == 3
    for agent in agents:
        agent.signal(signal.SIGKILL)
        list(agent.lines())
        agent.wait()
    assert not sea.droplets
    park.nothing_is_left()


def test_doctor_says_whether_a_droplet_could_be_launched(park: Fleet, sea: Ocean, tmp_path: Path) -> None:
    code, said, errors = park.call("doctor")
    assert "the pinned image" in said, errors
    assert "the keys that droplets are given" in said
    assert "carries" not in said
    sea.digest = "0" * 64
    (tmp_path / "keys.json").write_text("my secret key")
    again, said, _ = park.call("doctor")
    assert (again, f"carries {sea.digest}" in said, "not what was expected" in said) == (2, True, True), (code, said)
    assert "my secret key" not in said
    (tmp_path / "token").write_text("dop_v1_other")
    assert "Unable to authenticate you" in park.call("doctor")[1]


def another(sea: Ocean) -> int:
    """Create a droplet that is somebody else's."""
    body = {"name": "shop", "size": "s-2vcpu-4gb", "region": "fra1", "image": IMAGE, "tags": ["shop"], "user_data": "#cloud-config"}
    return int(sea.answer("POST", "/v2/droplets", f"Bearer {TOKEN}", body)[1]["droplet"]["id"])


def test_a_run_whose_droplet_shows_no_tags_destroys_that_one_alone(park: Fleet, sea: Ocean) -> None:
    shop = another(sea)
    sea.late = True
    code, events = park.run()
    assert code == 0, shown(events)
    assert list(sea.droplets) == [shop]


def test_sweep_of_all_destroys_one_that_has_lost_its_run_s_tag_and_nobody_else_s(park: Fleet, sea: Ocean) -> None:
    shop = another(sea)
    process = park.start("run", "--once", "--json")
    until(lambda: len(sea.droplets) == 2)
    process.kill()
    process.communicate()
    (ours,) = (one for one in sea.droplets.values() if one["id"] != shop)
    ours["tags"] = ours["tags"][:2]  # those of all that are an owner's
    assert park.call("sweep")[0] == 0
    assert len(sea.droplets) == 2, "of whose controller nothing is known may be followed"
    assert park.call("sweep", "--all")[0] == 0
    assert list(sea.droplets) == [shop]
