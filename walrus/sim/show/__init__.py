"""The picture of a run: one HTML page that holds everything it needs and asks nothing of any network."""

from walrus.sim.show.page import page

__all__ = ["page"]
