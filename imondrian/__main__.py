"""``python -m imondrian``."""

from .cli import main

main()
