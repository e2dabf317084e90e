"""Owns the project folder: `router.yaml` read, checked with lines, and resolved. Refuses to import its modules."""

from workflow_router.settings.accessing import access_mistakes
from workflow_router.settings.approving import approvals_of, topic_mistakes
from workflow_router.settings.bridges import bridges_of
from workflow_router.settings.checkpoints import signing_of
from workflow_router.settings.convert import joins_of, mappings_of, routes_of, sources_of, subscriptions_of, topics_of
from workflow_router.settings.limits import LimitRule, prices_of
from workflow_router.settings.load import FILE, check_references, load_project
from workflow_router.settings.model import Project, Reference
from workflow_router.settings.resolve import Secret, api_keys_of, secrets_of, store_of
from workflow_router.settings.schedules import schedules_of, starts_of

__all__ = [
    "FILE",
    "LimitRule",
    "Project",
    "Reference",
    "Secret",
    "access_mistakes",
    "api_keys_of",
    "approvals_of",
    "bridges_of",
    "check_references",
    "joins_of",
    "load_project",
    "mappings_of",
    "prices_of",
    "routes_of",
    "schedules_of",
    "secrets_of",
    "signing_of",
    "sources_of",
    "starts_of",
    "store_of",
    "subscriptions_of",
    "topic_mistakes",
    "topics_of",
]
