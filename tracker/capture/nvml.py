"""NVIDIA GPUs through NVML, the library of the driver, without a Python package.

The calls and structures are from NVML's stable interface; suffixes name their versions. If a card does not
support a call, its metric is left out. See docs/decisions/0034.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import Structure, byref, c_char, c_uint, c_ulonglong, c_void_p
from typing import Any, NamedTuple

LIBRARY = "libnvidia-ml.so.1"
GRAPHICS, SM, MEMORY = 0, 1, 2  # nvmlClockType_t
_CORRECTED, _UNCORRECTED, _VOLATILE = 0, 1, 0


class _Utilization(Structure):
    _fields_ = [("gpu", c_uint), ("memory", c_uint)]


class _Memory(Structure):
    _fields_ = [("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong)]


class _Process(Structure):
    _fields_ = [
        ("pid", c_uint),
        ("memory", c_ulonglong),
        ("gpu_instance", c_uint),
        ("compute_instance", c_uint),
    ]


class CardDescription(NamedTuple):
    """A GPU: its name, its memory in bytes (as a string, as in ``wandb-metadata.json``), and its id."""

    name: str
    memory_total: str
    uuid: str


class Unavailable(Exception):
    """There is no NVIDIA driver, or it does not answer."""


class Cards:
    """The GPUs that this process can see.

    Args:
        indices: The GPUs to use. None means all.
        pid: The process whose GPUs are reported again, as ``gpu.process.N``.

    Raises:
        Unavailable: There is no NVIDIA driver, or it does not answer.
    """

    def __init__(self, indices: Sequence[int] | None = None, pid: int = 0) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise Unavailable(str(error)) from None
        if (code := self._call("nvmlInit_v2")) != 0:
            raise Unavailable(f"nvmlInit: {code}")
        self._pid = pid
        count = c_uint()
        self._call("nvmlDeviceGetCount_v2", byref(count))
        self.count = count.value
        self._handles: dict[int, c_void_p] = {}
        for index in range(self.count):
            handle = c_void_p()
            wanted = indices is None or index in indices
            if wanted and self._call("nvmlDeviceGetHandleByIndex_v2", c_uint(index), byref(handle)) == 0:
                self._handles[index] = handle

    def sample(self) -> dict[str, float]:
        """Return the metrics of each GPU."""
        found: dict[str, float] = {}
        for index, handle in self._handles.items():
            values = self._read(handle)
            found.update({f"gpu.{index}.{name}": value for name, value in values.items()})
            if self._is_used(handle):
                found.update({f"gpu.process.{index}.{name}": value for name, value in values.items()})
        return found

    def describe(self) -> list[CardDescription]:
        """Return a description of each GPU."""
        return [
            CardDescription(
                self._text("nvmlDeviceGetName", handle),
                str(self._memory(handle).get("total", 0)),
                self._text("nvmlDeviceGetUUID", handle),
            )
            for handle in self._handles.values()
        ]

    def cuda_version(self) -> str | None:
        """Return the newest CUDA version that the driver supports, such as ``12.4``."""
        version = ctypes.c_int()
        if self._call("nvmlSystemGetCudaDriverVersion_v2", byref(version)) != 0:
            return None
        return f"{version.value // 1000}.{version.value % 1000 // 10}"

    def close(self) -> None:
        """Release the library."""
        self._call("nvmlShutdown")

    def _read(self, handle: c_void_p) -> dict[str, float]:
        found: dict[str, float] = {}
        use = _Utilization()
        if self._call("nvmlDeviceGetUtilizationRates", handle, byref(use)) == 0:
            found["gpu"], found["memory"] = float(use.gpu), float(use.memory)
        memory = self._memory(handle)
        if memory and memory["total"]:
            found["memoryAllocated"] = 100.0 * memory["used"] / memory["total"]
            found["memoryAllocatedBytes"] = float(memory["used"])
        self._add(found, "temp", "nvmlDeviceGetTemperature", handle, c_uint(0))
        power = self._add(found, "powerWatts", "nvmlDeviceGetPowerUsage", handle, scale=1000.0)
        limit = self._add(
            found, "enforcedPowerLimitWatts", "nvmlDeviceGetEnforcedPowerLimit", handle, scale=1000.0
        )
        if power is not None and limit:
            found["powerPercent"] = 100.0 * power / limit
        self._add(found, "smClock", "nvmlDeviceGetClockInfo", handle, c_uint(SM))
        self._add(found, "memoryClock", "nvmlDeviceGetClockInfo", handle, c_uint(MEMORY))
        self._add(found, "graphicsClock", "nvmlDeviceGetClockInfo", handle, c_uint(GRAPHICS))
        self._add(found, "fanSpeed", "nvmlDeviceGetFanSpeed", handle)
        self._add(
            found,
            "energyJoules",
            "nvmlDeviceGetTotalEnergyConsumption",
            handle,
            kind=c_ulonglong,
            scale=1000.0,
        )
        encoder, period = c_uint(), c_uint()
        if self._call("nvmlDeviceGetEncoderUtilization", handle, byref(encoder), byref(period)) == 0:
            found["encoderUtilization"] = float(encoder.value)
        for name, error in (("correctedMemoryErrors", _CORRECTED), ("uncorrectedMemoryErrors", _UNCORRECTED)):
            arguments = (handle, c_uint(error), c_uint(_VOLATILE))
            self._add(found, name, "nvmlDeviceGetTotalEccErrors", *arguments, kind=c_ulonglong)
        return found

    def _add(
        self,
        found: dict[str, float],
        name: str,
        function: str,
        *arguments: Any,
        kind: Callable[[], Any] = c_uint,
        scale: float = 1.0,
    ) -> float | None:
        value = kind()
        if self._call(function, *arguments, byref(value)) != 0:
            return None
        found[name] = value.value / scale
        return found[name]

    def _memory(self, handle: c_void_p) -> dict[str, int]:
        memory = _Memory()
        if self._call("nvmlDeviceGetMemoryInfo", handle, byref(memory)) != 0:
            return {}
        return {"total": memory.total, "used": memory.used}

    def _is_used(self, handle: c_void_p) -> bool:
        """Return whether the process computes on a GPU."""
        count = c_uint(64)
        processes = (_Process * count.value)()
        code = self._call("nvmlDeviceGetComputeRunningProcesses_v3", handle, byref(count), processes)
        return code == 0 and any(processes[at].pid == self._pid for at in range(min(count.value, 64)))

    def _text(self, function: str, handle: c_void_p) -> str:
        text = (c_char * 96)()
        return (
            text.value.decode(errors="replace") if self._call(function, handle, text, c_uint(96)) == 0 else ""
        )

    def _call(self, name: str, *arguments: Any) -> int:
        function = getattr(self._library, name, None)
        if function is None:
            return -1  # the driver is older than the function
        function.restype = ctypes.c_int
        return int(function(*arguments))
