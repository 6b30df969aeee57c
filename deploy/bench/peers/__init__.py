"""``teleward bench peers``: the same work done by what a user would pick instead, on the same machine and Kafka.

`work` says what the work is and what its outputs must be; `contest` runs everybody in turn. Each of the others is a
program of its own in this folder, told by one JSON file what to do, so that it may live in an environment of its own
(`environments`): ``PYTHON PROGRAM.py SPEC.json``.
"""
