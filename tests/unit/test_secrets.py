"""Numbers leave only as tokens, ciphertexts and masks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tieout.core import masks
from tieout.core.settings import Settings, load_settings
from tieout.protection import tokens as secrets

# Numbers of the networks' public test ranges, no one's cards.
PAN = "6222021234567890123"
OTHER_PAN = "4111111111111111"


@pytest.fixture
def own_keys(tmp_path: Path) -> Settings:
    """Settings whose keys are not made yet."""
    return load_settings({"TIEOUT_HOME": str(tmp_path)})


def test_equal_numbers_have_equal_tokens_and_the_order_stays(own_keys: Settings) -> None:
    tokens = secrets.pan_token([PAN, OTHER_PAN, PAN, "4111 1111-1111 1111"], settings=own_keys)
    assert tokens[0] == tokens[2] != tokens[1] == tokens[3]
    assert all(len(token) == 8 + 1 + 64 for token in tokens)
    assert tokens == secrets.pan_token([PAN, OTHER_PAN, PAN, OTHER_PAN], settings=own_keys)
    assert secrets.pan_token([], settings=own_keys) == []


def test_a_token_is_of_its_key_and_says_which(
    own_keys: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine,) = secrets.pan_token([PAN], settings=own_keys)
    assert mine.startswith(secrets.pan_key_id(own_keys) + ".")
    monkeypatch.setenv("TIEOUT_PAN_KEY", "ab" * 32)
    (theirs,) = secrets.pan_token([PAN], settings=own_keys)
    assert mine.split(".")[0] != theirs.split(".")[0]
    assert mine.split(".")[1] != theirs.split(".")[1]


def test_a_token_has_a_known_value(own_keys: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent change of the algorithm would cut every stored token from new ones."""
    monkeypatch.setenv("TIEOUT_PAN_KEY", "00" * 32)
    assert secrets.pan_token([OTHER_PAN], settings=own_keys) == [
        "97f54208.5cad49a0e7811aedae1e95fd7b252a2b9408d3550b8d7cb0b509ca51066415cb"
    ]


def test_a_card_and_an_account_of_the_same_digits_differ(own_keys: Settings) -> None:
    assert secrets.pan_token([PAN], settings=own_keys) != secrets.account_token(
        [PAN], settings=own_keys
    )


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "  ",
        "1234567",
        "12345678901234567890",
        "622202X234567890",
        "６２２２０２１２３４５６７８９０",
    ],
)
def test_what_is_no_card_number_is_refused_without_being_shown(
    bad: str, own_keys: Settings
) -> None:
    with pytest.raises(secrets.SecretsError) as caught:
        secrets.pan_token([PAN, bad], settings=own_keys)
    assert "position 1" in str(caught.value)
    assert PAN not in str(caught.value)
    assert not bad.strip() or bad not in str(caught.value)


def test_a_text_comes_back_and_its_ciphertext_never_repeats(own_keys: Settings) -> None:
    text = "6217000010001234567 张三"
    first, second = (secrets.encrypt(text, settings=own_keys) for _ in range(2))
    assert first != second
    assert "张三" not in first
    assert secrets.decrypt(first, settings=own_keys) == text
    assert secrets.decrypt(second, settings=own_keys) == text


def test_rotation_reads_the_old_key_and_writes_the_new(
    own_keys: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    monkeypatch.setenv("TIEOUT_DATA_KEY", old)
    ciphertext = secrets.encrypt("text", settings=own_keys)
    monkeypatch.setenv("TIEOUT_DATA_KEY", f"{new},{old}")
    assert secrets.decrypt(ciphertext, settings=own_keys) == "text"
    rotated = secrets.rotate(ciphertext, settings=own_keys)
    assert secrets.rotate(rotated, settings=own_keys) == rotated
    monkeypatch.setenv("TIEOUT_DATA_KEY", new)
    assert secrets.decrypt(rotated, settings=own_keys) == "text"
    with pytest.raises(secrets.SecretsError) as caught:
        secrets.decrypt(ciphertext, settings=own_keys)
    assert old not in str(caught.value)
    assert new not in str(caught.value)


@pytest.mark.parametrize("variable", ["TIEOUT_PAN_KEY", "TIEOUT_DATA_KEY"])
def test_a_bad_key_is_refused_without_being_shown(
    variable: str, own_keys: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "too-short")
    use = {
        "TIEOUT_PAN_KEY": lambda: secrets.pan_token([PAN], settings=own_keys),
        "TIEOUT_DATA_KEY": lambda: secrets.encrypt("x", settings=own_keys),
    }[variable]
    with pytest.raises(secrets.SecretsError) as caught:
        use()
    assert variable in str(caught.value)
    assert "too-short" not in str(caught.value)


def test_generated_keys_are_the_owners_only_and_stay(own_keys: Settings) -> None:
    first = secrets.pan_token([PAN], settings=own_keys)
    secrets.encrypt("x", settings=own_keys)
    files = sorted(own_keys.secrets_dir.iterdir())
    assert [file.name for file in files] == ["data.key", "pan.key"]
    assert own_keys.secrets_dir.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert secrets.pan_token([PAN], settings=own_keys) == first


def test_keys_do_not_come_from_the_project(own_keys: Settings) -> None:
    assert "TIEOUT_PAN_KEY" not in os.environ
    secrets.pan_token([PAN], settings=own_keys)
    assert own_keys.secrets_dir.is_relative_to(own_keys.home)


@pytest.mark.parametrize(
    ("pan", "mask"),
    [
        (PAN, "622202*********0123"),
        (OTHER_PAN, "411111******1111"),
        ("4111 1111 1111 1111", "411111******1111"),
        ("123456789012", "********9012"),
        ("12345678", "********"),
        ("", ""),
    ],
)
def test_a_card_mask_shows_six_and_four_at_most(pan: str, mask: str) -> None:
    assert masks.mask_pan(pan) == mask


@pytest.mark.parametrize(
    ("number", "mask"), [("6217000010001234567", "*" * 15 + "4567"), ("1234", "****"), ("", "")]
)
def test_an_account_mask_shows_the_last_four_at_most(number: str, mask: str) -> None:
    assert masks.mask_account(number) == mask


@pytest.mark.parametrize(("name", "mask"), [("张三", "张*"), ("李", "李*"), ("", "")])
def test_a_name_mask_shows_the_first_character(name: str, mask: str) -> None:
    assert masks.mask_name(name) == mask


# --- ciphertexts that are bound to their row ------------------------------------------------------

PLACE = ("account_number", "P000001", "1")


def test_a_bound_text_opens_in_its_place_only(own_keys: Settings) -> None:
    first, second = (secrets.encrypt_bound("6217", PLACE, settings=own_keys) for _ in range(2))
    assert first != second
    assert secrets.decrypt_bound(first, PLACE, settings=own_keys) == "6217"
    for other in (
        ("account_name", "P000001", "1"),
        ("account_number", "P000002", "1"),
        ("account_number", "P000001", "2"),
        ("account_number", "P00000", "11"),
        ("account_number", "P000001"),
    ):
        with pytest.raises(secrets.SecretsError, match="made for another row or field") as caught:
            secrets.decrypt_bound(first, other, settings=own_keys)
        assert "6217" not in str(caught.value)


def test_a_changed_or_unbound_text_does_not_open(own_keys: Settings) -> None:
    bound = secrets.encrypt_bound("6217", PLACE, settings=own_keys)
    end = bound[-6]
    changed = bound[:-6] + ("A" if end != "A" else "B") + bound[-5:]
    for text in (changed, bound[:-4], bound[:20]):
        with pytest.raises(secrets.SecretsError, match="or it was changed"):
            secrets.decrypt_bound(text, PLACE, settings=own_keys)
    with pytest.raises(secrets.SecretsError, match="not bound to its row"):
        secrets.decrypt_bound(secrets.encrypt("6217", settings=own_keys), PLACE, settings=own_keys)


def test_a_bound_text_is_rotated_in_its_place(
    own_keys: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    monkeypatch.setenv("TIEOUT_DATA_KEY", old)
    bound = secrets.encrypt_bound("6217", PLACE, settings=own_keys)
    monkeypatch.setenv("TIEOUT_DATA_KEY", f"{new},{old}")
    assert secrets.decrypt_bound(bound, PLACE, settings=own_keys) == "6217"
    rotated = secrets.rotate_bound(bound, PLACE, settings=own_keys)
    monkeypatch.setenv("TIEOUT_DATA_KEY", new)
    assert secrets.decrypt_bound(rotated, PLACE, settings=own_keys) == "6217"
    with pytest.raises(secrets.SecretsError, match="of another key"):
        secrets.decrypt_bound(bound, PLACE, settings=own_keys)


def test_a_value_is_compared_under_the_tokens_key(
    own_keys: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_PAN_KEY", "ab" * 32)
    (token,) = secrets.account_token(["6217"], settings=own_keys)
    monkeypatch.setenv("TIEOUT_PAN_KEY", f"{'cd' * 32},{'ab' * 32}")
    assert secrets.account_token(["6217"], settings=own_keys) != [token]
    assert secrets.account_token_like(token, "6217", settings=own_keys) == token
    assert secrets.account_token_like(token, "6218", settings=own_keys) != token
    monkeypatch.setenv("TIEOUT_PAN_KEY", "cd" * 32)
    with pytest.raises(secrets.SecretsError, match="cannot be compared"):
        secrets.account_token_like(token, "6217", settings=own_keys)
