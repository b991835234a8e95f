"""``python -m diffnum.lab.book [FOLDER]``, at the root of the repository: the book in FOLDER, or ``build/book``."""

import sys
from pathlib import Path

from .building import build

if __name__ == "__main__":
    try:
        print(build(Path.cwd(), Path(sys.argv[1] if len(sys.argv) > 1 else "build/book")))
    except ValueError as error:
        sys.exit(f"diffnum.lab.book: {error}")
