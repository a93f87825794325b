"""Threads beside the one that optimises, which leave it the processors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch


def helper(name: str) -> ThreadPoolExecutor:
    """One thread, in which torch does not share out its work among further ones.

    Each thread that runs a parallel loop of torch gets a team of OpenMP threads of its own. As soon
    as there are more of them than processors, GNU's OpenMP lets all teams sleep between two loops
    instead of waiting actively: a picture of 128 pixels took 3.2 s instead of 1.6 s while a reader
    and a writer had nothing to do.

    Args:
        name: of the thread, for people who look at them.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(1, name)
    pool.submit(_one_thread).result()
    torch.set_num_threads(threads)  # the number given to one thread is that of all yet to come
    return pool


def _one_thread() -> None:
    torch.get_num_threads()  # torch looks at the common number once per thread; not later than now
    torch.set_num_threads(1)
