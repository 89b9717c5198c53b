"""How clients behave, one manner in each module; :mod:`walrus.sim.workload` gives each client of a run one of them."""

from walrus.sim.workloads.bulk import Bulk
from walrus.sim.workloads.churner import Churner
from walrus.sim.workloads.consumer import Consumer
from walrus.sim.workloads.follower import Follower
from walrus.sim.workloads.hot_topic import HotTopic
from walrus.sim.workloads.mixed import Mixed
from walrus.sim.workloads.reader import Reader
from walrus.sim.workloads.slow_reader import SlowReader
from walrus.sim.workloads.storm import Storm
from walrus.sim.workloads.wanderer import Wanderer
from walrus.sim.workloads.worker import Worker

MANNERS: tuple[type[Worker], ...] = (Mixed, Reader, Consumer, HotTopic, Storm, SlowReader, Wanderer, Bulk, Follower)

__all__ = ["MANNERS", "Churner", "Mixed", "Worker"]
