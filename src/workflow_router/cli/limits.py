"""Owns `wr limits` and `wr budgets`, which are limits of money. Refuses to touch a store: it asks the server."""

from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer
from workflow_router.core.errors import InvalidInput
from workflow_router.core.limits.model import NANO, Unit, told
from workflow_router.settings.limits import window_of

COLUMNS = ("name", "limit", "window", "per", "where", "used")


def _shown(client: Client, printer: Printer, *, money: bool) -> None:
    found = [one for one in client.list("/api/limits") if (one["unit"] == "money") or not money]
    rows: list[dict[str, object]] = []
    for one in found:
        unit = cast("Unit", one["unit"])
        counters = cast("list[dict[str, object]]", one["counters"])
        used = [f"{counter['subject'] or 'all'}: {told(unit, cast('int', counter['used']))}" for counter in counters]
        rows.append({**one, "limit": told(unit, cast("int", one["amount"])), "used": used})
    printer.table(rows, COLUMNS, empty="No budgets." if money else "No limits.", value=found)


def _set(
    client: Client,
    printer: Printer,
    name: str,
    unit: Unit,
    amount: int,
    options: tuple[str, bool, str | None, tuple[str, ...]],
) -> None:
    window, rolling, per, where = options
    try:
        counted = window_of(window, rolling=rolling)
        places = dict(one.split("=", 1) for one in where)
    except ValueError as error:
        raise InvalidInput(f"{error}", remedy="See `wr limits set --help`.") from None
    body = {"name": name, "unit": unit, "amount": amount, "window": counted, "per": per, "where": places}
    made = client.put(f"/api/limits/{segment(name)}", body)
    within = "at once" if unit == "in_flight" else f"within {window}"
    printer.say(f"{name}: {told(unit, amount)} {within}{f' for each {per}' if per else ''}.", made)


@click.group(
    cls=Group, default="list", epilog="Example: wr limits set calls --unit requests --amount 60 --window 1m --per key"
)
def command() -> None:
    """List limits with what is used of them, and declare them while the router runs."""


@click.group("budgets", cls=Group, default="list", epilog="Example: wr budgets set team --amount 25 --window month")
def budgets() -> None:
    """List budgets with what is spent, and declare them while the router runs."""


@command.command("list", epilog="Example: wr limits list --json")
@talks
def list_limits(client: Client, printer: Printer) -> None:
    """List limits."""
    _shown(client, printer, money=False)


@budgets.command("list", epilog="Example: wr budgets list --json")
@talks
def list_budgets(client: Client, printer: Printer) -> None:
    """List budgets."""
    _shown(client, printer, money=True)


@command.command("set", epilog="Example: wr limits set calls --unit requests --amount 60 --window 1m --per key")
@click.argument("name")
@click.option("--unit", type=click.Choice(["requests", "tokens", "in_flight"]), required=True)
@click.option("--amount", type=click.IntRange(min=0), required=True)
@click.option("--window", help="30s, 1m, 1h, 1d, month or total; calls in flight have none.")
@click.option("--rolling", is_flag=True, help="The last span at any time.")
@click.option("--per", type=click.Choice(["tenant", "key", "agent", "workflow", "run", "step", "route"]))
@click.option("--where", multiple=True, metavar="SCOPE=NAME", help="What it holds for, such as route=assistant.")
@talks
def set_limit(
    client: Client,
    printer: Printer,
    name: str,
    unit: Unit,
    amount: int,
    window: str | None,
    rolling: bool,
    per: str | None,
    where: tuple[str, ...],
) -> None:
    """Declare the limit NAME, or change it."""
    if window is None and unit != "in_flight":
        raise InvalidInput(f"A limit of {unit} needs a window.", remedy="Say it with --window, such as --window 1m.")
    window = window or "total"
    _set(client, printer, name, unit, amount, (window, rolling, per, where))


@budgets.command("set", epilog="Example: wr budgets set team --amount 25 --window month --per tenant")
@click.argument("name")
@click.option("--amount", type=click.FloatRange(min=0), required=True, help="Dollars.")
@click.option("--window", required=True, help="1h, 1d, month or total.")
@click.option("--rolling", is_flag=True, help="The last span at any time.")
@click.option("--per", type=click.Choice(["tenant", "key", "agent", "workflow", "run", "step", "route"]))
@click.option("--where", multiple=True, metavar="SCOPE=NAME", help="What it holds for, such as route=assistant.")
@talks
def set_budget(
    client: Client,
    printer: Printer,
    name: str,
    amount: float,
    window: str,
    rolling: bool,
    per: str | None,
    where: tuple[str, ...],
) -> None:
    """Declare the budget NAME, or change it."""
    _set(client, printer, name, "money", round(amount * NANO), (window, rolling, per, where))


@command.command("remove", epilog="Example: wr limits remove calls")
@click.argument("name")
@talks
def remove(client: Client, printer: Printer, name: str) -> None:
    """Take back the limit NAME that was declared while the router runs."""
    printer.say(f"{name} is removed.", client.delete(f"/api/limits/{segment(name)}"))
