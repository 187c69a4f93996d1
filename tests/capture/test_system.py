"""System metrics: sampled without user code, under wandb's names, and without disturbing the training."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import scripts

import tracker
from tracker.capture import machine_metrics

MACHINE = {
    "cpu",
    "memory_percent",
    "proc.memory.availableMB",
    "proc.memory.rssMB",
    "proc.memory.percent",
    "proc.cpu.threads",
    "disk./.usagePercent",
    "disk./.usageGB",
    "network.sent",
    "network.recv",
}


def system(run: str = "p/r", **asked: Any) -> list[dict[str, Any]]:
    return tracker.Api().run(run).history(stream="system", pandas=False, **asked)


def run_until(samples: int, code: str, folder: Path, **variables: str) -> list[dict[str, Any]]:
    """Run a script that logs until it has written this number of samples, and return the samples."""
    script = f"""
import tracker, time, sys
run = tracker.init(project="p", id="r", settings={{"x_stats_sampling_interval": 0.1, "silent": True}})
{code}
end = time.monotonic() + 60
while run.capturing.samples < {samples} and time.monotonic() < end:
    run.log({{"x": 1}})
    sum(range(200_000))
run.finish()
"""
    scripts.run(script, folder, **variables)
    return system()


def test_a_run_samples_its_machine_from_the_start_on(tmp_path: Path) -> None:
    rows = run_until(3, "block = bytearray(b'x' * 150 * 2**20)", tmp_path)
    assert rows[0]["_runtime"] < 5
    assert rows[0]["system.memory_percent"] > 0
    last = rows[-1]
    assert {f"system.{name}" for name in MACHINE} <= last.keys()
    assert 0 < max(row.get("system.cpu", 0.0) for row in rows) <= 110
    assert 150 < last["system.proc.memory.rssMB"] < 2000
    assert last["system.proc.cpu.threads"] >= 2
    assert 0 < last["system.disk./.usagePercent"] <= 100
    run = tracker.Api().run("p/r")
    assert run.system_metrics["system.proc.memory.rssMB"] == last["system.proc.memory.rssMB"]
    assert "system.cpu" not in run.summary
    assert [set(row) - {"_step", "_runtime", "_timestamp"} for row in run.scan_history()] == [{"x"}] * (
        run.lastHistoryStep + 1
    )
    assert set(system(keys=["system.cpu"])[0]) == {"_runtime", "_timestamp", "system.cpu"}
    frame = run.history(stream="system")
    assert frame["system.memory_percent"].tolist() == [row["system.memory_percent"] for row in rows]


GPU = {
    "gpu": 40.0,
    "memory": 20.0,
    "memoryAllocated": 25.0,
    "memoryAllocatedBytes": float(20 << 30),
    "temp": 61.0,
    "powerWatts": 350.5,
    "enforcedPowerLimitWatts": 701.0,
    "powerPercent": 50.0,
    "smClock": 1001.0,
    "graphicsClock": 1000.0,
    "memoryClock": 1002.0,
    "energyJoules": 5e9,
    "encoderUtilization": 3.0,
    "correctedMemoryErrors": 0.0,
    "uncorrectedMemoryErrors": 1.0,
}
LACKS = {
    "powerWatts",
    "enforcedPowerLimitWatts",
    "powerPercent",
    "correctedMemoryErrors",
    "uncorrectedMemoryErrors",
}


def cards(row: dict[str, Any], prefix: str = "system.gpu.") -> dict[str, float]:
    return {name.removeprefix(prefix): row[name] for name in row if name.startswith(prefix)}


def test_each_gpu_is_sampled_through_the_driver(tmp_path: Path, driver: Path) -> None:
    row = run_until(2, "", tmp_path, LD_LIBRARY_PATH=str(driver))[-1]
    found = cards(row)
    assert {name: value for name, value in found.items() if name[0] == "0"} == {
        f"0.{name}": value for name, value in GPU.items()
    }
    older = GPU | {"gpu": 41.0, "temp": 62.0}
    assert {name: value for name, value in found.items() if name[0] != "0"} == {
        f"1.{name}": value for name, value in older.items() if name not in LACKS
    }


def test_a_gpu_that_the_process_uses_is_reported_again(tmp_path: Path, driver: Path) -> None:
    code = "import os; os.environ['FAKE_NVML_PID'] = str(os.getpid())"
    script = f"{code}\nimport tracker.capture.nvml as nvml, json, os\n"
    script += "print(json.dumps(nvml.Cards([0], os.getpid()).sample()))"
    found = json.loads(scripts.run(script, tmp_path, LD_LIBRARY_PATH=str(driver)).stdout)
    assert cards(found, "gpu.process.") == {f"0.{name}": value for name, value in GPU.items()}
    assert not cards(found, "gpu.1.")


def test_psutil_reads_the_same() -> None:
    psutil = pytest.importorskip("psutil")
    ours = machine_metrics.Machine(os.getpid()).sample()
    disk = psutil.disk_usage("/")
    assert machine_metrics._meminfo()["MemTotal"] == psutil.virtual_memory().total
    assert ours["disk./.usageGB"] * 2**30 == pytest.approx(disk.used, rel=0.02)
    assert ours["disk./.usagePercent"] == pytest.approx(disk.percent, abs=1)
    assert ours["proc.memory.rssMB"] * 2**20 == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)
    cards = [sent for name, sent in psutil.net_io_counters(pernic=True).items() if name != "lo"]
    before, after = machine_metrics._network(), psutil.net_io_counters(pernic=True)
    assert before["network.recv"] >= sum(card.bytes_recv for card in cards)
    assert before["network.recv"] <= sum(card.bytes_recv for name, card in after.items() if name != "lo")
    if (device := machine_metrics._device_of("/")) is not None and (
        counted := machine_metrics._disk_io(device)
    ) is not None:
        assert counted[0] <= psutil.disk_io_counters(perdisk=True)[device].read_bytes


def test_nvidias_own_package_reads_the_same(tmp_path: Path, driver: Path) -> None:
    code = """
import json, pynvml
from tracker.capture.nvml import Cards
pynvml.nvmlInit()
card = pynvml.nvmlDeviceGetHandleByIndex(0)
memory = pynvml.nvmlDeviceGetMemoryInfo(card)
theirs = {
    "gpu": pynvml.nvmlDeviceGetUtilizationRates(card).gpu,
    "memoryAllocatedBytes": memory.used,
    "memoryAllocated": 100 * memory.used / memory.total,
    "temp": pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU),
    "powerWatts": pynvml.nvmlDeviceGetPowerUsage(card) / 1000,
    "smClock": pynvml.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_SM),
    "energyJoules": pynvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1000,
    "uncorrectedMemoryErrors": pynvml.nvmlDeviceGetTotalEccErrors(
        card, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    ),
}
cards = Cards()
ours = {name: cards.sample()["gpu.0." + name] for name in theirs}
assert ours == theirs, (ours, theirs)
assert cards.describe()[0].name == pynvml.nvmlDeviceGetName(card)
assert cards.describe()[0].uuid == pynvml.nvmlDeviceGetUUID(card)
print(cards.cuda_version())
"""
    assert scripts.run(code, tmp_path, LD_LIBRARY_PATH=str(driver)).stdout == "12.4\n"


def test_a_failing_driver_affects_only_its_own_metrics(tmp_path: Path, driver: Path) -> None:
    row = run_until(2, "", tmp_path, LD_LIBRARY_PATH=str(driver), FAKE_NVML_BROKEN="1")[-1]
    assert not cards(row)
    assert row["system.memory_percent"] > 0


def test_sampling_can_be_turned_off(tmp_path: Path) -> None:
    code = """
import threading, tracker
run = tracker.init(project="p", id="r")
print([thread.name for thread in threading.enumerate() if thread.name == "tracker-system"])
run.finish()
"""
    for name in ("WANDB_X_DISABLE_STATS", "WANDB__DISABLE_STATS", "TRACKER_X_DISABLE_MACHINE_INFO"):
        assert scripts.run(code, tmp_path, **{name: "true"}).stdout == "[]\n"
    assert system() == []
    assert scripts.run(code, tmp_path).stdout == "['tracker-system']\n"


def test_a_forked_child_samples_once_it_logs(tmp_path: Path) -> None:
    code = """
import os, time, tracker, threading
run = tracker.init(project="p", id="r", settings={"x_stats_sampling_interval": 0.1})
quiet = os.fork()
if quiet == 0:
    os._exit(len(threading.enumerate()) - 1)
assert os.waitpid(quiet, 0)[1] == 0
child = os.fork()
if child == 0:
    block = bytearray(b"x" * 300 * 2**20)
    run.log({"x": 1})
    end = time.monotonic() + 30
    while run.capturing.samples < 2 and time.monotonic() < end:
        time.sleep(0.01)
    os._exit(run.capturing.samples < 2)
assert os.waitpid(child, 0)[1] == 0
run.finish()
"""
    scripts.run(code, tmp_path)
    run = tracker.Api().run("p/r")
    (child,) = (each for each in run.segments if each.child)
    sizes = [row["system.proc.memory.rssMB"] for row in system(segment=child.id)]
    assert max(sizes) > 300
    assert max(row["system.proc.memory.rssMB"] for row in system()) < 300


def test_sampling_takes_little_time() -> None:
    from tracker.capture.machine_metrics import Machine

    machine = Machine(os.getpid())
    before = os.times()
    for _ in range(100):
        machine.sample()
    after = os.times()
    seconds = (after.user - before.user + after.system - before.system) / 100
    assert seconds / 15 < 0.001  # less than 0.1 % of the default interval
