"""A simulated acquirer: platform, channels and bank write their own files, in the real formats.

``simulate`` plays the days; ``INJECTIONS`` names the faults it can put in;
``tieout.simulator.bank`` is the bank that sends statements as the days go by.
"""

from tieout.simulator.engine import Funds, SimulationReport, simulate
from tieout.simulator.injections import INJECTIONS

__all__ = ["INJECTIONS", "Funds", "SimulationReport", "simulate"]
