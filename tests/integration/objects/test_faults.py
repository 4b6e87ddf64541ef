"""Lost replies, conflicts and refusals: no duplicate, no orphan, nothing of another client lost."""

from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import IncusError, PreconditionFailed
from pulumi_pika.reconcile.objects.config_object import Owner, fetch_object
from pulumi_pika.reconcile.objects.live_object import LiveObject
from pulumi_pika.reconcile.objects.object_creation import create_or_adopt_object
from pulumi_pika.reconcile.objects.object_plan import ObjectPlan
from pulumi_pika.reconcile.objects.object_removal import remove_object
from pulumi_pika.reconcile.objects.object_update import change_object
from pulumi_pika.reconcile.objects.profile import PROFILE
from pulumi_pika.reconcile.shared.errors import ObjectRefused
from pulumi_pika.reconcile.shared.ownership import Claim

from ...conftest import Sandbox
from ...support.object_engine import OWNER
from ...support.objects import edit, instance, shown, there
from ...support.proxy import Proxy, call, error, reply, reset_after, reset_before, truncate
from ...support.reconcile import Recorder

WHO = Owner(OWNER, "b1")
LOST = [reset_after(), truncate(20)]


def plan(name: str, **config: str) -> ObjectPlan:
    keys = {f"user.{key}": value for key, value in config.items()}
    return ObjectPlan(name, "default", description="d", config=keys)


def claim(live: LiveObject) -> Claim:
    return Claim((OWNER,), generation=live.generation, copies=False)


@pytest.mark.parametrize("action", LOST)
def test_a_lost_reply_to_the_create(
    proxied: IncusClient, proxy: Proxy, name: str, action: Any
) -> None:
    proxy.on("POST", "/1.0/profiles", action)
    live = create_or_adopt_object(PROFILE, proxied, plan(name, a="1"), WHO, Recorder())
    assert (live.owner, live.config["user.a"]) == (OWNER, "1")
    assert len(proxy.sent("POST", ".*")) == 1
    assert not live.adopted


def test_a_create_that_never_arrived_and_the_next_one(
    proxied: IncusClient, proxy: Proxy, name: str
) -> None:
    proxy.on("POST", "/1.0/profiles", reset_before())
    with pytest.raises(IncusError):
        create_or_adopt_object(PROFILE, proxied, plan(name), WHO, Recorder())
    assert fetch_object(PROFILE, proxied, name) is None
    create_or_adopt_object(PROFILE, proxied, plan(name), WHO, Recorder())


def test_a_create_whose_result_nobody_could_see_is_continued(
    proxied: IncusClient, proxy: Proxy, name: str
) -> None:
    proxy.on("POST", "/1.0/profiles", reset_after())
    proxy.on("GET", f"/1.0/profiles/{name}", reset_before(), nth=2, times=None)
    with pytest.raises(IncusError):
        create_or_adopt_object(PROFILE, proxied, plan(name, a="1"), WHO, Recorder())
    proxy.clear()
    live = create_or_adopt_object(PROFILE, proxied, plan(name, a="2"), WHO, Recorder())
    assert live.config["user.a"] == "2"
    assert not live.adopted, "the next delete would only release it"


def test_a_refused_create_leaves_nothing(proxied: IncusClient, name: str) -> None:
    wrong = ObjectPlan(name, "default", config={"limits.cpu": "no number"})
    with pytest.raises(ObjectRefused, match=r"could not create profile .*Nothing was created"):
        create_or_adopt_object(PROFILE, proxied, wrong, WHO, Recorder())
    assert fetch_object(PROFILE, proxied, name) is None


def test_what_a_failed_create_left_is_deleted(
    proxied: IncusClient, proxy: Proxy, name: str
) -> None:
    def answer_with_error(request: Any, forward: Any) -> Any:
        forward(request)
        return reply(500, error("late failure", 500))(request, forward)

    proxy.on("POST", "/1.0/profiles", answer_with_error)
    with pytest.raises(ObjectRefused, match=r"late failure.*was deleted again"):
        create_or_adopt_object(PROFILE, proxied, plan(name), WHO, Recorder())
    assert fetch_object(PROFILE, proxied, name) is None


def test_one_that_another_client_creates_at_the_same_moment(
    proxied: IncusClient, proxy: Proxy, name: str, sandbox: Sandbox
) -> None:
    body = {"name": name, "config": {"user.x": "1"}}
    proxy.on(
        "POST", "/1.0/profiles", call(lambda _: sandbox.daemon.request("POST", "/profiles", body))
    )
    with pytest.raises(Exception, match="has no owner"):
        create_or_adopt_object(PROFILE, proxied, plan(name), WHO, Recorder())
    assert shown(sandbox, "profiles", name)["config"] == {"user.x": "1"}


@pytest.mark.parametrize("action", LOST)
def test_a_lost_reply_to_a_change(
    proxied: IncusClient, proxy: Proxy, name: str, action: Any
) -> None:
    before = plan(name, a="1", b="1")
    live = create_or_adopt_object(PROFILE, proxied, before, WHO, Recorder())
    proxy.on("PUT", f"/1.0/profiles/{name}", action)
    after = plan(name, a="2")
    live = change_object(
        PROFILE, proxied, after, before, WHO, Recorder(), claim=claim(live), adopted=False
    )
    assert live.config["user.a"] == "2"
    assert "user.b" not in live.config
    assert len(proxy.sent("PUT", ".*")) == 1


def test_a_change_of_another_client_in_between_is_kept(
    proxied: IncusClient, proxy: Proxy, name: str, sandbox: Sandbox
) -> None:
    before = plan(name, a="1")
    live = create_or_adopt_object(PROFILE, proxied, before, WHO, Recorder())

    def meanwhile(_: Any) -> None:
        edit(sandbox, "profiles", name, config={"user.other": "x"})

    proxy.on("PUT", f"/1.0/profiles/{name}", call(meanwhile))
    live = change_object(
        PROFILE,
        proxied,
        plan(name, a="2"),
        before,
        WHO,
        Recorder(),
        claim=claim(live),
        adopted=False,
    )
    assert (live.config["user.a"], live.config["user.other"]) == ("2", "x")
    assert len(proxy.sent("PUT", ".*")) == 2


def test_it_ends_if_another_client_never_stops(
    proxied: IncusClient, proxy: Proxy, name: str, sandbox: Sandbox
) -> None:
    before, numbers = plan(name, a="1"), iter(range(100))
    live = create_or_adopt_object(PROFILE, proxied, before, WHO, Recorder())

    def meanwhile(_: Any) -> None:
        edit(sandbox, "profiles", name, config={"user.other": str(next(numbers))})

    proxy.on("PUT", f"/1.0/profiles/{name}", call(meanwhile), times=None)
    with pytest.raises(PreconditionFailed):
        change_object(
            PROFILE, proxied, plan(name, a="2"), before, WHO, Recorder(),
            claim=claim(live), adopted=False,
        )  # fmt: skip
    assert shown(sandbox, "profiles", name)["config"]["user.a"] == "1"


@pytest.mark.parametrize("action", LOST)
def test_a_lost_reply_to_a_rename(
    proxied: IncusClient, proxy: Proxy, name: str, action: Any
) -> None:
    before = plan(name)
    live = create_or_adopt_object(PROFILE, proxied, before, WHO, Recorder())
    proxy.on("POST", f"/1.0/profiles/{name}", action)
    after = plan(f"{name}-new")
    for _ in range(2):  # The second one is an update that continues an interrupted one.
        done = change_object(
            PROFILE, proxied, after, before, WHO, Recorder(), claim=claim(live), adopted=False
        )
        assert done.name == f"{name}-new"
    assert fetch_object(PROFILE, proxied, name) is None


@pytest.mark.parametrize("action", [*LOST, reset_before()])
def test_a_lost_reply_to_a_delete(
    proxied: IncusClient, proxy: Proxy, name: str, action: Any
) -> None:
    made = plan(name)
    live = create_or_adopt_object(PROFILE, proxied, made, WHO, Recorder())
    proxy.on("DELETE", f"/1.0/profiles/{name}", action)
    try:
        remove_object(PROFILE, proxied, made, Recorder(), claim=claim(live), adopted=False)
    except IncusError:
        remove_object(PROFILE, proxied, made, Recorder(), claim=claim(live), adopted=False)
    assert fetch_object(PROFILE, proxied, name) is None


def test_a_delete_of_one_that_is_used_at_the_last_moment(
    proxied: IncusClient, proxy: Proxy, name: str, sandbox: Sandbox
) -> None:
    made = plan(name)
    live = create_or_adopt_object(PROFILE, proxied, made, WHO, Recorder())
    proxy.on("DELETE", ".*", call(lambda _: instance(sandbox, f"{name}-box", name)))
    with pytest.raises(Exception, match=f"is used by instance {name}-box"):
        remove_object(PROFILE, proxied, made, Recorder(), claim=claim(live), adopted=False)
    assert there(sandbox, "profiles", name)


def test_a_lost_reply_to_an_adoption(
    proxied: IncusClient, proxy: Proxy, name: str, sandbox: Sandbox
) -> None:
    sandbox.daemon.request("POST", "/profiles", {"name": name, "config": {"user.x": "1"}})
    adopting = Owner(OWNER, "b1", adopt=True)
    proxy.on("PUT", f"/1.0/profiles/{name}", reset_after())
    live = create_or_adopt_object(PROFILE, proxied, plan(name, a="1"), adopting, Recorder())
    assert live.adopted
    again = create_or_adopt_object(PROFILE, proxied, plan(name, a="1"), adopting, Recorder())
    assert again.adopted
    assert again.generation.endswith(live.generation)
