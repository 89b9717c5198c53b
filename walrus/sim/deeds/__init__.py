"""Everything that is done to a simulated cluster from outside, as values: a run is its setup and a list of these.

Faults and clients decide at random which deed to do and when; :meth:`walrus.sim.cluster.Cluster.do` does it and
notes it. The same deeds at the same times are the same run, which is what scenario files and shrinking rest on.
"""

from walrus.sim.deeds.clients import (
    Ask,
    CutClients,
    Dial,
    Hangup,
    MendClients,
    ReadOn,
    Request,
    ResetConnection,
    StopReading,
)
from walrus.sim.deeds.clocks import Drift, Jump, SetCalendar
from walrus.sim.deeds.deed import Deed
from walrus.sim.deeds.disks import (
    FailSync,
    FillUp,
    LoseDisk,
    LoseFile,
    MakeRoom,
    Misdirect,
    NormalSpeed,
    ReadErrors,
    ReadsAgain,
    Rot,
    SlowDown,
)
from walrus.sim.deeds.members import NewDisk, Operate
from walrus.sim.deeds.network import (
    Clog,
    Cut,
    Disconnect,
    Downgrade,
    Mend,
    MessageFate,
    SlowLinks,
    Unclog,
    Upgrade,
    UsualLinks,
)
from walrus.sim.deeds.processes import BreakForGood, Crash, GoOn, Pause, ShutDown, StartNode

AnyDeed = (
    StartNode
    | Crash
    | ShutDown
    | Pause
    | GoOn
    | BreakForGood
    | Cut
    | Mend
    | Clog
    | Unclog
    | SlowLinks
    | UsualLinks
    | Disconnect
    | Upgrade
    | Downgrade
    | MessageFate
    | SlowDown
    | NormalSpeed
    | FillUp
    | MakeRoom
    | FailSync
    | ReadErrors
    | ReadsAgain
    | Rot
    | Misdirect
    | LoseFile
    | LoseDisk
    | NewDisk
    | Operate
    | Drift
    | Jump
    | SetCalendar
    | Dial
    | Ask
    | Hangup
    | ResetConnection
    | StopReading
    | ReadOn
    | CutClients
    | MendClients
)
"""All kinds, for decoding."""

__all__ = [
    "AnyDeed",
    "Ask",
    "BreakForGood",
    "Clog",
    "Crash",
    "Cut",
    "CutClients",
    "Deed",
    "Dial",
    "Disconnect",
    "Downgrade",
    "Drift",
    "FailSync",
    "FillUp",
    "GoOn",
    "Hangup",
    "Jump",
    "LoseDisk",
    "LoseFile",
    "MakeRoom",
    "Mend",
    "MendClients",
    "MessageFate",
    "Misdirect",
    "NewDisk",
    "NormalSpeed",
    "Operate",
    "Pause",
    "ReadErrors",
    "ReadOn",
    "ReadsAgain",
    "Request",
    "ResetConnection",
    "Rot",
    "SetCalendar",
    "ShutDown",
    "SlowDown",
    "SlowLinks",
    "StartNode",
    "StopReading",
    "Unclog",
    "Upgrade",
    "UsualLinks",
]
