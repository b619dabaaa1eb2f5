"""Elements that the payment files of ISO 20022 share: credit transfers and direct debits."""

from __future__ import annotations

from typing import Final

from lxml import etree

__all__ = ["CLEARING_SYSTEM", "add", "add_agent", "to_bytes"]

CLEARING_SYSTEM: Final = "CNAPS"


def add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    """Add an element of the parent's namespace, and its text; return it."""
    element = etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{name}")
    if text is not None:
        element.text = text
    return element


def add_agent(parent: etree._Element, name: str, bank_code: str, bank_name: str) -> None:
    """Add a bank, by its code and its name, as the element ``name``."""
    institution = add(add(parent, name), "FinInstnId")
    member = add(institution, "ClrSysMmbId")
    # CNAPS: the 12-digit bank code of China's payment system. The coded list has no entry for it
    # that is longer than three letters and China-wide, so it is named in words (Prtry).
    add(add(member, "ClrSysId"), "Prtry", CLEARING_SYSTEM)
    add(member, "MmbId", bank_code)
    add(institution, "Nm", bank_name)


def to_bytes(document: etree._Element) -> bytes:
    """Return a file's bytes: UTF-8, two blanks of indentation, LF."""
    etree.indent(document, space="  ")
    return bytes(etree.tostring(document, xml_declaration=True, encoding="UTF-8")) + b"\n"
