"""Owns the explanation of a dispatch in words, for people. Refuses to look anything up: the record tells all of it."""

import msgspec

from workflow_router.core.dispatch_route.entry import Facts
from workflow_router.core.dispatch_route.model import Attempt, Considered
from workflow_router.core.limits.model import told
from workflow_router.core.model import DispatchRecord

_attempts = msgspec.json.Decoder(list[Attempt])
_considered = msgspec.json.Decoder(list[Considered])
_facts = msgspec.json.Decoder(Facts)


def explained(record: DispatchRecord) -> list[str]:
    """What became of a call and why, a sentence or two a line."""
    facts = _facts.decode(record.facts) if record.facts else Facts()
    who = [("key", facts.key), ("agent", facts.agent), ("workflow", facts.workflow)]
    who += [("run", record.run), ("step", record.step_key)]
    asked = ", ".join(f"{name} {value}" for name, value in who if value)
    lines = [f"Dispatch {record.id} through route {record.route}{f' for {asked}' if asked else ''}: {record.status}."]
    if facts.refused is not None:
        lines.append(f"It was not sent: {facts.refused}")
    if facts.answer_of is not None:
        lines.append(f"It was not sent: the answer is that of dispatch {facts.answer_of}, from the cache.")
    if facts.waited_ms >= 1:
        lines.append(f"Its intent was committed after {facts.waited_ms} ms.")
    lines += [
        f"{one.target}: {'picked' if one.picked else 'not picked'}, {one.reason}."
        for one in _considered.decode(record.considered)
    ]
    lines += [_attempted(number, one) for number, one in enumerate(_attempts.decode(record.attempts), 1)]
    if facts.input_tokens is not None:
        price = "" if facts.cost is None else f", which cost {told('money', facts.cost)} by prices {facts.prices}"
        if facts.answered not in {None, facts.model}:
            lines.append(f"The answer is of the model {facts.answered}, where {facts.model} was asked for.")
        lines.append(f"It used {facts.input_tokens} tokens in and {facts.output_tokens} out{price}.")
    return lines


def _attempted(number: int, one: Attempt) -> str:
    came = f"answered {one.status}" if one.status else "gave no answer"
    first = f", first byte after {one.first_byte_ms} ms" if one.first_byte_ms is not None else ""
    whole = f", {one.total_ms} ms in all" if one.total_ms is not None else ""
    return f"Attempt {number}: {one.target} {came}{first}{whole}{f' ({one.error})' if one.error else ''}."
