"""A program that runs prunelab commands as on a platform without POSIX: ``python no_posix.py 'COMMAND' ...``.

It prints the exit status of every command on standard error. The modules and functions are taken away after other
packages, which have their own ways on each platform, have been imported.
"""

import asyncio
import importlib.abc
import multiprocessing
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile

import joblib
import pandas
import platformdirs
import sklearn.model_selection
import torch

OTHERS = (asyncio, joblib, multiprocessing, pandas, platformdirs, sklearn, subprocess, tempfile, torch)
MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
FUNCTIONS = {
    os: (
        "fork forkpty geteuid getgid getloadavg getpgid getuid killpg mkfifo nice pread pwrite setsid uname "
        "O_CLOEXEC O_NOFOLLOW O_NONBLOCK"
    ),
    select: "epoll poll PIPE_BUF",
    signal: "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGQUIT SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH pthread_sigmask",
}


class Missing(importlib.abc.MetaPathFinder):
    """Says that the modules do not exist."""

    def find_spec(self, name, path=None, target=None):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for name in MODULES:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
for module, names in FUNCTIONS.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
os.supports_fd = frozenset(os.supports_fd - {os.utime})
true_utime = os.utime


def utime(path, *args, **kwargs):
    """As on Windows, where it takes no descriptors."""
    if isinstance(path, int):
        raise TypeError("utime: path should be string, bytes or os.PathLike, not int")
    true_utime(path, *args, **kwargs)


os.utime = utime

from prunelab.tui.cli import main  # noqa: E402

for command in sys.argv[1:]:
    try:
        status = main(shlex.split(command))
    except SystemExit as exit:
        status = exit.code
    sys.stdout.flush()
    print(f"{status} {command}", file=sys.stderr)
