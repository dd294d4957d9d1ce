"""The brain: facts, LiveKit's dispatch rules by version, stories and predictions. No I/O."""
