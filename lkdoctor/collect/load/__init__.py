"""Measures the load here: the machine, the cgroup, and what an SDK's own load function makes of them."""
