"""The proxy itself: a fault that is not there would prove nothing."""

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.errors import IncusUnreachable, NotFound

from ...support.proxy import (
    Proxy,
    call,
    delay,
    error,
    reply,
    reset_after,
    reset_before,
)


def make_profile(client: IncusClient, name: str) -> None:
    client.send_change("POST", "/1.0/profiles", {"name": name})


def remove_profile(client: IncusClient, name: str) -> None:
    client.send_change("DELETE", url("profiles", name))


def test_what_has_no_rule_passes_and_is_recorded(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    make_profile(proxied, name)
    assert proxied.get(url("profiles", name)).etag
    remove_profile(proxied, name)

    assert [request.method for request in proxy.requests] == ["POST", "GET", "DELETE"]
    assert proxy.requests[0].json == {"name": name}
    assert proxy.requests[0].query == {"project": "default"}
    assert proxy.requests[0].header("content-type") == "application/json"
    assert len(proxy.changes()) == 2


def test_request_that_is_reset_before_never_arrives(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str
) -> None:
    proxy.on("POST", "/1.0/profiles", reset_before())

    with pytest.raises(IncusUnreachable):
        make_profile(proxied, name)

    with pytest.raises(NotFound):
        client.get(url("profiles", name))


def test_request_that_is_reset_after_is_carried_out(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str
) -> None:
    proxy.on("POST", "/1.0/profiles", reset_after())

    with pytest.raises(IncusUnreachable):
        make_profile(proxied, name)

    remove_profile(client, name)


def test_rule_is_for_its_method_path_and_turn_only(proxy: Proxy, proxied: IncusClient) -> None:
    refusal = reply(403, error("no", 403))
    rule = proxy.on("GET", r"/1\.0/profiles/default", refusal, nth=2, times=2)
    came = []
    for _ in range(5):
        proxied.get("/1.0")
        came.append(proxied.get_raw(url("profiles", "default")).status)

    assert came == [200, 403, 403, 200, 200]
    assert (rule.matched, rule.applied) == (5, 2)


def test_actions_apply_in_order(proxy: Proxy, proxied: IncusClient) -> None:
    said: list[str] = []
    first, second = call(lambda _: said.append("first")), call(lambda _: said.append("second"))
    proxy.on("GET", "/1.0", first, delay(0.01), second)
    proxy.on("GET", "/1.0", call(lambda _: said.append("another rule")))

    proxied.get("/1.0")

    assert said == ["first", "second", "another rule"]


def test_closed_proxy_is_no_daemon_until_it_starts_again(
    proxy: Proxy, proxied: IncusClient
) -> None:
    proxied.get("/1.0")
    proxy.close()
    with pytest.raises(IncusUnreachable, match="the socket does not exist"):
        proxied.get("/1.0")

    proxy.start()

    assert proxied.get("/1.0").data["api_version"] == "1.0"
