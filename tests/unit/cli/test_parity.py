"""Everything that the API does, and so the console, the command line does; each command has an example and `--json`."""

from collections.abc import Iterator

import click
import pytest

from workflow_router.api.table import ENDPOINTS
from workflow_router.cli.main import command

# By operation, the command that does it.
DONE_BY = {
    "POST /events": "events send",
    "GET /api/events": "events list",
    "GET /api/events/{event_id}": "events show",
    "GET /api/events/{event_id}/explain": "events explain",
    "POST /api/events/replay": "events replay",
    "GET /api/mappings": "mappings list",
    "GET /api/mappings/{name}/versions": "mappings versions",
    "PUT /api/mappings/{name}": "mappings put",
    "POST /api/mappings/{name}/change": "mappings rollback",
    "DELETE /api/mappings/{name}": "mappings delete",
    "POST /api/mappings/try": "mappings test",
    "POST /api/mappings/backtest": "mappings backtest",
    "GET /api/mappings/lint": "mappings lint",
    "GET /api/mappings/graph": "mappings graph",
    "GET /api/workflows": "workflows list",
    "GET /api/runs": "runs list",
    "POST /api/runs": "runs start",
    "GET /api/runs/{run_id}": "runs show",
    "GET /api/runs/{run_id}/state": "runs state",
    "PATCH /api/runs/{run_id}/state": "runs state",
    "POST /api/runs/{run_id}/signals/{name}": "runs signal",
    "POST /api/runs/{run_id}/updates/{name}": "runs update",
    "POST /api/runs/{run_id}/cancel": "runs cancel",
    "POST /api/runs/{run_id}/pause": "runs pause",
    "POST /api/runs/{run_id}/resume": "runs resume",
    "POST /api/runs/{run_id}/retry": "runs retry",
    "POST /api/runs/{run_id}/fork": "runs fork",
    "GET /api/runs/{run_id}/diff/{other}": "runs diff",
    "GET /api/runs/{run_id}/steps/{key}/input": "runs input",
    "POST /api/runs/bulk": "runs cancel",
    "GET /api/runs/{run_id}/streams": "runs stream",
    "GET /api/runs/{run_id}/streams/{name}": "runs stream",
    "POST /api/runs/archive": "runs archive",
    "GET /api/approvals": "approvals list",
    "GET /api/approvals/{approval_id}": "approvals show",
    "POST /api/approvals/{approval_id}": "approvals decide",
    "POST /api/approvals/{approval_id}/remind": "approvals remind",
    "POST /api/approvals/{approval_id}/withdraw": "approvals withdraw",
    "POST /api/approvals/{approval_id}/links": "approvals link",
    "GET /api/delegations": "approvals delegate",
    "POST /api/delegations": "approvals delegate",
    "DELETE /api/delegations/{delegation_id}": "approvals delegate",
    "GET /api/interceptors": "interceptors list",
    "GET /api/interceptors/{interceptor}": "interceptors show",
    "GET /api/interceptors/{interceptor}/versions": "interceptors show",
    "PUT /api/interceptors/{interceptor}": "interceptors set",
    "POST /api/interceptors/{interceptor}/disable": "interceptors disable",
    "POST /api/interceptors/{interceptor}/enable": "interceptors enable",
    "DELETE /api/interceptors/{interceptor}": "interceptors delete",
    "GET /api/holds": "holds list",
    "GET /api/holds/{hold}": "holds show",
    "POST /api/holds/{hold}/release": "holds release",
    "POST /api/holds/{hold}/deny": "holds deny",
    "GET /api/topics": "topics list",
    "PUT /api/topics/{topic}": "topics create",
    "DELETE /api/topics/{topic}": "topics delete",
    "POST /api/topics/{topic}/messages": "topics publish",
    "GET /api/topics/{topic}/messages": "topics peek",
    "POST /api/topics/{topic}/requests": "topics request",
    "GET /api/subscriptions": "subscriptions list",
    "PUT /api/subscriptions/{name}": "subscriptions create",
    "DELETE /api/subscriptions/{name}": "subscriptions delete",
    "POST /api/subscriptions/{name}/pull": "subscriptions pull",
    "POST /api/subscriptions/{name}/ack": "subscriptions ack",
    "POST /api/subscriptions/{name}/nack": "subscriptions nack",
    "GET /api/subscriptions/{name}/messages": "subscriptions peek",
    "GET /api/subscriptions/{name}/dead-letters": "subscriptions dead-letters",
    "POST /api/subscriptions/{name}/redrive": "subscriptions redrive",
    "POST /api/subscriptions/{name}/seek": "subscriptions seek",
    "POST /api/subscriptions/{name}/purge": "subscriptions purge",
    "GET /api/bridges": "bridges list",
    "GET /api/bridges/{name}": "bridges show",
    "GET /api/limits": "limits list",
    "PUT /api/limits/{name}": "limits set",
    "DELETE /api/limits/{name}": "limits remove",
    "GET /api/keys": "keys list",
    "POST /api/keys": "keys create",
    "POST /api/keys/{name}/revoke": "keys revoke",
    "POST /api/keys/{name}/rotate": "keys rotate",
    "GET /api/schedules": "schedules list",
    "POST /api/schedules/{name}/pause": "schedules pause",
    "POST /api/schedules/{name}/resume": "schedules resume",
    "POST /api/schedules/{name}/trigger": "schedules trigger",
    "GET /api/sources": "sources list",
    "GET /api/routes": "routes list",
    "GET /api/routes/{route}": "routes show",
    "GET /api/routes/{route}/versions": "routes show",
    "PUT /api/routes/{route}": "routes set",
    "POST /api/routes/{route}/weights": "routes weigh",
    "POST /api/routes/{route}/disable": "routes disable",
    "POST /api/routes/{route}/enable": "routes enable",
    "DELETE /api/routes/{route}": "routes delete",
    "GET /api/dispatches": "dispatches list",
    "GET /api/dispatches/{dispatch_id}": "dispatches show",
    "GET /api/dispatches/{dispatch_id}/bodies": "dispatches show",
    "GET /api/state": "top",
    "GET /api/state/hour": "top",
    "GET /api/observe": "runs watch",
    "GET /api/trace/{some_id}": "trace",
    "GET /api/audit": "audit search",
    "GET /api/audit/head": "audit tail",
    "GET /api/audit/tiles/{number}": "audit export",
    "GET /api/audit/checkpoint": "audit checkpoint",
    "POST /api/audit/checkpoint": "audit checkpoint",
    "GET /api/audit/{position}/proof": "audit prove",
    "POST /api/audit/{position}/redact": "audit redact",
    "GET /api/audit/consistency": "audit verify",
    "GET /api/me": "access me",
    "GET /api/access/roles": "access roles",
    "GET /api/access/keys": "access keys list",
    "POST /api/access/keys": "access keys create",
    "POST /api/access/keys/{name}/revoke": "access keys revoke",
}
# What is not for people at a command line, and why.
NOT_DONE = {
    "POST /webhooks/{source}": "signed by whoever sends them",
    "GET /approve/{token}": "a link in a letter, for a browser",
    "POST /approve/{token}": "a link in a letter, for a browser",
    "GET /api/subscriptions/{name}/stream": "consumers hold it open and answer what they took; `pull` is for people",
    "POST /api/subscriptions/{name}/extend": "a consumer's, while it works",
    "POST /api/subscriptions/{name}/reply": "a consumer's, to a request",
    "GET /api/observe/digest": "for whoever shows something and asks anew; `runs watch` and `audit tail` have it whole",
    **dict.fromkeys(
        ("GET /api/session", "POST /api/session", "DELETE /api/session"), "a browser's, which has no place for a key"
    ),
    **dict.fromkeys(
        ("GET /api/session/oidc", "GET /api/session/oidc/answer"), "a browser's way to the issuer and back"
    ),
    "GET /healthz": "for what supervises the process",
    "GET /readyz": "for what supervises the process",
    "GET /metrics": "for Prometheus",
    "GET /openapi.json": "for programs that make clients",
    "GET /": "the console",
    "GET /web/{file}": "the console",
    "GET /web/{folder}/{part}": "the console",
}
# Commands that print what is no answer: they run until they are stopped, or make a file.
NO_JSON = {"serve", "worker", "init", "completion"}


def leaves(found: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its name."""
    if isinstance(found, click.Group):
        context = click.Context(found)
        for name in found.list_commands(context):
            inner = found.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, f"{path} {name}".strip())
    else:
        yield path, found


COMMANDS = dict(leaves(command))


def test_every_operation_of_the_api_has_its_command_or_a_reason() -> None:
    operations = {f"{one.method} {one.path}" for one in ENDPOINTS}
    assert operations == DONE_BY.keys() | NOT_DONE.keys()
    assert not DONE_BY.keys() & NOT_DONE.keys()
    assert set(DONE_BY.values()) <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_it_takes_and_json(name: str) -> None:
    found = COMMANDS[name]
    assert found.help
    assert len({one.name for one in found.params}) == len(found.params)  # an argument would be its own option
    assert f"wr {name}" in (found.epilog or ""), f"wr {name} has no example"
    assert ("--json" in {option for one in found.params for option in one.opts}) == (name not in NO_JSON)
    named = {word.partition("=")[0] for word in (found.epilog or "").split(f"wr {name}", 1)[1].split(";")[0].split()}
    own = {option for one in found.params for option in (*one.opts, *one.secondary_opts)}
    flags = {word.strip(".,`'\"") for word in named if word.startswith("--")}
    assert flags <= own, f"the example of wr {name} has options that it does not know"
