"""Tieout: reconcile, clear and settle an acquirer's days, and prove each day before it pays."""

__version__ = "0.1.0"
