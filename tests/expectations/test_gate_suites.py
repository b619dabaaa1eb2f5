from __future__ import annotations

import payment_world
from payment_world import World

from tieout import gate


def test_good(world: World) -> None:
    decision = gate.decide(world.settings, payment_world.PAYMENT_DATE)
    assert [str(failure) for failure in decision.failures] == []
    assert decision.outcome == "passed"
    close = gate.close_checkpoint(world.settings, payment_world.ACCOUNTING_DATES[1])
    assert [str(failure) for failure in close.failures] == []
