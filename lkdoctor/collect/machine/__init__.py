"""Looks at the machine: the containers of its Docker engine, with their logs, and the workers that run outside of them."""
