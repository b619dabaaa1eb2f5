"""Look through everything a home holds for card numbers and people's data in the clear."""

from __future__ import annotations

from tieout.protection.leaks.scanning import Finding, ScanReport, scan

__all__ = ["Finding", "ScanReport", "scan"]
