"""The fixtures of a payment date: see ``payment_world``."""

from payment_world import payment_template, shared_world, world

__all__ = ["payment_template", "shared_world", "world"]
