"""How long newtron takes beside its peers and beside the floor of the machine: one module per family of problems.

`family` says what a family is, `worker` runs one contender in a process of its own, `racing` gives the workers their
turns, `report` makes the tables and `regression` compares two commits.
"""
