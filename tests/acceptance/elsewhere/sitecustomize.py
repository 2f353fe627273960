"""
Makes every Python of a test behave towards tunery's own modules as Windows would, as far as Linux can pretend.

They find no module or name that only POSIX has, no /proc, no compiled step; a file that is open or mapped cannot be
replaced or removed, and file names that Windows refuses are refused. Other packages see the system as it is, and bring
their own support for Windows. Both ends of a pretence are in this file: it is not part of tunery.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import os
import pathlib
import signal
import socket
import sys
import time
import types
from typing import Any

HOME = os.environ["TUNERY_HOME"]
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
# of the docs of Python, "Availability: Unix"
POSIX_ONLY = """
chown chroot confstr ctermid fchdir fchmod fchown fdatasync fork forkpty fpathconf fstatvfs get_blocking getegid geteuid
getgid getgrouplist getgroups getloadavg getpgid getpgrp getpriority getresgid getresuid getsid getuid getxattr killpg
lchown listxattr lockf major makedev memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open pipe2
posix_fadvise posix_fallocate posix_spawn posix_spawnp pread preadv pwrite pwritev readv register_at_fork
sched_getaffinity sched_setaffinity sched_yield sendfile set_blocking setgid setpgid setpriority setsid setuid setxattr
splice statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname wait wait3 wait4 waitid writev
O_CLOEXEC O_DIRECTORY O_DSYNC O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC PRIO_PGRP PRIO_PROCESS PRIO_USER WNOHANG
WEXITSTATUS WIFEXITED WIFSIGNALED WTERMSIG WUNTRACED
SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF SIGQUIT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG
SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIG_BLOCK SIG_UNBLOCK alarm pause pthread_kill pthread_sigmask
setitimer siginterrupt sigpending sigwait sigwaitinfo
AF_UNIX MSG_DONTWAIT SCM_RIGHTS SO_REUSEPORT sethostname socketpair recv_fds send_fds tzset
""".split()
REFUSED = set('<>:"|?*')  # in names of files


class _Pretence(types.ModuleType):
    """A module as tunery sees it: without some names, and with other values of some."""

    def __init__(self, real: types.ModuleType, **values: object) -> None:
        super().__init__(real.__name__)
        vars(self).update(_real=real, _values=values)

    def __getattr__(self, name: str) -> Any:
        if name in POSIX_ONLY:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return self._values[name] if name in self._values else getattr(self._real, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._real, name, value)


def _no_library(*_: object, **__: object) -> None:
    raise OSError("not a library for Windows")


_SHOWN = {
    "ctypes": _Pretence(ctypes, CDLL=_no_library),
    "os": _Pretence(os, name="nt"),
    "signal": _Pretence(signal, SIGBREAK=21),
    "socket": _Pretence(socket, SO_EXCLUSIVEADDRUSE=socket.SO_KEEPALIVE),
    "sys": _Pretence(sys, platform="win32"),
    "time": _Pretence(time),
}
_import, _real_rename = builtins.__import__, os.rename


def _import_for(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    if globals and str(globals.get("__package__") or "").partition(".")[0] == "tunery":
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in _SHOWN:
            return _SHOWN[name]
    return _import(name, globals, locals, fromlist, level)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what Windows refuses, in the data folder."""
    if event == "open" and isinstance(arguments[0], str | bytes):
        _require_name(os.fsdecode(arguments[0]))
    elif event == "os.mkdir":
        _require_name(_absolute(arguments[0], arguments[2]))
    elif event == "os.remove":
        _require_unused(_absolute(arguments[0], arguments[1]))
    elif event == "os.rename":
        _require_name(_absolute(arguments[1], arguments[3]))
        _require_unused(_absolute(arguments[0], arguments[2]))
        _require_unused(_absolute(arguments[1], arguments[3]))


def _absolute(path: Any, folder: int) -> str:
    place = "." if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")
    return os.path.abspath(os.path.join(place, os.fsdecode(path)))


def _require_name(path: str) -> None:
    name = os.path.basename(path)
    if path.startswith(HOME) and (REFUSED.intersection(name) or name.endswith((" ", "."))):
        raise OSError(errno.EINVAL, "The filename, directory name, or volume label syntax is incorrect", path)


def _require_unused(path: str) -> None:
    """Refuse to move or remove a file that some process holds open or mapped, or a folder with one."""
    if not path.startswith(HOME):
        return
    for process in filter(str.isdigit, os.listdir("/proc")):
        for held in _held_by(process):
            if (held == path and not os.path.isdir(path)) or held.startswith(f"{path}/"):
                told = f"process {process} is using it"
                sys.stderr.write(f"ELSEWHERE: {path} cannot be moved or removed, {told}\n")
                raise PermissionError(errno.EACCES, told, path)


def _held_by(process: str) -> set[str]:
    held = set()
    try:
        with open(f"/proc/{process}/environ", "rb") as environment:
            if HOME.encode() not in environment.read():
                return held
        for number in os.listdir(f"/proc/{process}/fd"):
            held.add(os.readlink(f"/proc/{process}/fd/{number}"))
        with open(f"/proc/{process}/maps", encoding="utf-8") as maps:
            held.update(line.split(maxsplit=5)[5].rstrip("\n") for line in maps if HOME in line)
    except OSError:  # it has ended
        pass
    return {path for path in held if path.startswith(HOME) and os.path.isfile(path)}


def _rename(source: Any, target: Any, **folders: Any) -> None:
    if os.path.abspath(target).startswith(HOME) and os.path.exists(target):
        sys.stderr.write(f"ELSEWHERE: {source} cannot be renamed to {target}, which exists\n")
        raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", source, None, target)
    _real_rename(source, target, **folders)


def _hide_proc(name: str) -> None:
    real = getattr(pathlib.Path, name)

    def guarded(self: pathlib.Path, *arguments: Any, **named: Any) -> Any:
        if str(self).startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(self))
        return real(self, *arguments, **named)

    setattr(pathlib.Path, name, guarded)


builtins.__import__ = _import_for
os.rename = _rename
sys.modules["resource"] = None  # type: ignore[assignment]  # also for importlib.util.find_spec
_hide_proc("open")
_hide_proc("stat")
sys.addaudithook(_refuse)
