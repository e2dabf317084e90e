"""Owns the check of references: one source each, no secret in the file, no default for one. Refuses to resolve them."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from workflow_router.settings.bind import did_you_mean, dotted
from workflow_router.settings.document import Where
from workflow_router.settings.values import Reference

_KINDS = ("env", "file", "command", "value")
Note = Callable[[Where, str, str], None]


class References:
    """Checks the references of one project.

    Args:
        commands: names of the declared ones.
        mistake, warn: take the place, what is wrong and the remedy.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str], commands: Collection[str], mistake: Note, warn: Note
    ) -> None:
        self._folder = folder
        self._environ = environ
        self._commands = commands
        self._mistake = mistake
        self._warn = warn
        self._unset: set[str] = set()

    def dispatched(self, secret: Reference, where: Where) -> None:
        """A secret that is resolved at each call: it may be a command's, and does not stand in the file."""
        self._one(secret, where)
        self._plain(secret, where)
        if secret.value is not None:
            self._mistake(
                (*where, "value"), "A key is not written into the file.", "Write {env: NAME} or {file: PATH}."
            )
        elif secret.command is not None and secret.command not in self._commands:
            remedy = did_you_mean(secret.command, self._commands) + " Commands are declared under `secrets:`."
            self._mistake((*where, "command"), f"There is no command `{secret.command}`.", remedy)

    def secret(self, secret: Reference, where: Where) -> None:
        """A secret that is read at the start, or by the API."""
        self.value(secret, where)
        self._plain(secret, where)
        if secret.value is not None:
            self._warn((*where, "value"), "A secret stands in the file.", "Write {env: NAME} or {file: PATH} instead.")

    def value(self, reference: Reference, where: Where) -> None:
        """Any other value."""
        self._one(reference, where)
        if reference.command is not None:
            self._mistake(
                (*where, "command"), "A command serves keys of targets only.", "Write {env: NAME} or {file: PATH}."
            )

    def _plain(self, secret: Reference, where: Where) -> None:
        if secret.default is not None:
            self._mistake((*where, "default"), "A secret has no default.", "Set it where `env` says.")

    def _one(self, reference: Reference, where: Where) -> None:
        given = [name for name in _KINDS if getattr(reference, name) is not None]
        if len(given) != 1:
            message = f"`{dotted(where)}` names {len(given)} of env, file, command and value."
            self._mistake(where, message, "Write one of them.")
        elif reference.default is not None and reference.env is None:
            self._mistake((*where, "default"), "Only `env` can have a default.", "Remove it.")
        elif reference.env is not None and reference.default is None and not self._environ.get(reference.env):
            if reference.env not in self._unset:  # once is enough for a key that many targets share
                self._unset.add(reference.env)
                self._warn(where, f"The variable {reference.env} is not set.", "Set it before the router starts.")
        elif reference.file is not None and not (self._folder / reference.file).is_file():
            self._warn(where, f"There is no file `{reference.file}`.", "Put it there before the router starts.")
