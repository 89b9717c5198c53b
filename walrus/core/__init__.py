"""The decisions: pure state machines that take one event and return actions.

Nothing in this package reads a clock, a random source, a file, a socket or the environment
(``tests/test_layering.py`` proves it). Time is integer nanoseconds given with each event.
"""
