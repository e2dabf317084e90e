"""Makes `python -m workflow_router.cli` the same as `wr`."""

from workflow_router.cli.main import main

if __name__ == "__main__":
    main()
