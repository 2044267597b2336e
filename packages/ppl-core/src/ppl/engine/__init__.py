"""The engine: programs that were recorded from Python, compiled and replayed."""
