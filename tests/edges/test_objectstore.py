"""The object store's contract: the fake and the real endpoint pass the same suite; what only S3 knows follows."""

from __future__ import annotations

import hashlib
import tracemalloc
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
import urllib3
from botocore.exceptions import ConnectionClosedError

from maintainer.core.errors import AccessDeniedError, NotFoundError, StoreError, UnsafeStoreError
from maintainer.core.job import Access
from maintainer.core.versions import ObjectVersion
from maintainer.edges import objectstore
from maintainer.edges.clock import SystemClock
from maintainer.edges.objectstore import ObjectStore, S3Store
from maintainer.edges.s3 import S3
from maintainer.edges.scratch import disk
from maintainer.sandbox.daemon import Sandbox
from tests.edges.conftest import BUCKET
from tests.support.buckets import access, client, store
from tests.support.fakestore import FakeStore
from tests.support.faulty import DENIED, NOT_IMPLEMENTED, FaultyProxy
from tests.support.patience import PATIENCE_S

GOOD = b"what restic wrote"
ID = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture(params=["fake", "memory", "ministack", "moto"])
def any_store(request: pytest.FixtureRequest) -> ObjectStore:
    prefix = f"contract-{uuid.uuid4().hex}"
    match request.param:
        case "fake":
            return FakeStore()
        case "memory":
            return store(request.getfixturevalue("in_memory"), prefix)
        case "moto":
            return S3Store(S3(request.getfixturevalue("second")), BUCKET, prefix, SystemClock().now)
        case _:
            return store(request.getfixturevalue("sandbox"), prefix)


@pytest.fixture
def tick(request: pytest.FixtureRequest, any_store: ObjectStore) -> Callable[[], None]:
    """Wait for the next second where a store lists markers after all versions: within one their order can not be told."""
    is_apart = request.node.callspec.params["any_store"] == "moto"
    return lambda: SystemClock().sleep(1.1) if is_apart else None


def test_a_survey_lists_keys_in_order_and_versions_newest_first_with_markers_among_them(
    any_store: ObjectStore, tick: Callable[[], None]
) -> None:
    first = any_store.put("b", b"1").version_id
    tick()
    marker = any_store.mark("b")
    tick()
    second = any_store.put("b", b"22").version_id
    only = any_store.put("a", b"").version_id
    listed = [(v.key, v.version_id, v.is_marker, v.size) for v in any_store.survey()]
    assert listed == [("a", only, False, 0), ("b", second, False, 2), ("b", marker, True, 0), ("b", first, False, 1)]


def test_a_survey_of_a_folder_lists_what_lies_below_it_alone(any_store: ObjectStore) -> None:
    for key in ("index/1", "indexes", "snapshots/1"):
        any_store.put(key, b"")
    assert [v.key for v in any_store.survey("index/")] == ["index/1"]


def test_a_survey_in_parallel_says_the_same(sandbox: Sandbox) -> None:
    mine = store(sandbox, f"survey-{uuid.uuid4().hex}")
    for key in ("config", "data/00/ä +%&<", "data/ff/1", "index/1", "junk", "snapshots/1"):
        for body in (b"1", b"22"):
            mine.put(key, body)
    mine.mark("data/ff/1")
    made = mine.survey_all(disk())
    assert [version for history in made.values() for version in history.versions] == list(mine.survey())
    assert (len(made), made.versions) == (6, 13)
    made.close()


def test_a_second_s3_is_read_page_by_page_and_refused_where_its_markers_lose_versions(
    second: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto 5.2.5 leaves out the first version after a key marker that is no key."""
    mine = S3Store(S3(second), BUCKET, f"pages-{uuid.uuid4().hex}", SystemClock().now)
    made = [
        (key, mine.put(key, body).version_id)
        for key in ("config", "data/00/1", "data/ff/1", "index/1", "snapshots/1")
        for body in (b"1", b"22")
    ]
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    assert sorted((v.key, v.version_id) for v in mine.survey()) == sorted(made)
    with pytest.raises(UnsafeStoreError, match="loses some"):
        mine.survey_all(disk())


def test_a_look_hashes_the_version_and_not_the_key(any_store: ObjectStore) -> None:
    good = any_store.put("x", GOOD)
    any_store.put("x", b"bad")
    look = any_store.look(good)
    assert (look.digest, look.plain) == (ID, True)


def test_heal_puts_the_old_version_on_top_and_keeps_the_evidence(any_store: ObjectStore) -> None:
    good = any_store.put("x", GOOD)
    bad = any_store.put("x", b"bad")
    made = any_store.heal(good, ID)
    assert [v.version_id for v in any_store.survey()] == [made.version_id, bad.version_id, good.version_id]
    assert any_store.read(made, 100) == GOOD


def test_where_the_store_has_no_copy_heal_gets_and_puts_and_asks_for_no_other_copy(sandbox: Sandbox) -> None:
    prefix = f"contract-{uuid.uuid4().hex}"
    with FaultyProxy(sandbox.endpoint, unknown=b"x-amz-copy-source:") as proxy:
        lacking = S3Store(S3(replace(access(sandbox), endpoint=proxy.endpoint)), sandbox.bucket, prefix, SystemClock().now)
        for key in ("x", "y"):
            good = lacking.put(key, GOOD)
            lacking.put(key, b"bad")
            made = lacking.heal(good, ID)
            assert lacking.read(made, 100) == GOOD
        assert proxy.faults == 1
    assert [v.size for v in store(sandbox, prefix).survey("x")] == [len(GOOD), 3, len(GOOD)]


def test_a_url_answers_the_one_version_whatever_the_prefix(sandbox: Sandbox) -> None:
    odd = store(sandbox, f"a b+c/\u00fc~{uuid.uuid4().hex}")
    old = odd.put("x", GOOD)
    odd.put("x", b"newer")
    assert urllib3.request("GET", odd.url(old), timeout=PATIENCE_S).data == GOOD


def test_heal_makes_a_hidden_key_live_again(any_store: ObjectStore) -> None:
    good = any_store.put("x", GOOD)
    any_store.mark("x")
    any_store.heal(good, ID)
    assert not next(iter(any_store.survey())).is_marker


def test_a_read_stops_at_its_limit(any_store: ObjectStore) -> None:
    version = any_store.put("x", b"0123456789")
    with pytest.raises(ValueError, match="more than 9"):
        any_store.read(version, 9)


HARMLESS = [
    {"ContentType": "text/html"},
    {"Metadata": {"x": "y"}},
    {"Metadata": {"mtime": "1795976985.015586471"}},
    {"CacheControl": "no-store"},
    {"ContentDisposition": "attachment"},
    {"StorageClass": "STANDARD_IA"},
]


@pytest.mark.parametrize("headers", HARMLESS, ids=lambda headers: next(iter(headers)))
def test_headers_as_other_programs_set_them_are_plain(sandbox: Sandbox, headers: dict[str, object]) -> None:
    """mc, s3cmd, rclone, aws s3 sync: restic reads the bytes all the same."""
    prefix = f"plain-{uuid.uuid4().hex}"
    mine = store(sandbox, prefix)
    client(sandbox, "admin").put_object(Bucket=sandbox.bucket, Key=f"{prefix}/x", Body=GOOD, **headers)
    (version,) = mine.survey()
    look = mine.look(version)
    assert (look.digest, look.plain, look.why) == (ID, True, "")


def test_identical_bytes_that_clients_would_decode_are_not_plain_and_heal_to_plain(sandbox: Sandbox) -> None:
    prefix = f"plain-{uuid.uuid4().hex}"
    mine = store(sandbox, prefix)
    client(sandbox, "host").put_object(Bucket=sandbox.bucket, Key=f"{prefix}/x", Body=GOOD, ContentEncoding="gzip")
    (foreign,) = mine.survey()
    assert (mine.look(foreign).digest, mine.look(foreign).plain) == (ID, False)
    made = mine.heal(foreign, ID)
    assert mine.look(made).plain


KMS_KEYS = {name: f"arn:aws:kms:us-east-1:000000000000:key/{name}" for name in ("ours", "foreign")}


@pytest.mark.parametrize("which", ["memory", "ministack", "moto"])
def test_true_bytes_with_the_tag_of_what_may_expire_are_not_plain_until_it_is_taken_off(request: pytest.FixtureRequest, which: str) -> None:
    prefix = f"p{uuid.uuid4().hex}"
    chosen = {"memory": "in_memory", "ministack": "sandbox"}.get(which)
    one = (
        S3Store(S3(request.getfixturevalue("second")), BUCKET, prefix, SystemClock().now)
        if chosen is None
        else store(request.getfixturevalue(chosen), prefix)
    )
    made = one.put("data/x", b"content")
    assert (one.is_released(made), one.look(made).plain) == (False, True)
    one.release([(made.key, made.version_id)])
    assert (one.is_released(made), one.look(made).plain) == (True, False)
    one.keep(made)
    assert (one.is_released(made), one.look(made).plain) == (False, True)


@pytest.mark.parametrize(("key", "is_plain"), [("ours", True), ("foreign", False)])
def test_only_the_configured_kms_key_is_plain_and_heals_go_under_it(sandbox: Sandbox, key: str, is_plain: bool) -> None:
    prefix = f"kms-{uuid.uuid4().hex}"
    mine = S3Store(S3(access(sandbox)), sandbox.bucket, prefix, SystemClock().now, KMS_KEYS["ours"])
    client(sandbox, "admin").put_object(
        Bucket=sandbox.bucket, Key=f"{prefix}/x", Body=GOOD, ServerSideEncryption="aws:kms", SSEKMSKeyId=KMS_KEYS[key]
    )
    (version,) = mine.survey()
    assert mine.look(version).plain is is_plain
    assert mine.look(mine.heal(version, ID)).plain
    head = client(sandbox, "admin").head_object(Bucket=sandbox.bucket, Key=f"{prefix}/x")
    assert head["SSEKMSKeyId"] == KMS_KEYS["ours"]


def test_without_a_configured_key_every_kms_key_is_foreign(sandbox: Sandbox) -> None:
    prefix = f"kms-{uuid.uuid4().hex}"
    client(sandbox, "admin").put_object(
        Bucket=sandbox.bucket, Key=f"{prefix}/x", Body=GOOD, ServerSideEncryption="aws:kms", SSEKMSKeyId=KMS_KEYS["foreign"]
    )
    mine = store(sandbox, prefix)
    (version,) = mine.survey()
    assert mine.look(version).why == f"foreign headers: ServerSideEncryption under {KMS_KEYS['foreign']}"
    mine.heal(version, ID)
    assert "SSEKMSKeyId" not in client(sandbox, "admin").head_object(Bucket=sandbox.bucket, Key=f"{prefix}/x")


def test_an_archived_version_is_unreadable_and_not_an_error(sandbox: Sandbox) -> None:
    prefix = f"archive-{uuid.uuid4().hex}"
    client(sandbox, "admin").put_object(Bucket=sandbox.bucket, Key=f"{prefix}/x", Body=GOOD, StorageClass="DEEP_ARCHIVE")
    mine = store(sandbox, prefix)
    look = mine.look(next(iter(mine.survey())))
    assert (look.digest, look.why) == (None, "it is in an archive class")


def test_a_listing_of_many_pages_repeats_and_drops_nothing(sandbox: Sandbox) -> None:
    mine = store(sandbox, f"pages-{uuid.uuid4().hex}")
    made = [mine.put(f"k{number % 7}", b"x").version_id for number in range(1100)]
    listed = [version.version_id for version in mine.survey()]
    assert sorted(listed) == sorted(made)


def test_a_store_is_probed_for_ranges_of_versions_by_presigned_urls(sandbox: Sandbox) -> None:
    prefix = f"range-{uuid.uuid4().hex}"
    mine = store(sandbox, prefix)
    some = mine.put("x", b"0123456789")
    assert mine.serves_urls(some)
    assert not mine.serves_urls(mine.put("y", b"0"))
    for answer in (DENIED, NOT_IMPLEMENTED):
        with FaultyProxy(sandbox.endpoint, unknown=b"X-Amz-Signature=", answer=answer) as proxy:
            strict = S3Store(S3(replace(access(sandbox), endpoint=proxy.endpoint)), sandbox.bucket, prefix, SystemClock().now)
            assert not strict.serves_urls(some)


def test_a_large_object_is_hashed_in_little_memory(sandbox: Sandbox) -> None:
    mine = store(sandbox, f"large-{uuid.uuid4().hex}")
    body = bytes(64 << 20)
    version, digest = mine.put("x", body), hashlib.sha256(body).hexdigest()
    tracemalloc.start()
    try:
        assert mine.look(version).digest == digest
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_looks_are_made_once_and_ahead(sandbox: Sandbox) -> None:
    fake = FakeStore()
    versions = [fake.put(f"k{number}", GOOD) for number in range(20)]
    looks = objectstore.Looks(fake)
    looks.ahead(versions)
    assert {looks(version).digest for version in versions} == {ID}
    assert len(fake.looked) == 20


ERRORS: list[tuple[str, Callable[[Sandbox], S3Store], type[Exception], str]] = [
    ("no such bucket", lambda sb: S3Store(S3(access(sb, "admin")), "nowhere", "x", SystemClock().now), NotFoundError, "versioning on"),
    ("no permission", lambda sb: store(sb, "x", "host"), AccessDeniedError, "s3:ListBucketVersions on arn:aws:s3:::backups"),
    (
        "nobody answers",
        lambda sb: S3Store(S3(Access("http://127.0.0.1:9", sb.region, "host", access(sb).credentials_file)), "b", "x", SystemClock().now),
        StoreError,
        "127.0.0.1:9 does not answer",
    ),
]


@pytest.mark.parametrize(("make", "error", "says"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_what_s3_refuses_is_said_with_what_to_do(
    sandbox: Sandbox, make: Callable[[Sandbox], S3Store], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says.replace(".", "[.]")):
        list(make(sandbox).survey())


def test_a_repeat_is_told_and_the_answer_is_right(sandbox: Sandbox) -> None:
    told: list[tuple[str, int, str, float]] = []
    mine = S3Store(
        S3(access(sandbox), on_retry=lambda *fact: told.append(fact)), sandbox.bucket, f"retry-{uuid.uuid4().hex}", SystemClock().now
    )
    put = mine.put("x", GOOD)
    faults = [ConnectionClosedError(endpoint_url="x"), ConnectionClosedError(endpoint_url="x")]

    def fail(**_: object) -> None:
        if faults:
            raise faults.pop()

    mine._s3._client.meta.events.register("before-send.s3.GetObject", fail)
    assert mine.read(ObjectVersion("x", put.version_id, is_marker=False, size=len(GOOD), last_modified=put.last_modified), 100) == GOOD
    assert [fact[:2] for fact in told] == [("get_object", 1), ("get_object", 2)]
