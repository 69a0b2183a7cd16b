"""Grounded in front of a real vLLM, on the CPU, with a model of 135 million parameters."""
