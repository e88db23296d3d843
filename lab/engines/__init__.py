"""Engines that a lab cluster serves: a simulated one with faults on demand, and llama.cpp with models of known quality."""
