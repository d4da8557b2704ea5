"""Moves the wall clock of one running process, for the experiments in this directory. Its other clocks stay true.

Keyward reads its clocks through the vDSO, which the kernel maps into the process. Tools that hook the C library, such as
libfaketime, do not affect it. So the script stops the process for a moment and overwrites the entry of the vDSO's function with
a few instructions that call the kernel instead and add seconds to CLOCK_REALTIME. The pages belong to this process only, and end
with it. For the process, it is as if the clock of its machine had been set.
"""

import os
import platform
import re
import signal
import struct
import time
from pathlib import Path

# How long a process may take to stop, or to leave the few bytes that are overwritten.
PATIENCE = 5.0


def x86_64(seconds):
    return (
        b"\xb8\xe4\x00\x00\x00"  # mov eax, 228 (clock_gettime)
        b"\x0f\x05"  # syscall: keeps edi, the clock, and rsi, where the time goes
        b"\x85\xff"  # test edi, edi: CLOCK_REALTIME is 0
        b"\x75\x07"  # jne to the end
        b"\x48\x81\x06" + struct.pack("<i", seconds) +  # add qword ptr [rsi], seconds
        b"\xc3"  # ret
    )


def aarch64(seconds):
    # add or sub, with seconds as a plain number of 12 bits
    change = (0x91000000 if seconds >= 0 else 0xD1000000) | abs(seconds) << 10 | 10 << 5 | 10
    instructions = [
        0xD503245F,  # bti c: where one may jump to
        0x2A0003E9,  # mov w9, w0: the clock
        0xD2800E28,  # mov x8, 113 (clock_gettime)
        0xD4000001,  # svc 0: keeps x1, where the time goes
        0x35000089,  # cbnz w9 to the end: CLOCK_REALTIME is 0
        0xF940002A,  # ldr x10, [x1]
        change,
        0xF900002A,  # str x10, [x1]
        0xD65F03C0,  # ret
    ]
    return struct.pack("<9I", *instructions)


MACHINES = {"x86_64": (x86_64, b"__vdso_clock_gettime"), "aarch64": (aarch64, b"__kernel_clock_gettime")}


def function_in(image, name):
    """The offset in an ELF image at which a function of its dynamic symbols begins."""
    (sections,), (size, count) = struct.unpack_from("<Q", image, 40), struct.unpack_from("<HH", image, 58)
    # A section's type, offset, length, and the number of the section with its names.
    read = [struct.unpack_from("<4xI16xQQI", image, sections + number * size) for number in range(count)]
    for kind, offset, length, link in read:
        if kind != 11:  # SHT_DYNSYM
            continue
        for symbol in range(offset, offset + length, 24):
            named, value = struct.unpack_from("<I4xQ", image, symbol)
            if image.startswith(name + b"\0", read[link][1] + named):
                return value
    raise SystemExit(f"this kernel's vDSO has no {name.decode()}: wall clocks cannot be moved on this machine")


def threads(pid):
    return list(Path(f"/proc/{pid}/task").iterdir())


def is_stopped(thread):
    return (thread / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def instruction(thread):
    """The address at which a stopped thread continues."""
    told = (thread / "syscall").read_text().split()
    return int(told[-1], 16) if told[0] != "running" else None


class WallClock:
    """The wall clock of a child process of the same user."""

    def __init__(self, pid):
        if platform.machine() not in MACHINES:
            raise SystemExit(f"wall clocks can be moved on {' and '.join(MACHINES)} only, not on {platform.machine()}")
        self.pid = pid
        self.code, name = MACHINES[platform.machine()]
        found = re.search(r"^([0-9a-f]+)-([0-9a-f]+) .*\[vdso\]$", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE)
        if found is None:
            raise SystemExit("this process has no vDSO: its wall clock cannot be moved")
        start, end = int(found[1], 16), int(found[2], 16)
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            image = os.pread(memory.fileno(), end - start, start)
        function = function_in(image, name)
        self.at = start + function
        self.original = image[function : function + len(self.code(0))]

    def move(self, seconds):
        """Moves it so many seconds ahead of the true time; a negative number moves it behind, 0 corrects it."""
        self.write(self.code(seconds) if seconds else self.original)

    def write(self, code):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            os.kill(self.pid, signal.SIGSTOP)
            try:
                while not all(is_stopped(thread) for thread in threads(self.pid)) and time.monotonic() < end:
                    time.sleep(0.0005)
                # A thread inside the overwritten bytes would continue in the middle of another instruction.
                where = [instruction(thread) for thread in threads(self.pid)]
                if not any(at is None or self.at < at < self.at + len(code) for at in where):
                    with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as memory:
                        os.pwrite(memory.fileno(), code, self.at)
                    return
            finally:
                os.kill(self.pid, signal.SIGCONT)
            time.sleep(0.001)
        raise SystemExit("the process never stopped at a point where its clock can be moved")
