"""What the server's API lists: asked live (`sweep`), or read back from `api.jsonl` (`exchanges`)."""
