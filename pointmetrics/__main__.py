"""``python -m pointmetrics``."""

from .cli import main

main()
