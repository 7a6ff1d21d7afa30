"""Work on every core: memory that is freed is used again."""

import ctypes
import resource
import subprocess
import sys

import numpy as np
import pytest

from phasescope.ensemble.cores import freed_memory_kept, on_cores

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not the GNU allocator")
PAGES = 30 * (4 << 20) // 4096


def fresh_pages() -> int:
    """Return how many fresh pages a loop waits for that makes and frees 12 MB, thirty times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        several = [np.ones(4 << 17) for _ in range(3)]
        del several
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_the_memory_that_a_step_frees_is_there_for_the_next_one():
    with freed_memory_kept():
        fresh_pages()
        assert fresh_pages() < PAGES / 10


def test_so_it_is_on_a_thread_of_its_own():
    found: list[int] = []
    on_cores(lambda _: found.append((fresh_pages(), fresh_pages())[1]), [0], 1, lambda: None, lambda: None)
    assert found[0] < PAGES / 10


HELD = """
import numpy as np
from phasescope.ensemble.cores import freed_memory_kept

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

before = held()
with freed_memory_kept():
    several = [np.ones(1 << 17) for _ in range(200)]  # 200 MiB in pieces of 1 MiB
    del several
    print(held() - before)
print(held() - before)
"""


def test_it_is_handed_back_at_the_end():
    """In a process of its own: one that has run other tests has such pieces to spare."""
    said = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True).stdout
    inside, after = map(int, said.split())
    assert inside > 150 << 20
    assert after < 50 << 20
