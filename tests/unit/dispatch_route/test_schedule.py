"""The order in which waiting calls go on."""

from workflow_router.core.dispatch_route.schedule import Place, Shares


def serve(shares: Shares, places: list[Place], count: int) -> list[Place]:
    served: list[Place] = []
    for _ in range(count):
        first = shares.order(place for place in places if place not in served)[0]
        shares.served(first)
        served.append(first)
    return served


def crowd(*flows: tuple[str, str]) -> list[Place]:
    """Thirty calls of each flow, the first flow's all before the second's."""
    return [
        Place(tenant=tenant, caller=caller, arrived=at * 30 + number)
        for at, (tenant, caller) in enumerate(flows)
        for number in range(30)
    ]


def test_resumed_runs_go_before_priority_and_priority_before_arrival() -> None:
    places = [
        Place(tenant="t", caller="a", arrived=1),
        Place(tenant="t", caller="a", priority=5, arrived=2),
        Place(tenant="t", caller="a", resumed=True, priority=-5, arrived=3),
    ]
    assert [place.arrived for place in Shares({}).order(places)] == [3, 2, 1]


def test_tenants_share_by_weight_however_many_callers_they_have() -> None:
    places = crowd(("big", "a"), ("big", "b"), ("small", "c"))
    served = serve(Shares({"small": 2.0}), places, 30)
    assert [sum(place.tenant == name for place in served) for name in ("big", "small")] == [10, 20]


def test_callers_of_a_tenant_share_by_weight() -> None:
    served = serve(Shares({"t/b": 3.0}), crowd(("t", "a"), ("t", "b")), 20)
    assert [sum(place.caller == name for place in served) for name in ("a", "b")] == [5, 15]


def test_who_comes_late_is_not_owed_what_it_did_not_ask_for() -> None:
    shares = Shares({})
    serve(shares, crowd(("t", "a")), 20)
    served = serve(shares, crowd(("t", "a"), ("t", "b"))[10:], 10)
    assert [sum(place.caller == name for place in served) for name in ("a", "b")] == [5, 5]
