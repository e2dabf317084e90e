"""Owns composition: the only room that sees every floor. Opens a project or routers as one running system.

Refuses rules and I/O of its own: it reads settings, makes the parts, joins them, and closes them in reverse order.
"""

from workflow_router.app.modules import join_workflows, load_routers
from workflow_router.app.project import check, open_project
from workflow_router.app.running import embed, run
from workflow_router.app.serving import serve, work

__all__ = ["check", "embed", "join_workflows", "load_routers", "open_project", "run", "serve", "work"]
