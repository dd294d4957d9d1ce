"""The catalogue of codes, the registry of checks, the engine that runs them, and the gate."""
