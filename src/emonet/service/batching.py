"""Collect the items of concurrent requests and process them together in worker threads."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Seconds that the first waiting item waits for others if a thread is free.
DELAY = 0.005
#: Most items in a batch. A larger one would not be faster, and others would wait for it longer.
BATCH_ITEMS = 16
#: One thread looks for faces while the other one classifies.
THREADS = 2


class QueueFullError(Exception):
    """More items wait than the queue may hold."""


class Batcher(Generic[Item, Result]):
    """A bounded queue of items, and threads that process them in batches.

    All methods must be called in one event loop. Threads start with the first batch.

    Args:
        process: maps items to as many results; worker threads call it.
        most: most items that may wait.
        queued: called with each change of the number of items that wait.
        started: called with the number of items of each batch.
    """

    def __init__(
        self,
        process: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        most: int,
        queued: Callable[[int], None] = lambda change: None,
        started: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._process = process
        self._most = most
        self._queued, self._started = queued, started
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="emonet-batch")

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the queue takes no further item."""
        return len(self._waiting) >= self._most

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """Return the results of items; items of a cancelled call leave the queue.

        Raises:
            QueueFullError: the queue has no room for all items; it takes none of them.
        """
        if len(self._waiting) + len(items) > self._most:
            raise QueueFullError
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        self._queued(len(items))
        if self._timer is None and self._running < THREADS:
            self._timer = loop.call_later(DELAY, self._start)
        try:
            return list(await asyncio.gather(*futures))
        except asyncio.CancelledError:
            before = len(self._waiting)
            self._waiting = deque(entry for entry in self._waiting if not entry[1].done())
            self._queued(len(self._waiting) - before)
            raise

    def close(self) -> None:
        """Start no further batch."""
        if self._timer is not None:
            self._timer.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Give the items that wait longest to a thread."""
        self._timer = None
        count = min(BATCH_ITEMS, len(self._waiting))
        if not count:
            return
        batch = [self._waiting.popleft() for _ in range(count)]
        self._running += 1
        self._queued(-count)
        self._started(count)
        items = [item for item, _ in batch]
        task = asyncio.get_running_loop().run_in_executor(self._threads, self._process, items)
        task.add_done_callback(partial(self._finish, [future for _, future in batch]))
        if self._running < THREADS:
            self._start()

    def _finish(
        self,
        futures: Sequence["asyncio.Future[Result]"],
        task: "asyncio.Future[Sequence[Result]]",
    ) -> None:
        self._running -= 1
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        results = [None] * len(futures) if error else task.result()
        for future, result in zip(futures, results, strict=True):
            if future.done():  # its request was cancelled
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]
        # The waiting items have waited for this batch, so they wait for no others.
        if self._timer is None:
            self._start()
