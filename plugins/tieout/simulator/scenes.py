"""The exceptions of ordinary life, played on fixed days so that every seed has all of them.

Each scene is one or a few events with its expected outcome, said here by construction: a late
record, a lost one, an amount mismatch, a duplicate, and days later the adjustment that closes it.
A scene's amounts and parties are drawn; when it happens is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from tieout.simulator.events import (
    ALIPAY,
    MANUAL_REFUND,
    MISSED_BY_BOTH_FILES,
    NEVER,
    PURCHASE,
    UNIONPAY,
    WECHAT,
    Day,
    empty_events,
    frame,
)
from tieout.simulator.world import (
    ADVANCED_MERCHANT,
    CALM_MERCHANT,
    CHANGED_CONTRACT_MERCHANT,
    GROSS_MERCHANT,
    SMALL_MERCHANT,
)

ADJUSTMENT_DELAY_DAYS = 2
# A sale whose voucher lacks the channel's own reference.
NO_CHANNEL_REFERENCE = "no_channel_reference"


@dataclass(frozen=True)
class Adjustment:
    """One record of the channel's adjustment file (AERRN), and what Tieout has to make of it.

    ``funds_effect_minor`` is signed from our cash side; the original's fields are None where the
    record refers to none. ``disposition``: applied_to_open_item, charged, suspended, no_funds,
    fee.
    """

    code: str
    day: int
    key_no: int
    channel_time: int
    amount_minor: int
    funds_effect_minor: int
    interchange_receivable_minor: int
    interchange_payable_minor: int
    reason_code: str
    disposition: str
    scene: str
    merchant: int | None = None
    terminal: int | None = None
    card: int | None = None
    original_key_no: int | None = None
    original_channel_time: int | None = None
    original_day: int | None = None
    original_amount_minor: int | None = None
    closes_event_nos: tuple[int, ...] = ()
    voucher_event_no: int | None = None


def scene_events(day: Day, *, disputes: bool = False) -> pl.DataFrame:
    """Return the day's exceptional events, later sides of them included."""
    rows = [
        *_small_merchant(day),
        *_late_channel(day),
        *_never_in_channel(day),
        *_missed_by_both_files(day),
        *_lost_by_platform(day),
        *_mismatches(day),
        *_duplicates(day),
        *_identical_rows(day),
        *_around_the_cutoff(day),
        *_without_the_channels_reference(day),
        *(_paid_twice(day) if disputes else []),
    ]
    return pl.concat([frame({name: [value] for name, value in row.items()}) for row in rows])


def _event(day: Day, channel: int, time: int, amount_minor: int, **special: Any) -> dict[str, Any]:
    """Return a purchase both sides book today at ``time``, changed by ``special``."""
    event_no = int(day.take(1)[0])
    merchants = (GROSS_MERCHANT, CALM_MERCHANT, ADVANCED_MERCHANT, CHANGED_CONTRACT_MERCHANT)
    event: dict[str, Any] = {
        "event_no": event_no,
        "key_no": event_no,
        "order_no": event_no,
        "channel": channel,
        "type": PURCHASE,
        "merchant": merchants[event_no % len(merchants)],
        "terminal": 0,
        # Cards 0 to 6 of every fifty are domestic debit cards.
        "card": event_no % 7 if channel == UNIONPAY else NEVER,
        "platform_amount": amount_minor,
        "channel_amount": amount_minor,
        "platform_time": time,
        "channel_time": time,
        "platform_day": day.day,
        "channel_day": day.day,
    }
    return {**event, **special}


def one_sale(day: Day, channel: int, time: int, **special: Any) -> pl.DataFrame:
    """Return one sale of another channel than the scenes' own, changed by ``special``."""
    event = _event(day, channel, time, _amount(day), **special)
    return frame({name: [value] for name, value in event.items()})


def _amount(day: Day) -> int:
    """Return an amount between 100 and 900 CNY."""
    return int(day.random.integers(10_000, 90_000))


def _small_merchant(day: Day) -> list[dict[str, Any]]:
    """The merchant that stays below its payout minimum has two small sales a day."""
    return [
        _event(day, WECHAT, day.at(10, 30), 1_234, merchant=SMALL_MERCHANT, scene="small_merchant"),
        _event(
            day, UNIONPAY, day.at(17, 45), 2_500, merchant=SMALL_MERCHANT, scene="small_merchant"
        ),
    ]


def _late_channel(day: Day) -> list[dict[str, Any]]:
    """The channel sends a record with its next file: in doubt today, resolved tomorrow."""
    special = {
        "channel_day": day.day + 1,
        "open_outcome": "system_in_doubt",
        "scene": "late_channel_record",
    }
    wallet = WECHAT if day.day % 2 == 0 else ALIPAY
    return [
        _event(day, UNIONPAY, day.at(11, 5), _amount(day), **special),
        _event(day, wallet, day.at(14, 20), _amount(day), **special),
    ]


def _never_in_channel(day: Day) -> list[dict[str, Any]]:
    """The channel never has it: in doubt, then one-sided; claimed by a debit adjustment later."""
    if day.day % 3 != 0:
        return []
    special = {
        "channel_day": NEVER,
        "open_outcome": "system_in_doubt",
        "scene": "never_in_channel",
    }
    return [_event(day, UNIONPAY, day.at(16, 10), _amount(day), **special)]


def _missed_by_both_files(day: Day) -> list[dict[str, Any]]:
    """A wallet payment of the hour before midnight that neither of the channel's two files has."""
    if day.day == 0:
        return []
    special = {
        "channel_day": NEVER,
        "open_outcome": "system_one_sided",
        "scene": MISSED_BY_BOTH_FILES,
    }
    wallet = WECHAT if day.day % 2 == 1 else ALIPAY
    return [_event(day, wallet, day.at(0, 0) - 40 * 60, _amount(day), **special)]


def _lost_by_platform(day: Day) -> list[dict[str, Any]]:
    """The platform lost it at midday: one-sided at once.

    UnionPay's overage is given back by a credit adjustment, one of WeChat's is booked late (补单),
    Alipay's stays open.
    """
    special: dict[str, Any] = {
        "platform_day": NEVER,
        "open_outcome": "channel_one_sided",
        "scene": "lost_by_platform",
    }
    if day.day % 3 == 0:
        return [_event(day, UNIONPAY, day.at(13, 0), _amount(day), **special)]
    if day.day % 3 == 1:
        late = {**special, "platform_day": day.day + 2, "late_order": True, "scene": "late_order"}
        return [_event(day, WECHAT, day.at(12, 30), _amount(day), **late)]
    return [_event(day, ALIPAY, day.at(13, 40), _amount(day), **special)]


def _mismatches(day: Day) -> list[dict[str, Any]]:
    """Both have it, with different amounts: both sides open, linked."""
    amount = _amount(day)
    special = {
        "channel_amount": amount - 2_000,
        "open_outcome": "one_sided_pair",
        "break_reason": "amount_mismatch",
        "scene": "amount_mismatch",
    }
    if day.day % 4 == 1:
        return [_event(day, UNIONPAY, day.at(15, 15), amount, **special)]
    if day.day % 4 == 3:
        return [_event(day, WECHAT, day.at(15, 25), amount, **special)]
    return []


def _duplicates(day: Day) -> list[dict[str, Any]]:
    """One payment stands twice on one side: one pair, and one one-sided duplicate."""
    channel = (ALIPAY, WECHAT, UNIONPAY)[day.day % 3]
    first = _event(day, channel, day.at(18, 20), _amount(day), scene="duplicated")
    second = {
        **_event(day, channel, day.at(18, 20), first["platform_amount"]),
        "key_no": first["key_no"],
        "order_no": first["order_no"],
        "merchant": first["merchant"],
        "card": first["card"],
        "break_reason": "duplicate",
        "scene": "duplicate",
    }
    if channel == UNIONPAY:
        on_one_side = {"channel_day": NEVER, "open_outcome": "system_one_sided"}
    else:
        on_one_side = {"platform_day": NEVER, "open_outcome": "channel_one_sided"}
    return [first, {**second, **on_one_side}]


def _paid_twice(day: Day) -> list[dict[str, Any]]:
    """One order of a merchant is paid twice within minutes: both are real, and both match."""
    channel = (ALIPAY, WECHAT, UNIONPAY)[day.day % 3]
    first = _event(day, channel, day.at(20, 40), _amount(day), scene="paid_twice")
    second = _event(day, channel, day.at(20, 43), first["platform_amount"], scene="paid_again")
    same = {name: first[name] for name in ("order_no", "merchant", "card")}
    return [first, {**second, **same}]


def _identical_rows(day: Day) -> list[dict[str, Any]]:
    """Two payments with the same key, time and amount on both sides: both are real."""
    if day.day % 2 != 0:
        return []
    first = _event(day, UNIONPAY, day.at(19, 10), _amount(day), scene="identical_rows")
    second = _event(day, UNIONPAY, day.at(19, 10), first["platform_amount"])
    names = ("key_no", "order_no", "merchant", "card", "scene")
    return [first, {**second, **{name: first[name] for name in names}}]


def _without_the_channels_reference(day: Day) -> list[dict[str, Any]]:
    """The platform timed out before the channel named its order: the fallback key pairs them."""
    wallet = ALIPAY if day.day % 2 == 0 else WECHAT
    return [_event(day, wallet, day.at(9, 40), _amount(day), scene=NO_CHANNEL_REFERENCE)]


def _around_the_cutoff(day: Day) -> list[dict[str, Any]]:
    """The two clocks disagree by seconds around 23:00 and around midnight."""
    channel_first = {
        "platform_day": day.day + 1,
        "open_outcome": "channel_in_doubt",
        "scene": "clock_skew",
    }
    events = []
    if day.day % 2 == 1:
        events.append(
            _event(
                day,
                UNIONPAY,
                day.at(22, 58, 40),
                _amount(day),
                platform_time=day.at(23, 0, 20),
                **channel_first,
            )
        )
        # Alipay saw it after midnight: in its file of T+1, where the platform's T+1 has it too.
        events.append(
            _event(
                day,
                ALIPAY,
                day.at(24, 0, 3),
                _amount(day),
                platform_time=day.at(23, 59, 58),
                platform_day=day.day + 1,
                channel_day=day.day + 1,
                scene="over_midnight",
            )
        )
    else:
        events.append(
            _event(
                day,
                UNIONPAY,
                day.at(23, 0, 10),
                _amount(day),
                platform_time=day.at(22, 59, 50),
                channel_day=day.day + 1,
                open_outcome="system_in_doubt",
                scene="clock_skew",
            )
        )
        events.append(
            _event(
                day,
                WECHAT,
                day.at(22, 58, 0),
                _amount(day),
                platform_time=day.at(23, 0, 30),
                **channel_first,
            )
        )
    return events


def interchange_minor(amount_minor: int, is_credit: bool) -> int:
    """Return the issuer's fee of a purchase: debit 0.35 %, at most 13 CNY; credit 0.45 %."""
    if is_credit:
        return (amount_minor * 45 + 5_000) // 10_000
    return min((amount_minor * 35 + 5_000) // 10_000, 1_300)


@dataclass
class AdjustmentDesk:
    """Remembers the open UnionPay scenes and writes the adjustments that close them.

    ``disputes``: chargebacks go on to their end, and one payment a day is made twice.
    """

    open_scenes: list[dict[str, Any]]
    disputes: bool = False
    charged_back: list[tuple[Adjustment, dict[str, Any]]] = field(default_factory=list)

    def remember(self, events: pl.DataFrame) -> None:
        """Keep the day's UnionPay scenes that an adjustment will close."""
        kinds = ("never_in_channel", "lost_by_platform", "amount_mismatch")
        wanted = (pl.col("channel") == UNIONPAY) & pl.col("scene").is_in(kinds)
        self.open_scenes.extend(events.filter(wanted).to_dicts())

    def adjustments(
        self, day: Day, history: pl.DataFrame
    ) -> tuple[list[Adjustment], pl.DataFrame, list[int]]:
        """Return the day's adjustment records, the platform's vouchers for them, and the purchases
        they took back (event numbers, no longer to be refunded)."""
        made = [*self._closing(day), *_old_overage(day), *_fee_records(day)]
        old = history.filter((pl.col("channel") == UNIONPAY) & (pl.col("refunded") == 0))
        taken: list[int] = []
        vouchers = empty_events()
        if day.day >= 1 and old.height >= 3:
            if day.day % 2 == 0:
                original = old.row(0, named=True)
                chargeback = _chargeback(day, original)
                self.charged_back.append((chargeback, original))
                made.append(chargeback)
                taken.append(int(old["event_no"][0]))
            else:
                original = old.row(1, named=True)
                record, vouchers = _manual_refund(day, original)
                made.append(record)
                taken.append(int(original["event_no"]))
            if day.day % 3 == 1:
                made.append(_retrieval_request(day, old.row(2, named=True)))
        if self.disputes:
            made.extend(self._later_stages(day))
        return made, vouchers, taken

    def _later_stages(self, day: Day) -> list[Adjustment]:
        """Return the representments of yesterday's chargebacks, and what becomes of them.

        Of three chargebacks the first is represented and charged back again, the second is
        represented and stays so, the third nobody represents.
        """
        made = []
        for number, (chargeback, original) in enumerate(self.charged_back):
            about: dict[str, Any] = {"original": original, "disposition": "charged"}
            amount = chargeback.amount_minor
            if number % 3 != 2 and chargeback.day + 1 == day.day:
                made.append(_record(day, "E24", amount, 1, scene="representment", **about))
            if number % 3 == 0 and chargeback.day + 2 == day.day:
                made.append(
                    _record(
                        day,
                        "E25",
                        amount,
                        -1,
                        scene="second_chargeback",
                        reason_code=chargeback.reason_code,
                        **about,
                    )
                )
        return made

    def _closing(self, day: Day) -> list[Adjustment]:
        """Return the adjustments that close the scenes of two days ago."""
        due = [
            scene
            for scene in self.open_scenes
            if max(scene["platform_day"], scene["channel_day"]) + ADJUSTMENT_DELAY_DAYS == day.day
        ]
        made = []
        for scene in due:
            if scene["scene"] == "lost_by_platform":
                code, amount, sign = "E32", scene["channel_amount"], -1
            elif scene["scene"] == "never_in_channel":
                code, amount, sign = "E22", scene["platform_amount"], 1
            else:
                # Of a mismatched pair the adjustment brings the difference.
                code, amount, sign = "E22", scene["platform_amount"] - scene["channel_amount"], 1
            made.append(
                _record(
                    day,
                    code,
                    amount,
                    sign,
                    disposition="applied_to_open_item",
                    scene=scene["scene"],
                    original=scene,
                    closes_event_nos=(scene["event_no"],),
                )
            )
        return made


def _record(
    day: Day,
    code: str,
    amount_minor: int,
    sign: int,
    *,
    disposition: str,
    scene: str,
    original: dict[str, Any] | None = None,
    reason_code: str = "",
    **special: Any,
) -> Adjustment:
    """Return one adjustment; money for us pays interchange, money from us gets it back."""
    key_no = int(day.take(1)[0])
    interchange = 0
    about: dict[str, Any] = {}
    if original is not None:
        is_credit = day.world.card_kinds[original["card"]] == "credit"
        interchange = interchange_minor(amount_minor, is_credit) if sign else 0
        original_day = max(original["platform_day"], original.get("channel_day", NEVER))
        about = {
            "merchant": original["merchant"],
            "terminal": original["terminal"],
            "card": original["card"],
            "original_key_no": original["key_no"],
            "original_channel_time": original["channel_time"],
            "original_day": original_day,
            "original_amount_minor": original["platform_amount"],
        }
    return Adjustment(
        code=code,
        day=day.day,
        key_no=key_no,
        channel_time=day.at(9, 0) + key_no % 3_000,
        amount_minor=amount_minor,
        funds_effect_minor=sign * amount_minor,
        interchange_receivable_minor=interchange if sign < 0 else 0,
        interchange_payable_minor=interchange if sign > 0 else 0,
        reason_code=reason_code,
        disposition=disposition,
        scene=scene,
        **{**about, **special},
    )


def _old_overage(day: Day) -> list[Adjustment]:
    """An overage of the time before go-live is given back: nothing open to close."""
    if day.day != 3:
        return []
    before: dict[str, Any] = {
        "merchant": CALM_MERCHANT,
        "terminal": 0,
        "card": 0,
        "original_key_no": 999_999,
        "original_channel_time": day.at(12, 0) - 40 * 86_400,
        "original_day": -37,
        "original_amount_minor": 4_321,
    }
    return [
        _record(
            day, "E32", 4_321, -1, disposition="suspended", scene="overage_before_go_live", **before
        )
    ]


def _fee_records(day: Day) -> list[Adjustment]:
    """Fee collections for us and fee payments by us, sent by ourselves to other members."""
    return [
        _record(day, "E20", 500 + 10 * day.day, 1, disposition="fee", scene="fee_collection"),
        _record(day, "E30", 1_200 + 7 * day.day, -1, disposition="fee", scene="fee_payment"),
    ]


def _chargeback(day: Day, original: dict[str, Any]) -> Adjustment:
    """The issuer takes an old purchase back; the merchant is charged."""
    amount = int(original["platform_amount"])
    return _record(
        day,
        "E23",
        amount,
        -1,
        disposition="charged",
        scene="chargeback",
        original=original,
        reason_code="4515",
    )


def _retrieval_request(day: Day, original: dict[str, Any]) -> Adjustment:
    """The issuer asks for the slip of an old purchase; no money moves."""
    amount = int(original["platform_amount"])
    return _record(
        day, "E04", amount, 0, disposition="no_funds", scene="retrieval_request", original=original
    )


def _manual_refund(day: Day, original: dict[str, Any]) -> tuple[Adjustment, pl.DataFrame]:
    """A refund filed by hand: in the adjustment file, with a voucher outside the pool."""
    amount = int(original["platform_amount"])
    record = _record(
        day, "E74", amount, -1, disposition="charged", scene="manual_refund", original=original
    )
    voucher = _event(
        day,
        UNIONPAY,
        record.channel_time,
        -amount,
        key_no=record.key_no,
        type=MANUAL_REFUND,
        merchant=original["merchant"],
        terminal=original["terminal"],
        card=original["card"],
        channel_day=NEVER,
        original_no=original["event_no"],
        original_voucher_id=original["voucher_id"],
        original_time=original["platform_time"],
        original_key_no=original["key_no"],
        original_channel_time=original["channel_time"],
        original_amount=amount,
        refunded_before=0,
        scene="manual_refund",
    )
    linked = Adjustment(**{**vars(record), "voucher_event_no": voucher["event_no"]})
    return linked, frame({name: [value] for name, value in voucher.items()})
