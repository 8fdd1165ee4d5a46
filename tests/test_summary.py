"""What the end of a session says was sent."""

from datetime import datetime

from samples import measurement

from harness.plugin.summary import sent_lines

SESSION = "2026-11-22T18:00:00+00:00"
BEFORE, NOW = "2026-11-22T17:59:59.999+00:00", "2026-11-22T18:00:00.250+00:00"


def on(device, sent, *, started_at=NOW, driver="ssh", **changes):
    return measurement(
        device=device, content_bytes_sent=sent, started_at=started_at, facts={"driver": driver}, **changes
    )


def told(*measurements):
    return sent_lines(measurements, since=datetime.fromisoformat(SESSION))


def test_what_was_sent_is_summed_for_each_device_that_is_not_this_machine():
    mib = 2**20
    assert told(on("a64", 3 * mib), on("a64", mib), on("b", 0), on("local", 0, driver="local")) == [
        "sent to a64: 4.0 MiB of runtimes, models and feeds",
        "sent to b: 0 bytes of runtimes, models and feeds, everything was there",
    ]


def test_nothing_is_said_to_be_there_on_a_device_that_nothing_was_brought_to():
    away = on("away", 0, launches=0, status="failed", latency=None)
    assert told(away) == []
    assert len(told(away, on("away", 0))) == 1
    broken = on("away", 2**20, launches=0, status="failed", latency=None)
    assert told(broken) == ["sent to away: 1.0 MiB of runtimes, models and feeds"]


def test_what_an_earlier_session_of_the_run_sent_does_not_count():
    earlier = on("a64", 2**30, started_at=BEFORE)
    assert told(earlier) == []
    assert told(earlier, on("a64", 0)) == [
        "sent to a64: 0 bytes of runtimes, models and feeds, everything was there"
    ]
