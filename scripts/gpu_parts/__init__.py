"""The parts of scripts/gpu_check.py: a module each with `run(task)`, and what they share.

task (what a part is given and how it reports), runner (processes and their time), table (Markdown),
clock (the only module that asks for timings, waits or memory of a device), trace (counts from a
profile), rigs (a GAN with its optimizers, from a config), program (gantrain in a process of its
own).
"""
