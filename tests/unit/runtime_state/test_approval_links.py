"""Links and messages: those that were made for this decide once, and no others."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.runtime_state.approval_kit import HOUR_S, asking, kinds, opened, play, result, say
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound, RouterError
from workflow_router.core.model import Approval, NewMessage
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_links import Link, Links
from workflow_router.core.runtime_state.approval_messages import SignedDecision, sign_decision
from workflow_router.core.runtime_state.approval_rules import subject_hash
from workflow_router.utils.codec import from_json, to_json

SECRET = b"sixteen bytes or more"


# --- links -----------------------------------------------------------------------------------------------------------


def linked(runtime: Runtime) -> None:
    runtime.approvals.notices.links = Links(lambda: [SECRET], "https://router.test/")


def token_of(url: str) -> str:
    assert url.startswith("https://router.test/approve/")
    return url.rpartition("/")[2]


def _other_secret(approval: Approval, link: Link) -> str:
    del approval
    return token_of(Links(lambda: [SECRET[::-1]], "https://router.test").sign(link))


def _signed(**changes: object) -> Callable[[Approval, Link], str]:
    def make(approval: Approval, link: Link) -> str:
        del approval
        return token_of(Links(lambda: [SECRET], "https://router.test").sign(msgspec.structs.replace(link, **changes)))

    return make


def _swapped(_: Approval, link: Link) -> str:
    """The signature of one link under what another one says."""
    sign = Links(lambda: [SECRET], "https://router.test").sign
    one, other = token_of(sign(link)), token_of(sign(msgspec.structs.replace(link, approved=not link.approved)))
    return f"{other.partition('.')[0]}.{one.partition('.')[2]}"


FORGED: list[tuple[str, Callable[[Approval, Link], str], type[RouterError]]] = [
    ("nothing", lambda _, __: "", Forbidden),
    ("noise", lambda _, __: "a.b", Forbidden),
    ("no signature", lambda a, link: _signed()(a, link).partition(".")[0] + ".", Forbidden),
    ("another secret", _other_secret, Forbidden),
    ("another payload", _swapped, Forbidden),
    ("one character more", lambda a, link: _signed()(a, link) + "A", Forbidden),
    ("a bit that says nothing", lambda a, link: _loose(_signed()(a, link)), Forbidden),
    ("expired", _signed(expires_ms=1), Forbidden),
    ("another tenant", _signed(tenant="other"), NotFound),
    ("another approval", _signed(approval="nope"), NotFound),
    ("another subject", _signed(hash=subject_hash("other")), Conflict),
    ("no candidate", _signed(person="eve"), Forbidden),
    ("the requester", _signed(person="rob"), Forbidden),
    ("too long", lambda _, __: "a" * 5_000 + ".b", Forbidden),
]


def _loose(token: str) -> str:
    """The same bytes, written with another last character."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


@pytest.mark.parametrize(("name", "forge", "error"), FORGED, ids=[name for name, *_ in FORGED])
def test_a_link_that_was_not_made_for_this_decides_nothing(
    name: str, forge: Callable[[Approval, Link], str], error: type[RouterError]
) -> None:
    del name
    router = asking(people=["ann", "rob"], requester="rob")

    async def scenario(runtime: Runtime) -> None:
        linked(runtime)
        await router.start("ask")
        approval = await opened(runtime)
        link, _ = await runtime.approvals.link(approval.id, "ann", approved=True)
        with pytest.raises(error):
            await runtime.approvals.decide_by_link(forge(approval, link))
        assert await opened(runtime) == approval

    play(router, scenario)


def test_a_link_works_once_and_opening_it_decides_nothing() -> None:
    router = asking(people=["ann", "bob"], quorum=2)

    async def scenario(runtime: Runtime) -> None:
        linked(runtime)
        run_id = await router.start("ask")
        approval = await opened(runtime)
        _, url = await runtime.approvals.link(approval.id, "ann", approved=True, by="admin")
        _, second = await runtime.approvals.link(approval.id, "ann", approved=False)
        for _ in range(3):
            assert (await runtime.approvals.look(token_of(url)))[0].person == "ann"
        assert (await opened(runtime)).decisions == b"[]"
        both = [runtime.approvals.decide_by_link(token_of(url)) for _ in range(3)]
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert sorted(isinstance(one, Conflict) for one in outcomes) == [False, True, True]
        with pytest.raises(Conflict, match="decided already"):
            await runtime.approvals.decide_by_link(token_of(second))
        with pytest.raises(Forbidden):
            await runtime.approvals.link(approval.id, "eve", approved=True)
        await runtime.approvals.decide(approval.id, say("bob"))
        assert (await result(runtime, run_id))["by"] == ["ann", "bob"]

    play(router, scenario)


def test_a_used_link_stays_used_even_if_its_decision_could_count_again() -> None:
    """Somebody takes the decision out of the store: the link is still known as used."""
    router = asking(quorum=2)

    async def scenario(runtime: Runtime) -> None:
        linked(runtime)
        await router.start("ask")
        approval = await opened(runtime)
        _, url = await runtime.approvals.link(approval.id, "ann", approved=True)
        after = await runtime.approvals.decide_by_link(token_of(url))
        await runtime.store.commit(lambda tx: tx.approvals.advance(after, approval, "approval.test"))
        with pytest.raises(Conflict, match="used already"):
            await runtime.approvals.decide_by_link(token_of(url))

    play(router, scenario)


def test_a_secret_that_is_replaced_still_reads_what_it_signed() -> None:
    old, new = Links(lambda: [SECRET], "https://r.test"), Links(lambda: [SECRET[::-1], SECRET], "https://r.test")
    link = Link(id="1", approval="a", tenant="t", person="p", approved=True, hash="h", expires_ms=10)
    assert new.read(old.sign(link).rpartition("/")[2], 9) == link
    with pytest.raises(Forbidden, match="expired"):
        new.read(old.sign(link).rpartition("/")[2], 10)
    with pytest.raises(InvalidInput, match="shorter"):
        Links(lambda: [b"short"], "https://r.test").sign(link)
    with pytest.raises(NotFound):
        Links(list, "https://r.test").sign(link)


# --- messages --------------------------------------------------------------------------------------------------------


def on_topics(runtime: Runtime) -> None:
    linked(runtime)
    runtime.approvals.notices.topic = "notices"
    runtime.decisions.topic = "decisions"
    runtime.decisions.sign_with(lambda: [SECRET])


async def publish(runtime: Runtime, body: object) -> None:
    await runtime.publish(NewMessage(id=runtime.ids.new(), topic="decisions", body=to_json(body)))
    await asyncio.sleep(1)


async def notices(runtime: Runtime) -> list[dict[str, Any]]:
    return [from_json(one.body) for one in await runtime.broker.peek("notices", limit=100)]  # pyright: ignore[reportReturnType]  each is an object


def test_people_are_told_with_links_and_answer_by_message() -> None:
    router = asking(people=["ann", "bob"], quorum=2, remind="1h")

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask", {"cost": 5})
        approval = await opened(runtime)
        await asyncio.sleep(HOUR_S)
        told = await notices(runtime)
        assert [one["kind"] for one in told] == ["asked", "reminded"]
        assert (told[0]["subject"], told[0]["hash"]) == ({"cost": 5}, subject_hash({"cost": 5}))
        links = {one["person"]: one for one in told[1]["links"]}
        assert set(links) == {"ann", "bob"}
        await publish(runtime, {"token": token_of(links["ann"]["approve"]), "reason": "fine"})
        signed = SignedDecision(
            approval=approval.id, by="bob", approved=True, hash=approval.hash, expires_ms=runtime.clock.now_ms() + 9_000
        )
        await publish(runtime, sign_decision(SECRET, signed))
        assert (await result(runtime, run_id))["by"] == ["ann", "bob"]
        last = (await notices(runtime))[-1]
        assert (last["kind"], last["status"], last["links"]) == ("ended", "approved", [])

    play(router, scenario, topics=["notices", "decisions"], prepare=on_topics)


def test_messages_that_are_not_signed_for_this_decide_nothing() -> None:
    router = asking(people=["ann"])

    async def scenario(runtime: Runtime) -> None:
        await router.start("ask")
        approval = await opened(runtime)
        good = SignedDecision(
            approval=approval.id,
            by="ann",
            approved=True,
            hash=approval.hash,
            expires_ms=runtime.clock.now_ms() + 10**9,
        )
        body: Any = sign_decision(SECRET, good)

        def changed(**fields: object) -> object:
            return sign_decision(SECRET, msgspec.structs.replace(good, **fields))

        bad: list[object] = [
            None,
            {},
            {"decision": body["decision"]},
            {"decision": body["decision"], "signature": ""},
            sign_decision(SECRET[::-1], good),
            {**body, "decision": {**body["decision"], "approved": False}},
            {**body, "decision": {**body["decision"], "more": 1}},
            {**body, "more": 1},
            {"token": "a.b"},
            changed(expires_ms=1),
            changed(hash=subject_hash("other")),
            changed(tenant="other"),
            changed(by="eve"),
            changed(approval="nope"),
        ]
        for one in bad:
            await publish(runtime, one)
        assert await opened(runtime) == approval
        assert [kind for kind, _ in await kinds(runtime)] == ["asked", *["refused"] * len(bad)]
        await publish(runtime, body)
        await publish(runtime, body)  # a replay counts for nothing
        assert [kind for kind, _ in await kinds(runtime)][-2:] == ["approved", "refused"]

    play(router, scenario, topics=["notices", "decisions"], prepare=on_topics)


def test_a_full_topic_holds_no_approval_back() -> None:
    router = asking()

    def prepare(runtime: Runtime) -> None:
        runtime.approvals.notices.topic = "nowhere"

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask")
        await runtime.approvals.decide((await opened(runtime)).id, say("ann"))
        assert (await result(runtime, run_id))["status"] == "approved"
        assert ("untold", None) in await kinds(runtime)

    play(router, scenario, prepare=prepare)
