"""The app's connection to the service process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncGenerator
from typing import Any

_LINE_LIMIT = 64 * 2**20

#: Maximum time for the process to clean up when it is terminated.
SECONDS_TO_END = 1.0


class ServiceError(Exception):
    """A request failed; the message names the reason."""


class Overtaken(Exception):  # noqa: N818 (it is not an error)
    """A newer request of the same group has replaced this one."""


class Service:
    """Sends requests to the service process, which is started when first needed, and restarted if it has died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._starting = asyncio.Lock()

    async def ask(self, op: str, *, group: str | None = None, **fields: Any) -> dict[str, Any]:
        """The last answer to a request (see `stream`)."""
        last: dict[str, Any] = {}
        async for answer in self.stream(op, group=group, **fields):
            last = answer
        return last

    async def stream(self, op: str, *, group: str | None = None, **fields: Any) -> AsyncGenerator[dict[str, Any], None]:
        """All answers to a request, in the order of their arrival.

        Parameters
        ----------
        op : str
            The operation, such as "explore.prune".
        group : str, optional
            A newer request of the same group replaces this one.
        **fields
            Other fields of the request; must be serialisable to JSON.

        Raises
        ------
        ServiceError
            If the request fails, or the process dies.
        Overtaken
            If a newer request of the same group replaced this one.
        """
        process = await self._running()
        number = next(self._ids)
        answers = self._answers[number] = asyncio.Queue()
        try:
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps({"id": number, "op": op, "group": group, **fields}).encode() + b"\n")
                await process.stdin.drain()
            except (BrokenPipeError, ConnectionResetError) as error:
                raise ServiceError("the computing process has ended; try again") from error
            while True:
                answer = await answers.get()
                if "error" in answer:
                    raise ServiceError(answer["error"])
                if answer.get("overtaken"):
                    raise Overtaken
                if answer["last"]:
                    return
                yield answer
        finally:
            del self._answers[number]

    async def start(self) -> None:
        """Start the process in advance."""
        await self._running()

    async def close(self) -> None:
        """Terminate the process and its work."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), SECONDS_TO_END)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        if self._reader is not None:
            self._reader.cancel()

    async def _running(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "prunelab.tui.service.server",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    limit=_LINE_LIMIT,
                    start_new_session=True,
                )
                self._reader = asyncio.create_task(self._read(self._process))
            return self._process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError):  # a line exceeds the limit: the lines after it cannot be trusted
            async for line in process.stdout:
                answer = json.loads(line)
                if (waiting := self._answers.get(answer["id"])) is not None:
                    waiting.put_nowait(answer)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        for waiting in self._answers.values():
            waiting.put_nowait({"error": "the computing process has ended (out of memory?); try again"})
