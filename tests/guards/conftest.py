"""The fixtures of a payment date: see ``payment_world``."""

from payment_world import finding, payment_template, shared_world, world

__all__ = ["finding", "payment_template", "shared_world", "world"]
