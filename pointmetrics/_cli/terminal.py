"""What a person sees: the kit's tables, notes and progress, under this program's name."""

from functools import partial

from imondrian._kit.terminal import Report, note, progress, shows_tables, table

__all__ = ["Report", "note", "progress", "shows_tables", "table"]

note = partial(note, program="pointmetrics")
