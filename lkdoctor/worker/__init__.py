"""The reference worker: a LiveKit agent with every fix applied, and two agents that prove that each heard the other.

Read `agent.py` first: it is the template. `server.py` starts it, `voice.py` and `code.py` are the voice that needs no key,
`talk.py` is the conversation, `load.py` the load function, `batch.py` runs many conversations.
Needs the extra: pip install 'lkdoctor[worker]'.
"""
