"""Owns `wr budgets`: the limits of money, see `limits`. Refuses anything else."""

from workflow_router.cli.limits import budgets

command = budgets
