"""How much memory local Spark takes."""

import pytest

from local_aws.glue.spark import heap_mb

GIB = 1024**3


@pytest.mark.parametrize(("machine", "heap"), [(4 * GIB, 2048), (16 * GIB, 8192), (64 * GIB, 8192)], ids=["small", "middle", "large"])
def test_the_heap_is_half_of_the_machines_memory_and_at_most_8_gib(machine: int, heap: int) -> None:
    assert heap_mb(machine) == heap
