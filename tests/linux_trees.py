"""Trees of /proc and /sys as phones, boards, laptops and servers show them, and what is read from one."""

from devices.linux import parse_facts, parse_telemetry

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
POWER = "sys/class/power_supply"

ARM_CPUINFO = "".join(
    f"processor\t: {core}\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
    f"CPU architecture: 8\nCPU part\t: {part}\n\n"
    for core, part in enumerate(["0xd05"] * 4 + ["0xd0b"] * 3 + ["0xfff"])
)

PI_4 = {
    "proc/cpuinfo": "".join(
        f"processor\t: {core}\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n" for core in range(4)
    )
    + "Revision\t: c03114\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "proc/meminfo": "MemTotal:        3884360 kB\nMemFree:  100 kB\nMemAvailable:    3390112 kB\n",
    "proc/vmstat": "nr_free_pages 1205\noom_kill 2\nbadoom_kill 7\n",
    "proc/loadavg": "0.52 0.58 0.59 1/389 12345\n",
    "proc/sys/kernel/osrelease": "6.6.31-v8+\n",
    "proc/sys/kernel/random/boot_id": "40d8a29c-1d70-4341-b475-74647fd84f02\n",
    "etc/os-release": 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
    "sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/firmware/devicetree/base/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
    "sys/firmware/devicetree/base/serial-number": "10000000abcdef01\0",
    f"{CPU}/present": "0-3\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/thermal_zone0/temp": "48686\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
} | {
    f"{CPU}/cpu{core}/cpufreq/{key}": value
    for core in range(4)
    for key, value in {
        "cpuinfo_max_freq": "1800000\n",
        "scaling_cur_freq": "1500000\n",
        "scaling_governor": "ondemand\n",
    }.items()
}


def plant(root, files):
    """Write the snapshot `files` below `root`, as read_files takes it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def facts_of(files):
    return parse_facts(files, driver="local", arch="aarch64", libc="glibc 2.36", python="3.11.2")


def telemetry_of(files):
    return parse_telemetry(files, at="2026-11-22T18:00:00+00:00")
