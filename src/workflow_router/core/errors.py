"""Owns the tree of errors that users meet. Each says what is wrong and how to mend it; doors only translate them.

RouterError
├── InvalidInput                400
│   ├── InvalidEvent            400
│   ├── InvalidPattern          400
│   ├── InvalidExpression       400
│   ├── ExpressionFailed        422
│   └── InvalidProject          422   (a list of mistakes, each with file, line and remedy)
├── Unauthorized                401
├── Forbidden                   403
├── NotFound                    404
├── Conflict                    409
├── PayloadTooLarge             413
├── UnsupportedMediaType        415
├── Overloaded                  429   (Retry-After)
│   └── LimitReached            429   (a limit or budget has no room; Retry-After where it will have)
├── StoreError                  503
│   ├── StoreBusy               503   (another process owns the store)
│   ├── StoreTooNew             503
│   ├── StoreLibraryTooOld      503
│   ├── StoreUnavailable        503
│   └── CommitUnknown           503   (the connection broke during COMMIT)
├── Lost                        409   (a stale owner: somebody else holds the run now)
├── DispatchFailed              502
│   └── NoTarget                503
├── StepFailed                  500   (a step gave up; carries the last error)
│   └── ChildFailed             500   (a child run ended without a result)
├── CompensationFailed          500   (a saga could not undo all of what it had done)
├── WaitExpired                 504   (what a run waited for did not come in time; also a TimeoutError)
├── Nondeterminism              500   (replay found another step than history has)
├── HistoryTooLong              500   (a run has more steps than are allowed)
├── QueueTimeout                504   (a run's turn came too late for it to begin)
├── Permanent                   500   (a step says that another try is pointless)
│   └── StreamTooLong           413   (a chunk, or all of a stream, above its limit)
├── RetryLater                  503   (a step says when another try may be worth it)
└── ApprovalRejected            403

RunCancelled is no RouterError: it is a BaseException, so that `except Exception` lets it pass.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from workflow_router.core.model import DispatchRecord


class RouterError(Exception):
    """Something went wrong in a way the system foresaw.

    Attributes:
        type: stable slug, the last part of the problem's `type` URI.
        status: HTTP status a door answers with.
        message: one sentence: what is wrong.
        remedy: one sentence: how to mend it.
    """

    type: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, remedy: str = "", **context: object) -> None:
        super().__init__(message if not remedy else f"{message} {remedy}")
        self.message = message
        self.remedy = remedy
        self.context = context


class InvalidInput(RouterError):
    """The caller sent something that cannot be understood."""

    type = "invalid-input"
    status = 400


class InvalidEvent(InvalidInput):
    """Not a CloudEvents 1.0 event; the message names the attribute or the position."""

    type = "invalid-event"


class InvalidPattern(InvalidInput):
    """Not an event pattern; `path` says where.

    Attributes:
        path: dotted path of the offending field, `$` for the root.
    """

    type = "invalid-pattern"

    def __init__(self, message: str, *, path: str = "$", remedy: str = "") -> None:
        super().__init__(f"{message} (at {path}).", remedy=remedy, path=path)
        self.path = path
        self.reason = message


class InvalidExpression(InvalidInput):
    """An expression that does not compile or breaks a limit on its size."""

    type = "invalid-expression"


class ExpressionFailed(InvalidInput):
    """An expression that compiled, but could not be evaluated on this input."""

    type = "expression-failed"
    status = 422


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake in a project: where it stands, what is wrong, how to mend it."""

    file: str
    line: int | None
    message: str
    remedy: str


class InvalidProject(InvalidInput):
    """A project folder with mistakes; all of them at once."""

    type = "invalid-project"
    status = 422

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        lines = [f"{m.file}:{m.line or 1}: {m.message} {m.remedy}".rstrip() for m in mistakes]
        super().__init__("\n".join(lines))
        self.mistakes = tuple(mistakes)


class Unauthorized(RouterError):
    """No valid credential or signature."""

    type = "unauthorized"
    status = 401


class Forbidden(RouterError):
    """A valid credential that may not do this."""

    type = "forbidden"
    status = 403


class NotFound(RouterError):
    """No such thing under this name or id."""

    type = "not-found"
    status = 404


class Conflict(RouterError):
    """The thing exists, but not in a state that allows this."""

    type = "conflict"
    status = 409


class PayloadTooLarge(RouterError):
    """A body, or a value in it, above its limit."""

    type = "payload-too-large"
    status = 413


class UnsupportedMediaType(RouterError):
    """A content type this door does not read."""

    type = "unsupported-media-type"
    status = 415


class Overloaded(RouterError):
    """A bounded queue is full; nothing was journalled, so it is safe to send again.

    Attributes:
        retry_after_s: when to try again, seconds; None where that never helps.
    """

    type = "overloaded"
    status = 429

    def __init__(self, message: str, *, retry_after_s: float = 1.0, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s: float | None = retry_after_s


class LimitReached(Overloaded):
    """A limit or budget has no room for the call in the time it may wait; nothing was sent.

    Attributes:
        retry_after_s: when there is room, seconds; None where there never will be.
    """

    type = "limit-reached"

    def __init__(self, message: str, *, retry_after_s: float | None = None, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class StoreError(RouterError):
    """The store cannot serve."""

    type = "store-error"
    status = 503


class StoreBusy(StoreError):
    """Another process owns the SQLite store."""

    type = "store-busy"


class StoreTooNew(StoreError):
    """The database was migrated by newer code."""

    type = "store-too-new"


class StoreLibraryTooOld(StoreError):
    """The SQLite library has a known bug that corrupts WAL databases."""

    type = "store-library-too-old"


class StoreUnavailable(StoreError):
    """The database refused or failed; nothing of this unit of work was written."""

    type = "store-unavailable"


class CommitUnknown(StoreError):
    """The connection broke during COMMIT: the unit of work landed whole or not at all, but which is not known."""

    type = "commit-unknown"


class Lost(RouterError):
    """A fenced write found another owner; the caller must stop working on the run."""

    type = "lost"
    status = 409


class DispatchFailed(RouterError):
    """Every target of the route was tried or ruled out.

    Attributes:
        upstream_status: the last HTTP status an upstream gave, if any.
        retry_after_s: when it may be worth trying again, seconds, where that is known.
        record: the final record of the dispatch, for the caller to commit.
    """

    type = "dispatch-failed"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        upstream_status: int | None = None,
        retry_after_s: float | None = None,
        record: DispatchRecord | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.upstream_status = upstream_status
        self.retry_after_s = retry_after_s
        self.record = record


class NoTarget(DispatchFailed):
    """No target of the route may be picked now."""

    type = "no-target"
    status = 503


class TargetsFull(DispatchFailed):
    """The targets have as many calls in flight as they may, and the call cannot wait until one of them has room."""

    type = "targets-full"
    status = 429


class StepFailed(RouterError):
    """A step used up its tries; the message carries the last error's type and text."""

    type = "step-failed"


class ChildFailed(StepFailed):
    """A child run faulted or was cancelled; the message carries its id and its error."""

    type = "child-failed"


class RunFailed(RouterError):
    """A run whose result was asked for faulted, was cancelled or is suspended; the message carries its error."""

    type = "run-failed"


class CompensationFailed(RouterError):
    """A saga failed, and so did some of its compensations; the message names them."""

    type = "compensation-failed"


class WaitExpired(RouterError, TimeoutError):
    """What a run waited for did not come within the time it gave."""

    type = "wait-expired"
    status = 504


class UpdateRejected(RouterError):
    """The handler of an update refused it; the run goes on.

    Attributes:
        error_type: what the handler raised.
    """

    type = "update-rejected"
    status = 422

    def __init__(self, message: str, *, remedy: str = "", error_type: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.error_type = error_type


class Nondeterminism(RouterError):
    """On replay the workflow asked for another step than its history has; the run is suspended, never guessed."""

    type = "nondeterminism"


class HistoryTooLong(RouterError):
    """A run has as many steps as are allowed; it is suspended, so that nothing of it is lost."""

    type = "history-too-long"


class ApprovalRejected(RouterError):
    """The people asked said no, or did not answer in time."""

    type = "approval-rejected"
    status = 403


class Permanent(RouterError):
    """Raised by a step: it failed in a way that another try cannot mend, so there is none."""

    type = "permanent"


class StreamTooLong(Permanent):
    """A chunk, or all of a run's stream, is larger than is allowed."""

    type = "stream-too-long"
    status = 413


class RetryLater(RouterError):
    """Raised by a step: another try is worth it no sooner than `retry_after_s`.

    Attributes:
        retry_after_s: when to try again, seconds.
    """

    type = "retry-later"
    status = 503

    def __init__(self, message: str, *, retry_after_s: float, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class QueueTimeout(RouterError):
    """A run's turn came later than its workflow's `queue_timeout_s`, so it was not begun."""

    type = "queue-timeout"
    status = 504


class RunCancelled(BaseException):
    """Raised in the code of a run that is to end, once, so that it can clean up: steps called from then on are done.

    Attributes:
        reason: `cancelled`, or `timeout` where the run took longer than its workflow's `timeout_s`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"The run is to end: {reason}.")
        self.reason = reason
