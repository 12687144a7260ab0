"""The parts of scripts/gpu_check.py, one module with `run(task)` each, and what they share.

Shared are task (the input of a part and how it reports), runner (processes and their time limits),
table (Markdown), clock (the only module that uses a device's timers, waits and memory), trace
(counts from a profile), rigs (a GAN with its optimizers, from a config) and program (gantrain in
its own process).
"""
