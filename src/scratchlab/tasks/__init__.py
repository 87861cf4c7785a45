"""What can be run. A task is one file here: a dataclass, which is the root of its configuration, and a function.

Task modules are imported to compose any configuration, so they import slow libraries inside their functions. They are
listed in `runs.registry`, which imports them by name: nothing below this folder knows a task.
"""
