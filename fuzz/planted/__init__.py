"""Planted bugs: known mistakes put into the core while a simulation runs, to measure what the simulator finds.

Nothing in ``walrus`` knows of them: a bug is a few lines of the core's source with a clause taken out or changed, and
only :meth:`fuzz.planted.bug.Bug.planted` can put it there. ``python -m fuzz.planted --list`` shows them all.
"""
