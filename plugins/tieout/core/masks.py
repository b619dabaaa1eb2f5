"""What people see of a number or a name: never enough to use it."""

from __future__ import annotations

__all__ = ["mask_account", "mask_name", "mask_pan"]


def mask_pan(pan: str) -> str:
    """Return first six and last four, the rest as stars; a short number shows its last four only.

    Six and four is what PCI DSS lets people see of a number of 13 digits or more.
    """
    digits = "".join(character for character in pan if character.isalnum())
    if len(digits) < 13:
        return mask_account(digits)
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"


def mask_account(number: str) -> str:
    """Return stars and the last four; nothing but stars when eight characters or fewer."""
    text = number.strip()
    if len(text) <= 8:
        return "*" * len(text)
    return "*" * (len(text) - 4) + text[-4:]


def mask_name(name: str) -> str:
    """Return the first character and stars: 张*, 上**********."""
    text = name.strip()
    return text[:1] + "*" * max(len(text) - 1, 1) if text else ""
