"""The small process that stands beside each component: it starts it, keeps its output bounded, and writes down how it ended.

Run as a script by `processes.py`, in isolation from the environment; imports only the standard library. It reads one JSON document from
its input, leaves the control plane's session and parentage, and so survives the control plane. It holds the launch lock (an inherited
descriptor) until `process.json` says what became of the start: nobody can start the component twice, whoever is killed when.

A component that ended stays in the process table for as long as children of it run in its process group. So the group's number cannot
go to strangers, and whoever stops the instance can prove that the group is the component's.
"""

import json
import os
import subprocess
import sys
import time

GROUP_POLL_S = 0.5
"""How often to look whether the children that a component left behind still run."""


def main() -> None:
    """Start the component of the given launch document, and stay until it ends."""
    launch = json.load(sys.stdin)
    if os.fork():
        os._exit(0)
    os.setsid()
    _leave_terminal()
    try:
        process = subprocess.Popen(
            launch["argv"],
            executable=launch["file"],
            env=launch["environment"],
            cwd=launch["working_directory"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        _write(launch["record"], {"failed": str(error)})
        return
    _write(launch["record"], {"pid": process.pid, "started_ticks": started_ticks(process.pid), "boot_id": boot_id()})
    os.close(launch["lock_descriptor"])
    _copy_output(process, launch["log"], launch["log_bytes_max"])
    _write(launch["ending"], {"exit_code": _exit_code(process.pid)})
    while group_runs(process.pid):
        time.sleep(GROUP_POLL_S)
    process.wait()


def started_ticks(pid: int) -> int:
    """When a process started, in ticks since the machine did: with its number, its identity."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def group_runs(group: int) -> bool:
    """Whether anything of a process group runs. What ended and was not taken note of yet does not."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    stat = file.read().rpartition(")")[2].split()
            except OSError:
                continue  # it ended while we were looking
            if int(stat[2]) == group and stat[0] not in ("Z", "X"):
                return True
    return False


def boot_id() -> str:
    """Which start of the machine this is."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _exit_code(pid: int) -> int:
    """Wait for the end of a child, without taking it out of the process table."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if ended is None:
        raise ChildProcessError(pid)
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _leave_terminal() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _copy_output(process: "subprocess.Popen[bytes]", log: str, bytes_max: int) -> None:
    """Copy until the output ends. The log is two files of half the size each; the older one is thrown away as a whole."""
    output = process.stdout.fileno() if process.stdout else -1
    file, size = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 0
    while chunk := os.read(output, 65536):
        if size + len(chunk) > bytes_max // 2:
            os.replace(log, log + ".1")
            os.close(file)
            file, size = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 0
        os.write(file, chunk)
        size += len(chunk)
    os.close(file)


def _write(path: str, document: dict[str, object]) -> None:
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main()
