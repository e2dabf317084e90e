"""Owns `wr access`: who one is, roles, and API keys. Refuses to touch a store: it asks the server."""

from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "id", "tenant", "roles", "scopes", "expires_ms", "used_ms", "revoked")


@click.group(cls=Group, default="me", epilog="Example: wr access keys create shop --role operator --tenant acme")
def command() -> None:
    """Tell who you are to the server; make, list and take back API keys."""


@command.command("me", epilog="Example: WR_TOKEN=wrk_… wr access me")
@talks
def me(client: Client, printer: Printer) -> None:
    """Tell who you are to the server, and what you may do."""
    found = client.get("/api/me")
    tenant = found["tenant"]
    bound = "bound to no tenant" if tenant is None else f"bound to the tenant {tenant}"
    roles, scopes = (", ".join(cast("list[str]", found[name])) or "none" for name in ("roles", "scopes"))
    printer.say(f"{found['name']} ({found['kind']}), {bound}\nroles: {roles}\nscopes: {scopes}", found)


@command.command("roles", epilog="Example: wr access roles --json")
@talks
def list_roles(client: Client, printer: Printer) -> None:
    """List the roles, and the scopes each stands for."""
    found = client.list("/api/access/roles")
    printer.table(found, ("name", "scopes"), empty="No roles.", value=found)


@command.group("keys", cls=Group, default="list", epilog="Example: wr access keys create ann --role approver")
def keys() -> None:
    """List API keys, make them, take them back. Keys of the gateway alone are `wr keys`."""


@keys.command("list", epilog="Example: wr access keys list --json")
@talks
def list_keys(client: Client, printer: Printer) -> None:
    """List API keys; what they are is never shown again."""
    found = client.list("/api/access/keys")
    printer.table(found, COLUMNS, empty="No API keys.", value=found)


@keys.command(
    "create",
    epilog="Examples: wr access keys create root --role admin; "
    "wr access keys create shop --scope events:write --tenant acme --expires-s 86400",
)
@click.argument("name")
@click.option("--role", "given_roles", multiple=True, help="A role it has; see `wr access roles`.")
@click.option("--scope", "scopes", multiple=True, help="A scope it has besides, such as events:write.")
@click.option("--tenant", help="The tenant whose rows alone it sees and changes; without one, it is bound to none.")
@click.option("--expires-s", type=float, help="For how many seconds it lasts.")
@talks
def create(
    client: Client,
    printer: Printer,
    name: str,
    given_roles: tuple[str, ...],
    scopes: tuple[str, ...],
    tenant: str | None,
    expires_s: float | None,
) -> None:
    """Make the API key NAME and show it, this once. The first one has to be an administrator's."""
    body = {
        "name": name,
        "roles": list(given_roles),
        "scopes": list(scopes),
        "tenant": tenant,
        "expires_in_s": expires_s,
    }
    made = client.post("/api/access/keys", body)
    printer.say(f"{made['key']}\nKeep it: it is not shown again. Give it to `wr` as WR_TOKEN.", made)


@keys.command("revoke", epilog="Example: wr access keys revoke shop")
@click.argument("name")
@talks
def revoke(client: Client, printer: Printer, name: str) -> None:
    """Let the API key NAME open nothing from now on."""
    printer.say(f"{name} is revoked.", client.post(f"/api/access/keys/{segment(name)}/revoke", {}))
