"""``python -m diffnum`` is the ``diffnum`` command."""

from .cli import main

main()
