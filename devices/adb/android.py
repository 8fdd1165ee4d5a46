"""What an Android phone says of itself, besides its /proc and /sys: properties, battery, thermal service.

Each answer is asked for in the one round trip of devices/remote/snapshot.py and read by a pure function. None
is required: a service that is not there, or answers oddly, is a reading that is absent.
"""

import re
from collections.abc import Mapping

import msgspec

from devices.facts import Facts
from devices.remote.shell import Shell
from devices.remote.snapshot import Senses, facts_and_answers, telemetry_and_answers
from devices.telemetry import Telemetry

GETPROP, KERNEL = "getprop", "uname -r"
BATTERY, THERMAL, POWER = "dumpsys battery", "dumpsys thermalservice", "dumpsys power"

THERMAL_STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""android.os.PowerManager, THERMAL_STATUS_*. Below severe, Android says, what a user does is not affected."""
THROTTLED_FROM = THERMAL_STATUSES.index("severe")

_PROPERTY = re.compile(r"^\[([^\]\n]+)\]: \[(.*)\]\r?$", re.MULTILINE)
_SENSOR = re.compile(r"Temperature\{mValue=([^,\n]{1,40}), mType=(-?\d{1,9}), mName=(.+), mStatus=-?\d+\}")
# android.os.Temperature, TYPE_BCL_VOLTAGE, _CURRENT and _PERCENTAGE: a battery's limits, in no degrees.
_NOT_DEGREES = {"6", "7", "8"}
# android.os.BatteryManager, BATTERY_STATUS_*; 1 is unknown.
_CHARGING = {"2": True, "3": False, "4": False, "5": False}
# android.view.Display, stateToString: ON_SUSPEND and VR are on as well; DOZE shows a clock at most.
_DISPLAYS = {"ON": True, "ON_SUSPEND": True, "VR": True, "OFF": False, "DOZE": False, "DOZE_SUSPEND": False}
# android.os.PowerManagerInternal, wakefulnessToString; dreaming is a screen saver.
_WAKEFULNESS = {"Awake": True, "Dreaming": True, "Dozing": False, "Asleep": False}
# What ro.soc.model and ro.board.platform call a chip, where its maker sells it by another name.
_SOLD_AS = {"gs101": "Tensor", "gs201": "Tensor G2", "zuma": "Tensor G3", "zumapro": "Tensor G4"}


class Battery(msgspec.Struct, frozen=True, kw_only=True):
    """What the battery service tells; every reading is optional."""

    percent: float | None = None
    charging: bool | None = None
    celsius: float | None = None


class Heat(msgspec.Struct, frozen=True, kw_only=True):
    """What the thermal service tells; `status` is an index of THERMAL_STATUSES."""

    temperatures_celsius: dict[str, float] = {}
    status: int | None = None

    @property
    def throttled(self) -> bool | None:
        """Whether Android limits what runs; None when it does not tell."""
        return None if self.status is None else self.status >= THROTTLED_FROM

    @property
    def flags(self) -> tuple[str, ...]:
        """The status by name while it throttles, `thermal_status_severe`; else nothing."""
        if self.status is None or self.status < THROTTLED_FROM:
            return ()
        return (f"thermal_status_{THERMAL_STATUSES[self.status]}",)


def read_facts(shell: Shell, *, driver: str) -> Facts:
    """What the phone is; raises DeviceError and TransientDeviceError only when it cannot be asked."""
    facts, answers = facts_and_answers(shell, (GETPROP, KERNEL), driver=driver)
    kernel = facts.kernel or answers[KERNEL].strip() or None  # Android hides /proc/sys/kernel/osrelease
    return with_properties(msgspec.structs.replace(facts, kernel=kernel), parse_properties(answers[GETPROP]))


def read_telemetry(shell: Shell) -> Telemetry:
    """How the phone feels now, with the host's time; raises as `read_facts` does."""
    telemetry, answers = telemetry_and_answers(shell, (BATTERY, THERMAL, POWER))
    told = with_services(telemetry, parse_battery(answers[BATTERY]), parse_thermal(answers[THERMAL]))
    return msgspec.structs.replace(told, screen_on=parse_screen(answers[POWER]))


SENSES = Senses(read_facts=read_facts, read_telemetry=read_telemetry)


def with_properties(facts: Facts, properties: Mapping[str, str]) -> Facts:
    """Facts of /proc and /sys with what the properties know better; without any, no Android is claimed."""
    release, api = properties.get("ro.build.version.release"), properties.get("ro.build.version.sdk")
    if release is None and api is None:
        return facts
    version = " ".join(filter(None, (release, api and (f"(API {api})" if release else f"API {api}"))))
    chip = properties.get("ro.soc.model") or facts.soc or properties.get("ro.board.platform")
    abis = tuple(filter(None, map(str.strip, properties.get("ro.product.cpu.abilist", "").split(","))))
    bits = (64 if any("64" in abi for abi in abis) else 32) if abis else None
    return msgspec.structs.replace(
        facts,
        model=_model(properties) or facts.model,
        soc=_SOLD_AS.get(chip.lower(), chip) if chip else None,
        os="Android",
        os_version=version,
        bits=facts.bits or bits,
        abis=abis,
        serial=properties.get("ro.serialno") or properties.get("ro.boot.serialno") or facts.serial,
    )


def with_services(telemetry: Telemetry, battery: Battery, heat: Heat) -> Telemetry:
    """Telemetry of /proc and /sys with what the services know better, which have what /sys hides."""
    own = {} if battery.celsius is None else {"battery": battery.celsius}
    limits = (telemetry.throttled, heat.throttled)
    return msgspec.structs.replace(
        telemetry,
        temperatures_celsius={**own, **telemetry.temperatures_celsius, **heat.temperatures_celsius},
        battery_percent=telemetry.battery_percent if battery.percent is None else battery.percent,
        charging=telemetry.charging if battery.charging is None else battery.charging,
        throttled=None if limits == (None, None) else True in limits,
        throttle_flags=(*telemetry.throttle_flags, *heat.flags),
    )


def parse_properties(text: str) -> dict[str, str]:
    """Properties that say something, from what `getprop` prints; those of more than one line are left out."""
    pairs = ((name, value.strip()) for name, value in _PROPERTY.findall(text))
    return {name: value for name, value in pairs if value and value.lower() != "unknown"}


def parse_battery(text: str) -> Battery:
    """Readings from what `dumpsys battery` prints; none where somebody has replaced them by hand."""
    _, begun, state = text.partition("Current Battery Service state:")
    if not begun or "UPDATES STOPPED" in state or _said(state, "present") == "false":
        return Battery()
    level, scale = _number(_said(state, "level")), _number(_said(state, "scale"))
    percent = level * 100 / scale if level is not None and scale else None
    tenths = _number(_said(state, "temperature"))
    return Battery(
        percent=percent if percent is not None and 0 <= percent <= 100 else None,
        charging=_CHARGING.get(_said(state, "status"), _is_powered(state)),
        celsius=_plausible(tenths / 10) if tenths is not None else None,
    )


def parse_thermal(text: str) -> Heat:
    """Readings from what `dumpsys thermalservice` prints (Android 10 and newer), if it has a thermal HAL.

    Cached readings are old and left out. A status that somebody has set by hand is none.
    """
    if not re.search(r"^HAL Ready: true\r?$", text, re.MULTILINE):
        return Heat()
    found = re.search(r"^Thermal Status: (\d)\r?$", text, re.MULTILINE)
    status = int(found[1]) if found and "IsStatusOverride: true" not in text else None
    temperatures: dict[str, float] = {}
    current = re.search(r"^Current temperatures from HAL:.*\n((?:[ \t]+.*(?:\n|\Z))*)", text, re.MULTILINE)
    for said, kind, name in _SENSOR.findall(current[1] if current else ""):
        reading = _plausible(_number(said))
        if reading is not None and kind not in _NOT_DEGREES:
            temperatures[name] = max(reading, temperatures.get(name, reading))
    known = status is not None and status < len(THERMAL_STATUSES)
    return Heat(temperatures_celsius=temperatures, status=status if known else None)


def parse_screen(text: str) -> bool | None:
    """Whether the screen is on, from what `dumpsys power` prints; None when it does not tell.

    The display's own state counts; releases and makers that leave it out tell whether the phone is awake.
    """
    display = re.search(r"^[ \t]*Display Power: state=(\w+)[ \t]*\r?$", text, re.MULTILINE)
    if display and display[1] in _DISPLAYS:
        return _DISPLAYS[display[1]]
    awake = re.search(r"^[ \t]*mWakefulness=(\w+)[ \t]*\r?$", text, re.MULTILINE)
    return _WAKEFULNESS.get(awake[1]) if awake else None


def _model(properties: Mapping[str, str]) -> str | None:
    """Maker and model, the maker once."""
    maker, model = properties.get("ro.product.manufacturer"), properties.get("ro.product.model")
    if maker and model and model.lower().startswith(maker.lower()):
        return model
    return " ".join(filter(None, (maker, model))) or None


def _said(state: str, key: str) -> str:
    found = re.search(rf"^[ \t]*{key}:[ \t]*(\S+)[ \t]*\r?$", state, re.MULTILINE)
    return found[1] if found else ""


def _is_powered(state: str) -> bool | None:
    said = [_said(state, f"{source} powered") for source in ("AC", "USB", "Wireless", "Dock")]
    return True if "true" in said else False if "false" in said else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", text) else None


def _plausible(celsius: float | None) -> float | None:
    """Sensors that are off answer zero or what no device can have, as in devices/linux/telemetry.py."""
    return celsius if celsius is not None and -40 < celsius < 150 and celsius != 0 else None
