"""Items of concurrent calls are processed together, within a bounded queue."""

import asyncio
import threading

import pytest

from emonet.service.batching import BATCH_ITEMS, THREADS, Batcher, QueueFullError


class Doubling:
    """Doubles numbers; waits before each batch until it may go on."""

    def __init__(self, *, waits=False):
        self.batches = []
        self.go = threading.Event()
        if not waits:
            self.go.set()

    def __call__(self, items):
        self.batches.append(list(items))
        assert self.go.wait(20)
        if "bad" in items:
            raise ValueError("bad")
        return [2 * item for item in items]


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def test_calls_that_arrive_together_share_a_batch():
    process, sizes = Doubling(), []

    async def run():
        batcher = Batcher(process, most=20, started=sizes.append)
        return await asyncio.gather(batcher.submit([1, 2]), batcher.submit([3]), batcher.submit([]))

    assert asyncio.run(run()) == [[2, 4], [6], []]
    assert process.batches == [[1, 2, 3]]
    assert sizes == [3]


def test_a_large_call_is_split_and_keeps_its_order():
    process, count = Doubling(), 2 * BATCH_ITEMS + 3

    async def run():
        return await Batcher(process, most=count).submit(range(count))

    assert asyncio.run(run()) == [2 * item for item in range(count)]
    assert sorted(map(len, process.batches)) == [3, BATCH_ITEMS, BATCH_ITEMS]


def test_what_arrives_during_a_batch_is_the_next_batch():
    process = Doubling(waits=True)

    async def run():
        batcher = Batcher(process, most=20)
        calls = []
        for number in range(THREADS):
            calls.append(asyncio.ensure_future(batcher.submit([number])))
            await until(lambda count=number + 1: len(process.batches) == count)
        calls += [asyncio.ensure_future(batcher.submit([number])) for number in range(5)]
        await asyncio.sleep(0.05)
        assert len(batcher) == 5
        process.go.set()
        return await asyncio.gather(*calls)

    asyncio.run(run())
    assert process.batches == [[number] for number in range(THREADS)] + [[0, 1, 2, 3, 4]]


def test_a_full_queue_takes_nothing_and_keeps_what_it_has():
    process = Doubling(waits=True)

    async def run():
        batcher = Batcher(process, most=2)
        busy = [asyncio.ensure_future(batcher.submit([number])) for number in range(2)]
        await until(lambda: process.batches == [[0, 1]])
        waiting = asyncio.ensure_future(batcher.submit([2]))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await batcher.submit([3, 4])
        assert not batcher.full
        also = asyncio.ensure_future(batcher.submit([5]))
        await asyncio.sleep(0)
        assert batcher.full or len(process.batches) > 1
        process.go.set()
        return await asyncio.gather(*busy, waiting, also)

    assert asyncio.run(run()) == [[0], [2], [4], [10]]


def test_a_cancelled_call_leaves_the_queue():
    process, changes = Doubling(waits=True), []

    async def run():
        batcher = Batcher(process, most=4, queued=changes.append)
        busy = []
        for number in range(THREADS):
            busy.append(asyncio.ensure_future(batcher.submit([number])))
            await until(lambda count=number + 1: len(process.batches) == count)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await batcher.submit([7, 8, 9])
        assert len(batcher) == 0
        process.go.set()
        await asyncio.gather(*busy)
        return await batcher.submit([3])

    assert asyncio.run(run()) == [6]
    assert changes == [1, -1] * THREADS + [3, -3, 1, -1]
    assert process.batches == [[number] for number in range(THREADS)] + [[3]]


def test_an_error_reaches_the_calls_of_its_batch_only():
    process = Doubling()

    async def run():
        batcher = Batcher(process, most=20)
        first = await asyncio.gather(
            batcher.submit(["bad"]), batcher.submit(["good"]), return_exceptions=True
        )
        return first, await batcher.submit([1])

    (bad, good), after = asyncio.run(run())
    assert isinstance(bad, ValueError)
    assert isinstance(good, ValueError)
    assert after == [2]
