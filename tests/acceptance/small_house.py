"""`wr`, with room for so few runs at once that a test can fill it.

python small_house.py serve FOLDER …
"""

from workflow_router.cli.main import main
from workflow_router.core import runtime

ROOM = 1_000

if __name__ == "__main__":
    runtime.BACKLOG_MAX = ROOM
    main()
