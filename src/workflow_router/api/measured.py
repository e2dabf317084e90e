"""Owns which metrics there are of the running system: what of it becomes which family. Refuses to count anything."""

from collections.abc import Callable

from workflow_router.api.metrics import Family, Histograms, counters, histograms
from workflow_router.core.dispatch_route.standing import BUCKETS_S, Standing
from workflow_router.core.limits.decide import counted
from workflow_router.core.measures import Histogram, Measures
from workflow_router.core.message_broker.bridge_ports import BridgeState
from workflow_router.core.message_broker.ports import Progress
from workflow_router.core.model import DEFAULT_TENANT
from workflow_router.core.runtime import Runtime
from workflow_router.core.states import ApprovalStatus

APPROVALS_MAX = 1_000  # so many are counted
_BREAKER = {"closed": 0.0, "half-open": 1.0, "open": 2.0}


async def families(runtime: Runtime) -> list[Family | Histograms]:
    """All families of a running system, but for those of its doors."""
    return [
        *_measured(runtime.measures),
        *_targets(runtime),
        *await _limits(runtime),
        *await _approvals(runtime),
        *await _subscriptions(runtime),
        *await _bridges(runtime),
    ]


def _measured(of: Measures) -> list[Family | Histograms]:
    route = ("route",)
    return [
        counters("runs_total", "Runs by what became of them.", ("workflow", "status"), of.runs),
        histograms(
            "step_seconds", "Operations of runs, attempts and waits between them included.", ("kind", "name"), of.steps
        ),
        counters("mapping_matches_total", "Events that a mapping matched.", ("mapping",), of.matches),
        counters("mapping_failures_total", "Events that a mapping failed on.", ("mapping",), of.failures),
        counters("messages_published_total", "Messages by topic.", ("topic",), of.published),
        counters("deliveries_total", "Deliveries by what became of them.", ("subscription", "outcome"), of.deliveries),
        counters("approvals_total", "Approvals by what became of them.", ("outcome",), of.approvals),
        counters("dispatches_total", "Calls by route and outcome.", ("route", "status"), of.dispatches),
        histograms("dispatch_seconds", "Whole calls, waits and all attempts included.", route, of.seconds),
        counters("dispatch_retries_total", "Attempts beyond the first of a call.", route, of.retries),
        counters("dispatch_failovers_total", "Calls that more than one target was tried for.", route, of.failovers),
        counters("dispatch_tokens_total", "Tokens as providers tell.", ("route", "target", "direction"), of.tokens),
        counters("dispatch_cost_dollars_total", "Cost by the table of prices.", ("route", "target"), of.cost),
        Family("commit_queue", "Units of work that wait to be written.", [({}, of.waiting())]),
        Histograms("commit_seconds", "Commits of the store.", [({}, of.commit_seconds)]),
        Histograms("commit_units", "Units of work that shared a commit.", [({}, of.commit_units)]),
        Histograms("event_loop_lag_seconds", "How long the event loop took to answer when asked.", [({}, of.lag)]),
    ]


def _targets(runtime: Runtime) -> list[Family | Histograms]:
    """What is known of targets. One that several routes share tells the same under each of them."""
    now_s = runtime.clock.monotonic_s()
    known = [
        ({"route": route, "target": target}, standing)
        for (route, target), (_, standing) in sorted(runtime.dispatcher.lanes.targets().items())
    ]
    return [
        Family(
            "target_attempts_total",
            "Attempts that ended, by verdict.",
            [({**labels, "verdict": verdict}, n) for labels, one in known for verdict, n in one.attempts.items()],
            "counter",
        ),
        Histograms(
            "target_first_byte_seconds",
            "Time to status and headers of an attempt.",
            [(labels, _first_byte(one)) for labels, one in known],
        ),
        Family("target_in_flight", "Attempts under way.", [(labels, one.in_flight) for labels, one in known]),
        Family(
            "target_breaker_state",
            "0 where calls pass, 1 where a probe may, 2 where none does.",
            [(labels, _BREAKER[one.breaker.state(now_s)]) for labels, one in known],
            highest=True,
        ),
    ]


def _first_byte(standing: Standing) -> Histogram:
    found = Histogram(BUCKETS_S)
    found.buckets = list(standing.buckets)
    found.sum = standing.latency_sum_s
    return found


async def _limits(runtime: Runtime) -> list[Family]:
    now_ms = runtime.clock.now_ms()
    shares: list[tuple[dict[str, str], float]] = []
    for limit, _ in runtime.live.limits:
        usage = await runtime.live.usage(limit)
        most = max((sum(counted(limit.window, one.buckets, now_ms).values()) for one in usage), default=0)
        shares.append(({"limit": limit.name, "unit": limit.unit}, most / limit.amount if limit.amount else 1.0))
    return [Family("limit_used_ratio", "Share of a limit that its fullest counter has used.", shares, highest=True)]


async def _approvals(runtime: Runtime) -> list[Family]:
    found = await runtime.approvals.list_approvals(
        tenant=DEFAULT_TENANT, status=ApprovalStatus.OPEN, limit=APPROVALS_MAX
    )
    return [Family("approvals_open", f"Approvals that wait for people, at most {APPROVALS_MAX}.", [({}, len(found))])]


async def _subscriptions(runtime: Runtime) -> list[Family]:
    progress = await runtime.broker.progress()
    stuck = runtime.broker.stuck

    def family(name: str, help_text: str, value: Callable[[Progress], float], *, highest: bool = False) -> Family:
        samples = [({"subscription": one.name}, float(value(one))) for one in progress]
        return Family(f"subscription_{name}", help_text, samples, highest=highest)

    return [
        family("lag", "Messages that a subscription has not taken.", lambda one: one.lag),
        family("lag_bytes", "Bytes that a subscription has not taken.", lambda one: one.lag_bytes),
        family("age_seconds", "Age of the oldest message not taken.", lambda one: one.age_ms / 1000, highest=True),
        family("waiting", "Messages that wait to be delivered again or later.", lambda one: one.waiting),
        family("leased", "Messages that consumers have.", lambda one: one.leased),
        family("dead", "Dead letters.", lambda one: one.dead),
        family("stuck", "1 where messages wait and nobody takes them.", lambda one: one.name in stuck, highest=True),
    ]


async def _bridges(runtime: Runtime) -> list[Family]:
    bridges = runtime.broker.bridges
    if not bridges.bridges:
        return []
    states = (await bridges.states()).values()

    def family(name: str, help_text: str, value: Callable[[BridgeState], float]) -> Family:
        return Family(f"bridge_{name}", help_text, [({"bridge": one.name}, float(value(one))) for one in states])

    return [
        family("sent", "Messages that the other server confirmed.", lambda one: one.sent),
        family("received", "Messages that came in.", lambda one: one.received),
        family("duplicates", "Messages that came in again, and were dropped.", lambda one: one.duplicates),
        family("echoes", "Messages that would have gone back to where they came from.", lambda one: one.echoes),
        family("down", "1 while the bridge stands still.", lambda one: one.error is not None),
    ]
