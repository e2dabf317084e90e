"""Owns bodies of GitHub webhooks as GitHub shapes them (docs.github.com, "Webhook events and payloads"). Pure.

Refuses to decide what is sent: the numbers, names and texts are given by `github_events`.
"""

import hashlib
from typing import TypeAlias

Payload: TypeAlias = dict[str, object]

API = "https://api.github.com"
WEB = "https://github.com"

_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_LINKS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def number_of(text: str) -> int:
    """A stable eight-digit id for a name, as GitHub's objects have."""
    return 10_000_000 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % 90_000_000


def sha_of(text: str) -> str:
    """A stable commit id for a name."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def user(login: str, kind: str = "User") -> Payload:
    """A user, organization or bot."""
    number, api = number_of(login), f"{API}/users/{login}"
    return {
        "login": login,
        "id": number,
        "node_id": f"MDQ6VXNlcj{number}",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{WEB}/{login}",
        **{name: api + path for name, path in _USER_LINKS.items()},
        "type": kind,
        "site_admin": False,
    }


def repository(full_name: str, time: str) -> Payload:
    """A repository."""
    owner, _, name = full_name.partition("/")
    number, api, web = number_of(full_name), f"{API}/repos/{full_name}", f"{WEB}/{full_name}"
    return {
        "id": number,
        "node_id": f"MDEwOlJlcG9zaXRvcnk{number}",
        "name": name,
        "full_name": full_name,
        "private": False,
        "owner": user(owner, "Organization"),
        "html_url": web,
        "description": f"The {name} of {owner}",
        "fork": False,
        "url": api,
        **{key: api + path for key, path in _REPOSITORY_LINKS.items()},
        "created_at": "2019-05-15T15:19:25Z",
        "updated_at": time,
        "pushed_at": time,
        "git_url": f"git://github.com/{full_name}.git",
        "ssh_url": f"git@github.com:{full_name}.git",
        "clone_url": f"{web}.git",
        "svn_url": web,
        "homepage": None,
        "size": 4821,
        "stargazers_count": 212,
        "watchers_count": 212,
        "language": "Python",
        "has_issues": True,
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": True,
        "has_pages": False,
        "forks_count": 17,
        "mirror_url": None,
        "archived": False,
        "disabled": False,
        "open_issues_count": 23,
        "license": {"key": "apache-2.0", "name": "Apache License 2.0", "spdx_id": "Apache-2.0"},
        "forks": 17,
        "open_issues": 23,
        "watchers": 212,
        "default_branch": "main",
    }


def label(full_name: str, name: str) -> Payload:
    """A label on an issue or pull request."""
    number = number_of(f"{full_name}:{name}")
    return {
        "id": number,
        "node_id": f"MDU6TGFiZWw{number}",
        "url": f"{API}/repos/{full_name}/labels/{name}",
        "name": name,
        "color": f"{number % 0xFFFFFF:06x}",
        "default": True,
        "description": None,
    }


def pull_request(
    full_name: str,
    number: int,
    *,
    title: str,
    author: str,
    branch: str,
    commit: str,
    changed_files: int,
    labels: list[str],
    draft: bool,
    time: str,
) -> Payload:
    """A pull request."""
    api, web = f"{API}/repos/{full_name}/pulls/{number}", f"{WEB}/{full_name}/pull/{number}"
    repo, own_id = repository(full_name, time), number_of(f"{full_name}#{number}")

    def side(ref: str, sha: str) -> Payload:
        return {"label": f"{author}:{ref}", "ref": ref, "sha": sha, "user": user(author), "repo": repo}

    return {
        "url": api,
        "id": own_id,
        "node_id": f"MDExOlB1bGxSZXF1ZXN0{own_id}",
        "html_url": web,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        "issue_url": f"{API}/repos/{full_name}/issues/{number}",
        "number": number,
        "state": "open",
        "locked": False,
        "title": title,
        "user": user(author),
        "body": f"{title}, as talked about.",
        "created_at": time,
        "updated_at": time,
        "closed_at": None,
        "merged_at": None,
        "merge_commit_sha": None,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": [label(full_name, name) for name in labels],
        "milestone": None,
        "commits_url": f"{api}/commits",
        "review_comments_url": f"{api}/comments",
        "review_comment_url": f"{API}/repos/{full_name}/pulls/comments{{/number}}",
        "comments_url": f"{API}/repos/{full_name}/issues/{number}/comments",
        "statuses_url": f"{API}/repos/{full_name}/statuses/{commit}",
        "head": side(branch, commit),
        "base": side("main", sha_of(f"{full_name}:main")),
        "_links": {"self": {"href": api}, "html": {"href": web}, "commits": {"href": f"{api}/commits"}},
        "author_association": "CONTRIBUTOR",
        "draft": draft,
        "merged": False,
        "mergeable": None,
        "rebaseable": None,
        "mergeable_state": "unknown",
        "merged_by": None,
        "comments": 0,
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": 1 + changed_files % 5,
        "additions": changed_files * 21,
        "deletions": changed_files * 8,
        "changed_files": changed_files,
    }


def issue(full_name: str, number: int, *, title: str, body: str | None, author: str, time: str) -> Payload:
    """An issue."""
    api, own_id = f"{API}/repos/{full_name}/issues/{number}", number_of(f"{full_name}!{number}")
    return {
        "url": api,
        "repository_url": f"{API}/repos/{full_name}",
        "labels_url": f"{api}/labels{{/name}}",
        "comments_url": f"{api}/comments",
        "events_url": f"{api}/events",
        "html_url": f"{WEB}/{full_name}/issues/{number}",
        "id": own_id,
        "node_id": f"MDU6SXNzdWU{own_id}",
        "number": number,
        "title": title,
        "user": user(author),
        "labels": [],
        "state": "open",
        "locked": False,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": 0,
        "created_at": time,
        "updated_at": time,
        "closed_at": None,
        "author_association": "NONE",
        "active_lock_reason": None,
        "body": body,
    }


def release(full_name: str, tag: str, *, notes: str, author: str, prerelease: bool, time: str) -> Payload:
    """A release."""
    own_id = number_of(f"{full_name}@{tag}")
    api = f"{API}/repos/{full_name}/releases/{own_id}"
    return {
        "url": api,
        "assets_url": f"{api}/assets",
        "upload_url": f"https://uploads.github.com/repos/{full_name}/releases/{own_id}/assets{{?name,label}}",
        "html_url": f"{WEB}/{full_name}/releases/tag/{tag}",
        "id": own_id,
        "node_id": f"MDc6UmVsZWFzZT{own_id}",
        "tag_name": tag,
        "target_commitish": "main",
        "name": tag,
        "draft": False,
        "author": user(author),
        "prerelease": prerelease,
        "created_at": time,
        "published_at": time,
        "assets": [],
        "tarball_url": f"{API}/repos/{full_name}/tarball/{tag}",
        "zipball_url": f"{API}/repos/{full_name}/zipball/{tag}",
        "body": notes,
    }


def push(full_name: str, *, author: str, message: str, time: str) -> Payload:
    """The body of a push, but for repository and sender."""
    before, after = sha_of(f"{full_name}:main"), sha_of(f"{full_name}:{message}:{time}")
    person = {"name": author, "email": f"{author}@users.noreply.github.com", "username": author}
    commit: Payload = {
        "id": after,
        "tree_id": sha_of(after),
        "distinct": True,
        "message": message,
        "timestamp": time,
        "url": f"{WEB}/{full_name}/commit/{after}",
        "author": person,
        "committer": person,
        "added": [],
        "removed": [],
        "modified": ["README.md"],
    }
    return {
        "ref": "refs/heads/main",
        "before": before,
        "after": after,
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": f"{WEB}/{full_name}/compare/{before[:12]}...{after[:12]}",
        "commits": [commit],
        "head_commit": commit,
        "pusher": {"name": author, "email": person["email"]},
    }
