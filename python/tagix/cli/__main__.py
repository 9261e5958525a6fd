"""``python -m tagix.cli`` is ``tagix``."""

from tagix.cli.app import main

main()
