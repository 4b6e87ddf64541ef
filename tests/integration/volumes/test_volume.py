"""A volume's life at the real daemon: made, taken up, changed, kept, deleted."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import (
    IncusApiError,
    IncusError,
    IncusUnreachable,
)
from pulumi_pika.reconcile.shared.errors import (
    ForeignVolume,
    ReconcileError,
    SnapshotMissing,
    VolumeExists,
    VolumeGone,
    VolumeInUse,
    VolumeRefused,
)
from pulumi_pika.reconcile.shared.ownership import OWNER_KEY, RUNTIME_ID_KEY
from pulumi_pika.reconcile.volumes.volume import (
    change_volume,
    create_or_adopt_volume,
    fetch_volume,
    find_volume_changes,
    remove_volume,
    write_identity,
)

from ...conftest import Sandbox
from ...support.proxy import (
    Proxy,
    call,
    error,
    reply,
    reset_after,
    reset_before,
    truncate,
)
from ...support.reconcile import Recorder
from ...support.volumes import (
    CUSTOM,
    OTHER,
    OWNER,
    POOL,
    claim,
    launch,
    options,
    snapshot,
    there,
)


def raw(sandbox: Sandbox, name: str, **config: str) -> None:
    """A volume that is not ours."""
    body = {"name": name, "type": "custom", "content_type": "filesystem", "config": config}
    sandbox.daemon.request("POST", CUSTOM, body)


@pytest.mark.parametrize("content_type", ["filesystem", "block"])
def test_made_as_asked_for(
    client: IncusClient, name: str, reporter: Recorder, content_type: str
) -> None:
    wanted = options(
        name,
        content_type=content_type,
        size="1GiB",
        config={"security.shifted": "true"} if content_type == "filesystem" else {},
        labels={"team": "a", "empty": ""},
        description="its data",
        snapshots_schedule="@daily, @weekly",
        snapshots_expiry="2w 1d",
        snapshots_pattern="auto-%d",
    )

    live = create_or_adopt_volume(client, wanted, reporter)

    assert live.content_type == content_type
    assert live.description == "its data"
    assert live.config["size"] == "1GiB"
    assert live.config["user.pika.label.team"] == "a"
    assert live.config["snapshots.schedule"] == "@daily, @weekly"
    assert live.config["snapshots.expiry"] == "2w 1d"
    assert live.owner == OWNER
    assert not find_volume_changes(live, wanted, wanted), "an update would change something"


def test_changed_in_place_and_others_keys_stay(
    client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
) -> None:
    before = options(
        name,
        size="1GiB",
        config={"security.shifted": "true", "user.mine": "1", "user.both": "1"},
        labels={"a": "1", "b": "1"},
        description="one",
        snapshots_schedule="@daily",
    )
    live = create_or_adopt_volume(client, before, reporter)
    sandbox.daemon.request(
        "PATCH",
        f"{CUSTOM}/{name}",
        {"description": "theirs", "config": {"user.theirs": "x", "user.both": "changed"}},
    )
    after = options(name, size="2048MiB", labels={"a": "2"}, snapshots_expiry="1m")

    live = change_volume(client, after, before, reporter, claim=claim(live.created_at))

    assert live.config["size"] == "2048MiB"
    assert live.config["user.theirs"] == "x"
    assert live.config["user.both"] == "changed"
    assert live.config["snapshots.expiry"] == "1m"
    assert live.config["user.pika.label.a"] == "2"
    for gone in ("user.pika.label.b", "user.mine", "security.shifted", "snapshots.schedule"):
        assert gone not in live.config
    assert live.description == "theirs"
    assert any("user.both, description" in line for line in reporter.warnings)


def test_a_description_that_is_left_out_is_left_to_others(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    one, none = options(name, description="one"), options(name)
    live = create_or_adopt_volume(client, one, reporter)

    live = change_volume(client, none, one, reporter, claim=claim(live.created_at))
    assert live.description == ""
    change_volume(client, one, none, reporter, claim=claim(live.created_at))
    live = change_volume(
        client,
        options(name, labels={"a": "1"}),
        none,
        reporter,
        claim=claim(live.created_at),
    )
    assert live.description == "one"


def test_same_size_in_other_words_is_no_change(
    proxied: IncusClient, proxy: Proxy, name: str, reporter: Recorder
) -> None:
    before = options(name, size="1GiB")
    live = create_or_adopt_volume(proxied, before, reporter)
    proxy.clear()

    change_volume(
        proxied,
        options(name, size="1024MiB"),
        before,
        reporter,
        claim=claim(live.created_at),
    )

    assert [request.method for request in proxy.changes()] == []


def test_size_that_is_dropped_stays(client: IncusClient, name: str, reporter: Recorder) -> None:
    before = options(name, size="1GiB")
    made = create_or_adopt_volume(client, before, reporter)

    live = change_volume(client, options(name), before, reporter, claim=claim(made.created_at))

    assert live.config["size"] == "1GiB"


@pytest.mark.parametrize("content_type", ["filesystem", "block"])
def test_shrinking_is_refused_before_anything(
    client: IncusClient, name: str, reporter: Recorder, content_type: str
) -> None:
    before = options(name, size="2GiB", content_type=content_type)
    made = create_or_adopt_volume(client, before, reporter)
    smaller = options(name, size="1500MB", content_type=content_type, description="new")

    with pytest.raises(VolumeRefused, match=r"from 2GiB to 1500MB.*would be lost"):
        change_volume(client, smaller, before, reporter, claim=claim(made.created_at))

    assert there(client, name) == made


def test_gone(client: IncusClient, name: str, reporter: Recorder) -> None:
    with pytest.raises(VolumeGone, match="pulumi refresh"):
        change_volume(
            client,
            options(name),
            options(name),
            reporter,
            claim=claim(""),
        )
    remove_volume(
        client,
        options(name, delete_data=True),
        reporter,
        claim=claim(""),
    )


def test_missing_pool_is_said_to_be_so(client: IncusClient, name: str, reporter: Recorder) -> None:
    with pytest.raises(IncusError, match="Storage pool not found"):
        create_or_adopt_volume(client, options(name, storage_pool="no-such-pool"), reporter)


def test_restore_from_on_a_new_volume_makes_nothing(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    with pytest.raises(
        SnapshotMissing, match=r"the volume .* does not exist, so that restore_from"
    ):
        create_or_adopt_volume(client, options(name, restore_from="s"), reporter)
    assert fetch_volume(client, POOL, name) is None


class TestAdoption:
    def test_unmarked_is_refused_and_untouched(
        self, client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        raw(sandbox, name, size="1GiB")
        before = there(client, name)
        with pytest.raises(VolumeExists, match="adopt=True"):
            create_or_adopt_volume(client, options(name), reporter)
        assert there(client, name) == before

    def test_unmarked_is_taken_over_where_asked_for(
        self, client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        raw(sandbox, name, **{"size": "1GiB", "user.theirs": "1"})
        before = there(client, name)

        live = create_or_adopt_volume(client, options(name, adopt=True, size="2GiB"), reporter)

        assert live.owner == OWNER
        assert live.config["size"] == "2GiB"
        assert live.config["user.theirs"] == "1"
        assert live.created_at == before.created_at
        assert "adopted the volume" in reporter.infos[-1]

    @pytest.mark.parametrize("adopt", [False, True])
    @pytest.mark.parametrize(
        ("marks", "whose"),
        [
            ({OWNER_KEY: OTHER}, OTHER),
            ({RUNTIME_ID_KEY: "agent-7"}, "runtime id agent-7"),
            ({RUNTIME_ID_KEY: "agent-7", OWNER_KEY: OTHER}, OTHER),
        ],
    )
    def test_marked_as_anothers_is_never_taken(
        self,
        client: IncusClient,
        name: str,
        reporter: Recorder,
        sandbox: Sandbox,
        marks: dict[str, str],
        whose: str,
        adopt: bool,
    ) -> None:
        raw(sandbox, name, **marks)
        before = there(client, name)
        with pytest.raises(ForeignVolume) as caught:
            create_or_adopt_volume(client, options(name, adopt=adopt), reporter)
        assert whose in str(caught.value)
        for key in marks:
            assert f"incus storage volume unset --project default default {name} {key}" in str(
                caught.value
            )
        assert there(client, name) == before

    def test_what_cannot_be_brought_about_is_listed(
        self, client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        raw(sandbox, name, size="2GiB")
        before = there(client, name)
        wanted = options(name, adopt=True, size="1GiB", content_type="block")
        with pytest.raises(
            VolumeRefused, match=r"content_type: it is filesystem.*from 2GiB to 1GiB"
        ):
            create_or_adopt_volume(client, wanted, reporter)
        assert there(client, name) == before

    def test_marks_that_were_taken_away_are_set_again(
        self, client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        made = create_or_adopt_volume(client, options(name), reporter)
        body = {"config": {OWNER_KEY: "", "user.pika.generation": ""}}
        sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}", body)
        live = change_volume(
            client,
            options(name),
            options(name),
            reporter,
            claim=claim(made.created_at),
        )
        live = write_identity(client, live, options(name))
        assert live.owner == OWNER

    def test_another_in_its_place_is_not_touched(
        self, client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        made = create_or_adopt_volume(client, options(name), reporter)
        sandbox.daemon.request("DELETE", f"{CUSTOM}/{name}")
        raw(sandbox, name)
        wanted = options(name, description="new", delete_data=True)
        with pytest.raises(
            ForeignVolume, match="has no owner, and is not the one that this resource created"
        ):
            change_volume(client, wanted, wanted, reporter, claim=claim(made.created_at))
        remove_volume(client, wanted, reporter, claim=claim(made.created_at))
        assert there(client, name).description == ""
        assert "it is not deleted" in reporter.warnings[-1]

    def test_renamed_resource_keeps_its_volume(
        self, client: IncusClient, name: str, reporter: Recorder
    ) -> None:
        made = create_or_adopt_volume(client, options(name), reporter)
        renamed = options(name, owner=OTHER)
        live = change_volume(
            client,
            renamed,
            options(name),
            reporter,
            claim=claim(made.created_at, OWNER, OTHER),
        )
        assert live.owner == OWNER, "the mark moved before all else was done"
        live = write_identity(client, live, renamed)
        assert live.owner == OTHER


class TestDelete:
    def test_kept_and_taken_up_again(
        self, client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        made = create_or_adopt_volume(client, options(name, size="1GiB"), reporter)

        remove_volume(client, options(name), reporter, claim=claim(made.created_at))

        assert there(client, name) == made
        command = f"incus storage volume delete --project default {POOL} {name}"
        assert command in reporter.warnings[0]
        again = create_or_adopt_volume(client, options(name, size="2GiB"), reporter)
        assert again.created_at == made.created_at
        assert again.config["size"] == "2GiB"
        assert "resumed managing the volume" in reporter.infos[-1]

    def test_deleted_with_its_snapshots_where_asked_for(
        self, client: IncusClient, name: str, reporter: Recorder
    ) -> None:
        wanted = options(name, delete_data=True)
        made = create_or_adopt_volume(client, wanted, reporter)
        snapshot(client, name, "s1")

        remove_volume(client, wanted, reporter, claim=claim(made.created_at))

        assert fetch_volume(client, POOL, name) is None
        assert "delete_data" in reporter.infos[-1]

    def test_in_use_names_the_users(
        self, client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        wanted = options(name, delete_data=True)
        made = create_or_adopt_volume(client, wanted, reporter)
        launch(sandbox, f"{name}-box", name, start=False)
        with pytest.raises(VolumeInUse, match=rf"instance {name}-box \(project default\)"):
            remove_volume(client, wanted, reporter, claim=claim(made.created_at))
        assert there(client, name)

    def test_attached_at_the_last_moment(
        self,
        proxied: IncusClient,
        proxy: Proxy,
        name: str,
        reporter: Recorder,
        sandbox: Sandbox,
    ) -> None:
        wanted = options(name, delete_data=True)
        made = create_or_adopt_volume(proxied, wanted, reporter)
        proxy.on("DELETE", ".*", call_launch(sandbox, name))
        with pytest.raises(VolumeInUse, match=f"instance {name}-box"):
            remove_volume(proxied, wanted, reporter, claim=claim(made.created_at))


def call_launch(sandbox: Sandbox, name: str) -> Any:
    return call(lambda _: launch(sandbox, f"{name}-box", name, start=False))


class TestFaults:
    @pytest.mark.parametrize("action", [reset_after(), truncate(10)])
    def test_lost_reply_of_a_create_is_no_matter(
        self, proxied: IncusClient, proxy: Proxy, name: str, reporter: Recorder, action: Any
    ) -> None:
        proxy.on("POST", f"/1.0{CUSTOM}", action)
        assert create_or_adopt_volume(proxied, options(name), reporter).owner == OWNER
        assert len(proxy.sent("POST", ".*")) == 1

    def test_create_that_never_arrived(
        self, proxied: IncusClient, proxy: Proxy, name: str, reporter: Recorder
    ) -> None:
        proxy.on("POST", f"/1.0{CUSTOM}", reset_before())
        with pytest.raises(IncusUnreachable):
            create_or_adopt_volume(proxied, options(name), reporter)
        assert create_or_adopt_volume(proxied, options(name), reporter).owner == OWNER

    def test_killed_after_the_create_is_finished_by_the_next(
        self, client: IncusClient, proxied: IncusClient, proxy: Proxy, name: str
    ) -> None:
        # Everything after the POST is lost, as where the process is killed.
        proxy.on("POST", f"/1.0{CUSTOM}", reset_after())
        proxy.on("GET", f"/1.0{CUSTOM}/{name}", reset_before(), nth=2, times=None)
        with pytest.raises(IncusError):
            create_or_adopt_volume(proxied, options(name, description="d"), Recorder())
        made = there(client, name)

        live = create_or_adopt_volume(client, options(name, description="d"), Recorder())

        assert live.created_at == made.created_at

    @pytest.mark.parametrize("action", [reset_after(), truncate(10)])
    def test_lost_reply_of_a_change(
        self, proxied: IncusClient, proxy: Proxy, name: str, reporter: Recorder, action: Any
    ) -> None:
        before = options(name)
        made = create_or_adopt_volume(proxied, before, reporter)
        proxy.on("PATCH", f"/1.0{CUSTOM}/{name}", action)
        after = options(name, description="new", labels={"a": "b"})
        live = change_volume(proxied, after, before, reporter, claim=claim(made.created_at))
        assert live.description == "new"

    def test_changed_meanwhile(
        self, proxied: IncusClient, proxy: Proxy, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        before = options(name)
        made = create_or_adopt_volume(proxied, before, reporter)

        def edit(_: Any) -> None:
            sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}", {"config": {"user.theirs": "1"}})

        proxy.on("PATCH", f"/1.0{CUSTOM}/{name}", call(edit))
        after = options(name, labels={"a": "b"})
        live = change_volume(proxied, after, before, reporter, claim=claim(made.created_at))
        assert live.config["user.theirs"] == "1"
        assert live.config["user.pika.label.a"] == "b"

    @pytest.mark.parametrize(
        "action", [reset_after(), truncate(10), reply(404, error("Volume not found", 404))]
    )
    def test_lost_reply_of_a_delete(
        self, proxied: IncusClient, proxy: Proxy, name: str, reporter: Recorder, action: Any
    ) -> None:
        wanted = options(name, delete_data=True)
        made = create_or_adopt_volume(proxied, wanted, reporter)
        proxy.on("DELETE", f"/1.0{CUSTOM}/{name}", action)
        remove_volume(proxied, wanted, reporter, claim=claim(made.created_at))
        remove_volume(proxied, wanted, reporter, claim=claim(made.created_at))
        assert reporter.warnings == []
        assert fetch_volume(proxied, POOL, name) is None

    def test_server_fails_and_the_next_succeeds(
        self, proxied: IncusClient, proxy: Proxy, name: str, reporter: Recorder
    ) -> None:
        proxy.on("POST", f"/1.0{CUSTOM}", reply(500, error("disk full", 500)))
        with pytest.raises(IncusApiError, match="disk full"):
            create_or_adopt_volume(proxied, options(name), reporter)
        assert fetch_volume(proxied, POOL, name) is None
        create_or_adopt_volume(proxied, options(name), reporter)


def test_two_at_once_one_wins(client: IncusClient, name: str) -> None:
    outcomes: list[Any] = []
    barrier = threading.Barrier(4)

    def attempt(owner: str) -> Callable[[], None]:
        def run() -> None:
            barrier.wait()
            try:
                outcomes.append(
                    create_or_adopt_volume(client, options(name, owner=owner), Recorder()).owner
                )
            except (IncusError, ReconcileError) as error:
                outcomes.append(error)

        return run

    threads = [threading.Thread(target=attempt(f"{OWNER}-{i}")) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winners = [outcome for outcome in outcomes if isinstance(outcome, str)]
    losers = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    assert winners == [there(client, name).owner]
    assert len(losers) == 3
    for loser in losers:
        assert isinstance(loser, ForeignVolume), loser
        assert winners[0] in str(loser)
