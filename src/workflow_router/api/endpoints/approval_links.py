"""Owns the page behind a signed link: it shows what is approved, and its button decides. Refuses to decide on a GET.

Programs that scan mail open links, so opening one changes nothing. The page has no script and loads nothing.
"""

import base64
import hashlib
import html
import json
from typing import cast
from urllib.parse import parse_qsl

import msgspec

from workflow_router.api.context import Context
from workflow_router.api.endpoint import PUBLIC, endpoint
from workflow_router.api.request import Request, Response
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound, RouterError
from workflow_router.core.model import Approval
from workflow_router.core.runtime_state.approval_links import Link
from workflow_router.core.runtime_state.approval_rules import answer_of
from workflow_router.utils.codec import from_json

TAG = "approvals"
HTML = "text/html; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 100

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f4f4f4;padding:1rem;overflow:auto;white-space:pre-wrap}label{display:block;margin:.5rem 0}"
    "input,textarea{font:inherit;width:100%;box-sizing:border-box}input[type=checkbox]{width:auto}"
    "button{font:inherit;padding:.5rem 1.5rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# The policy keeps the address, which is a secret, from other sites; `Origin` is still sent to this one.
_HEADERS = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"x-robots-tag", b"noindex"),
)


@endpoint(
    "GET", "/approve/{token}", tag=TAG, scope=PUBLIC, produces={HTML: None}, errors=(Forbidden, NotFound, Conflict)
)
async def show_link(context: Context, token: str) -> Response:
    """Show what a signed link would decide. Nothing is decided by opening it."""
    try:
        link, approval = await context.runtime.approvals.look(token)
    except (Forbidden, NotFound) as error:
        return _refusal(error)
    ended = answer_of(approval, context.runtime.clock.now_ms())
    if ended is not None:
        return _page(f"{approval.name} is {ended.status}", "<p>Nothing is left to decide.</p>", 409)
    return _question(link, approval)


@endpoint(
    "POST",
    "/approve/{token}",
    tag=TAG,
    scope=PUBLIC,
    consumes={FORM: None},
    produces={HTML: None},
    errors=(InvalidInput, Forbidden, NotFound, Conflict),
)
async def use_link(context: Context, request: Request, token: str) -> Response:
    """Decide as a signed link says, once."""
    approvals = context.runtime.approvals
    try:
        link, approval = await approvals.look(token)
        fields = _fields(await request.body())
        values = _values(approval.form, fields) if link.approved else {}
        decided = await approvals.decide_by_link(token, reason=fields.get("reason", "")[:2_000], values=values)
    except (InvalidInput, Forbidden, NotFound, Conflict) as error:
        return _refusal(error)
    return _page("Thank you", f"<p>Your decision on {html.escape(decided.name)} is kept; it is {decided.status}.</p>")


def _refusal(error: RouterError) -> Response:
    text = f"<p>{html.escape(error.message)}</p><p>{html.escape(error.remedy)}</p>"
    return _page("This cannot be decided", text, error.status)


def _page(title: str, body: str, status: int = 200) -> Response:
    title = html.escape(title)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>"
    )
    return Response(page.encode(), status, HTML, _HEADERS)


def _question(link: Link, approval: Approval) -> Response:
    word = "Approve" if link.approved else "Reject"
    shown = [
        ("What is approved", _pretty(approval.subject)),
        *([] if approval.context == approval.subject else [("What else to know", _pretty(approval.context))]),
    ]
    parts = [f"<h2>{title}</h2><pre>{html.escape(text)}</pre>" for title, text in shown]
    inputs = [_input(name, schema) for name, schema in _properties(approval.form).items()] if link.approved else []
    parts.append(
        f"<p>SHA-256 <code>{html.escape(approval.hash)}</code></p>"
        f'<form method="post"><p>You answer as <strong>{html.escape(link.person)}</strong>.</p>{"".join(inputs)}'
        '<label>Reason <textarea name="reason" rows="3" maxlength="2000"></textarea></label>'
        f'<button type="submit">{word}</button></form>'
    )
    return _page(f"{word} {approval.name}?", "".join(parts))


def _pretty(text: bytes) -> str:
    return json.dumps(from_json(text), indent=2, ensure_ascii=False)


def _properties(form: bytes) -> dict[str, dict[str, object]]:
    """The fields of a form by name, where it has a list of them."""
    schema = cast("dict[str, object]", from_json(form))
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        known = cast("dict[str, dict[str, object]]", schema.get("$defs", {}))
        schema = known.get(reference.removeprefix("#/$defs/"), {})
    found = schema.get("properties")
    if not isinstance(found, dict):
        return {}
    fields = cast("dict[str, object]", found)
    return {name: cast("dict[str, object]", one) if isinstance(one, dict) else {} for name, one in fields.items()}


def _input(name: str, schema: dict[str, object]) -> str:
    label = html.escape(str(schema.get("title", name)))
    field = f'name="value.{html.escape(name)}"'
    match schema.get("type"):
        case "boolean":
            return f'<label><input type="checkbox" {field} value="true"> {label}</label>'
        case "integer" | "number":
            return f'<label>{label} <input type="number" step="any" {field}></label>'
        case "string":
            return f'<label>{label} <input {field} maxlength="10000"></label>'
        case _:
            return f'<label>{label} (JSON) <textarea rows="3" {field}></textarea></label>'


def _fields(body: bytes) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=FIELDS_MAX)
        )
    except ValueError as error:
        raise InvalidInput(f"The form cannot be read: {error}.", remedy="Send it as the page does.") from None


def _values(form: bytes, fields: dict[str, str]) -> dict[str, object]:
    """The form's values as JSON has them; whether they fit is seen later, where all doors see it."""
    values: dict[str, object] = {}
    for name, schema in _properties(form).items():
        text = fields.get(f"value.{name}", "")
        kind = schema.get("type")
        if kind == "boolean":
            values[name] = text == "true"
        elif text and kind == "string":
            values[name] = text
        elif text:
            try:
                values[name] = from_json(text)
            except msgspec.DecodeError:
                raise InvalidInput(f"{name} is not {kind or 'JSON'}.", remedy="Go back and mend it.") from None
    return values


ENDPOINTS = (show_link, use_link)
