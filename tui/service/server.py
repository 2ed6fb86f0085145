"""The process that answers the app's requests: ``python -m prunelab.tui.service.server``.

It does everything that needs torch or scikit-learn but is not a run: interactive pruning, loading and
rendering data sets. Requests are JSON lines on standard input, ``{"id", "op", "group", ...}``; answers are JSON lines
on standard output, ``{"id", "last", ...}``, several per request if results improve over time.
A newer request of the same group overtakes an older one: the older one is dropped if it is waiting, and ends at its
next answer if it is being processed. The process ends when standard input ends.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

Answer = dict[str, Any]

#: The modules that answer, by the first part of an operation's name. Each has ``OPERATIONS``: names to functions
#: from a `Request` to an iterator of answers. A module is imported when first needed. An empty answer is not sent: it
#: only lets a newer request take over.
MODULES = {"explore": ".explorer", "data": ".browser"}


class Request:
    """The fields of a request, and whether a newer request has overtaken it."""

    def __init__(self, fields: dict[str, Any], newest: dict[str, int]):
        self.fields = fields
        self._newest = newest

    @property
    def is_overtaken(self) -> bool:
        """Whether a newer request of the same group is waiting."""
        group = self.fields.get("group")
        return group is not None and self._newest.get(group, 0) > self.fields["id"]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A field, or the default."""
        return self.fields.get(name, default)


Operation = Callable[[Request], Iterator[Answer]]


def main() -> int:
    """Answer requests until standard input ends."""
    # Keep the output of libraries out of the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # leave the processors to a run
    # Clean up when terminated: leave no temporary folders.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    waiting: queue.Queue[Request | None] = queue.Queue()
    newest: dict[str, int] = {}
    threading.Thread(target=_read, args=(waiting, newest), daemon=True).start()

    def answer(request: Request, last: bool, **fields: Any) -> None:
        answers.write(json.dumps({"id": request["id"], "last": last, **fields}) + "\n")
        answers.flush()

    try:
        while (request := waiting.get()) is not None:
            _answer(request, answer)
    except BrokenPipeError:  # the app has ended
        pass
    return 0


def _read(waiting: queue.Queue[Request | None], newest: dict[str, int]) -> None:
    for line in sys.stdin:
        fields = json.loads(line)
        if fields.get("group") is not None:
            newest[fields["group"]] = fields["id"]
        waiting.put(Request(fields, newest))
    waiting.put(None)
    # The app has ended: the answers are not needed.
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Timer(2.0, os._exit, args=(0,)).start()


def _answer(request: Request, answer: Callable[..., None]) -> None:
    if request.is_overtaken:
        answer(request, True, overtaken=True)
        return
    try:
        family, _, name = request["op"].partition(".")
        operation = import_module(MODULES[family], __package__).OPERATIONS[name]
        for part in operation(request):
            if request.is_overtaken:
                answer(request, True, overtaken=True)
                return
            if part:
                answer(request, False, **part)
        answer(request, True)
    except BrokenPipeError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        answer(request, True, error=" ".join(str(error).split()) or type(error).__name__)
    except Exception as error:
        traceback.print_exc()
        answer(request, True, error=f"{type(error).__name__}: {' '.join(str(error).split())}")


if __name__ == "__main__":
    sys.exit(main())
