"""The parsers' keys: those of this home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tieout.core.settings import Settings
from tieout.protection import tokens

__all__ = ["SettingsVault"]


@dataclass(frozen=True, slots=True)
class SettingsVault:
    """Tokens and ciphertext under the keys of one home. The protocol: `channels.common.model`."""

    settings: Settings

    def card_tokens(self, card_numbers: Sequence[str]) -> list[str]:
        """Return one keyed token a card number, in order."""
        return tokens.pan_token(card_numbers, settings=self.settings)

    def account_tokens(self, values: Sequence[str]) -> list[str]:
        """Return one keyed token a bank account number, name or user id, in order."""
        return tokens.account_token(values, settings=self.settings)

    def encrypt(self, text: str, place: Sequence[str]) -> str:
        """Return ciphertext under the home's data key, bound to its place."""
        return tokens.encrypt_bound(text, place, settings=self.settings)
