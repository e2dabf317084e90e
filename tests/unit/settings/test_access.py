"""What a project says of access: mistakes are told with their line, and nothing weak can be written."""

from pathlib import Path

import pytest

from workflow_router.app.project import check

OIDC = "issuer: https://login.example.com, audience: router"


def mistakes(folder: Path, access: str) -> list[str]:
    (folder / "router.yaml").write_text(f"name: x\nsettings:\n  access: {access}\n", encoding="utf-8")
    return [f"{one.line}: {one.message} {one.remedy}" for one in check(folder)]


@pytest.mark.parametrize(
    ("access", "says"),
    [
        (f"{{oidc: {{{OIDC}, algorithms: [HS256]}}}}", "algorithms[0]` is not one of RS256"),
        (f"{{oidc: {{{OIDC}, algorithms: [none]}}}}", "algorithms[0]` is not one of RS256"),
        (f"{{oidc: {{{OIDC}, algorithms: []}}}}", "algorithms"),
        ("{oidc: {issuer: 'http://login.example.com', audience: router}}", "https://"),
        (f"{{oidc: {{{OIDC}, jwks: 'http://example.com/keys'}}}}", "https://"),
        (f"{{oidc: {{{OIDC}, leeway_s: 900}}}}", "leeway_s"),
        ("{oidc: {issuer: 'https://login.example.com'}}", "audience"),
        (f"{{oidc: {{{OIDC}, everybody: [viewers]}}}}", "There is no role `viewers`. Did you mean `viewer`?"),
        (f"{{oidc: {{{OIDC}, roles: {{ops: [operator, lead]}}}}}}", "There is no role `lead`."),
        ("{roles: {lead: [runs:burn]}}", "roles.lead[0]"),
        ("{roles: {lead: [any]}}", "roles.lead[0]"),
        ("{roles: {lead: []}}", "lead"),
    ],
)
def test_a_mistake_is_told(access: str, says: str, tmp_path: Path) -> None:
    found = mistakes(tmp_path, access)
    assert len(found) == 1, found
    assert found[0].startswith("3: ")
    assert says in found[0], found


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    roles = "roles: {lead: [runs:read]}"
    assert mistakes(tmp_path, f"{{{roles}, oidc: {{{OIDC}, roles: {{ops: [lead, admin]}}}}}}") == []
