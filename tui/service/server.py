"""The process that answers the app's questions: ``python -m prunelab.tui.service.server``.

Everything that needs torch or scikit-learn but is no run happens there: pruning a model by hand, loading and
drawing from data sets. Requests come as JSON lines on standard input, ``{"id", "op", "group", ...}``; answers go as
JSON lines to standard output, ``{"id", "last", ...}``, several to a request if the answer gets better with time.
A request is overtaken by a newer one of the same group: it is dropped if it waits, and ends at its next answer if
it is being worked on. The process ends when standard input does.
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

#: The modules that answer, by the beginning of the operations' names. Each has ``OPERATIONS``: names to functions
#: of a `Request` that yield answers. A module is imported when it is first needed. An empty answer is not sent: it is
#: a chance to be overtaken.
MODULES = {"explore": ".explorer", "data": ".browser"}


class Request:
    """What is asked: the fields of the request, and whether a newer one has made it pointless."""

    def __init__(self, fields: dict[str, Any], newest: dict[str, int]):
        self.fields = fields
        self._newest = newest

    @property
    def is_overtaken(self) -> bool:
        """Whether a newer request of the same group waits."""
        group = self.fields.get("group")
        return group is not None and self._newest.get(group, 0) > self.fields["id"]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A field, or the default."""
        return self.fields.get(name, default)


Operation = Callable[[Request], Iterator[Answer]]


def main() -> int:
    """Answer until standard input ends."""
    # What libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a run may want the processors at the same time
    # Asked to end, it tidies up first: temporary folders do not stay behind.
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
    except BrokenPipeError:  # the app is gone
        pass
    return 0


def _read(waiting: queue.Queue[Request | None], newest: dict[str, int]) -> None:
    for line in sys.stdin:
        fields = json.loads(line)
        if fields.get("group") is not None:
            newest[fields["group"]] = fields["id"]
        waiting.put(Request(fields, newest))
    waiting.put(None)
    # The app is gone: whatever is being computed is for nobody.
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
