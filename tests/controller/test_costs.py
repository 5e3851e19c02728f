"""What a run cost is told: an instance's seconds at the price paid, and why where nobody knows it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from maintainer.core.errors import AccessDeniedError
from maintainer.edges.bills import Bills
from tests.controller.test_wrong_input import refused
from tests.support.buckets import client
from tests.support.instances import Fleet, shown
from tests.support.patience import until


@pytest.fixture
def park(park: Fleet) -> Fleet:
    park.repository()
    return park


def test_what_is_kept_as_evidence_is_told_with_what_it_costs_a_month(park: Fleet) -> None:
    s3, where = client(park.sandbox, "admin"), {"Bucket": park.sandbox.bucket, "Prefix": park.prefix}
    pack = next(one["Key"] for one in s3.list_objects_v2(**where)["Contents"] if "/data/" in one["Key"])
    s3.put_object(Bucket=park.sandbox.bucket, Key=pack, Body=bytes(3 << 20))
    code, events = park.run()
    assert code == 3, shown(events)
    (billed,) = [event.fields for event in events if event.event == "run.billed"]
    kept = sum(one["Size"] for one in s3.list_object_versions(**where)["Versions"] if not one["IsLatest"])
    assert billed["kept"] == kept > 3 << 20
    assert billed["kept_usd_month"] == round(kept / 2**30 * 0.023, 6) > 0


@pytest.mark.matrix
@pytest.mark.parametrize(("market", "usd_hour"), [("spot", 3.6), ("on-demand", 7.2)])
def test_a_run_tells_what_its_instance_cost(park: Fleet, market: str, usd_hour: float) -> None:
    prices = park.directory / "prices.json"
    prices.write_text(json.dumps({"spot m5.large": "3.6", "on-demand m5.large": "7.2"}))
    keys = f'[group.sandbox.instance]\nmarket = ["{market}"]\ntypes = ["m5.large"]\n'
    park.configure("[group.sandbox.instance]\n", keys)
    code, events = park.run()
    prices.unlink()
    assert code == 0, shown(events)
    (billed,) = [event.fields for event in events if event.event == "instance.billed"]
    assert (billed["market"], billed["type"], billed["why"]) == (market, "m5.large", "")
    seconds, usd = float(str(billed["seconds"])), float(str(billed["usd"]))
    assert 0 < seconds < 120
    (whole,) = [event.fields for event in events if event.event == "run.billed"]
    (finished,) = [event.fields for event in events if event.event == "repository.finished"]
    assert (whole["reads"], whole["writes"]) == (finished["reads"], finished["writes"])
    assert float(str(whole["usd"])) == pytest.approx(usd + float(str(whole["requests"])), abs=2e-6)
    assert int(str(whole["reads"])) > 5
    assert int(str(whole["writes"])) > 5
    assert usd == pytest.approx(max(seconds, 60) * usd_hour / 3600, abs=usd_hour / 3600)


@pytest.mark.matrix
@pytest.mark.parametrize(("market", "call"), [("spot", "DescribeSpotPriceHistory"), ("on-demand", "GetProducts")])
def test_a_price_that_we_may_not_learn_costs_no_run(park: Fleet, market: str, call: str) -> None:
    park.configure("[group.sandbox.instance]\n", f'[group.sandbox.instance]\nmarket = ["{market}"]\n')
    with refused(park, call):
        code, output, _ = park.call("run", "--once")
    assert code == 0, output
    assert f"its cost is not known: {call}: UnauthorizedOperation" in output


def test_what_is_dearer_than_the_limit_is_not_taken(park: Fleet) -> None:
    prices = park.directory / "prices.json"
    prices.write_text(json.dumps({"spot m5.large": "0.09"}))
    keys = 'types = ["m5.large", "m6i.large"]\nmax_price = 0.05\n'
    park.configure("[group.sandbox.instance]\n", f"[group.sandbox.instance]\n{keys}")
    code, events = park.run()
    prices.unlink()
    assert code == 0, shown(events)
    assert [event.fields["type"] for event in events if event.event == "instance.launched"] == ["m6i.large"]


def test_a_month_s_budget_stops_launches_and_says_until_when(park: Fleet) -> None:
    prices = park.directory / "prices.json"
    prices.write_text(json.dumps({"spot m5.large": "3.6"}))
    Path(park.sandbox.config).write_text("[run]\nmonth_budget = 0.05\n" + Path(park.sandbox.config).read_text())
    park.configure("[group.sandbox.instance]\n", '[group.sandbox.instance]\nmarket = ["spot"]\ntypes = ["m5.large"]\n')
    code, events = park.run()
    assert code == 0, shown(events)
    (first,) = [event.fields for event in events if event.event == "run.billed"]
    assert (first["month_budget"], first["month_before"]) == (0.05, 0)
    launched = len(park.instances(living=False))
    code, events = park.run()
    (refused_for,) = [str(event.fields["reason"]) for event in events if event.event == "run.failed"]
    prices.unlink()
    assert code == 5
    assert refused_for == f"this month's runs have cost {first['usd']:.4f} USD, and month_budget is 0.05 USD: no instance is launched"
    assert len(park.instances(living=False)) == launched
    park.configure("month_budget = 0.05", "month_budget = 5")
    code, output, errors = park.call("run", "--once")
    assert code == 0, output + errors
    assert f"the month's budget is 5.00 USD, {first['usd']:.4f} spent before" in output


@pytest.mark.matrix
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_killed_controller_s_instances_are_on_the_month_s_bill_too(park: Fleet, *, by_hand: bool) -> None:
    prices = park.directory / "prices.json"
    prices.write_text(json.dumps({"spot m5.large": "3.6"}))
    Path(park.sandbox.config).write_text("[run]\nmonth_budget = 0.05\n" + Path(park.sandbox.config).read_text())
    park.configure("[group.sandbox.instance]\n", '[group.sandbox.instance]\nmarket = ["spot"]\ntypes = ["m5.large"]\n')
    process = park.start("run", "--once", "--json")
    until(lambda: bool(park.instances()))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if by_hand:
        assert park.call("sweep")[0] == 0
    launched = len(park.instances(living=False))
    code, events = park.run()
    prices.unlink()
    (refused_for,) = [str(event.fields["reason"]) for event in events if event.event == "run.failed"]
    assert (code, len(park.instances(living=False))) == (5, launched)
    assert "this month's runs have cost 0.06" in refused_for  # a minute at least
    park.nothing_is_left()


def test_a_bill_that_can_not_be_kept_is_told_and_costs_no_run(park: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(park.sandbox.config).write_text("[run]\nmonth_budget = 5\n" + Path(park.sandbox.config).read_text())

    def refuse(*_: object) -> None:
        raise AccessDeniedError("s3:PutObject was refused", guidance="allow it")

    monkeypatch.setattr(Bills, "add", refuse)
    code, _, errors = park.call("run", "--once")
    assert code == 0
    assert "this run's cost could not be kept" in errors
