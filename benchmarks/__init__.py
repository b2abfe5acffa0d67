"""How long the operations take that users wait for, beside DVC and beside the least that the bytes themselves cost.

`python -m benchmarks` (or `make bench`) runs every operation in a process of its own, so that start-up, imports
and peak memory belong to that operation alone. Nothing here asserts on time.
"""
