"""`lkdoctor.toml`: `load` finds and reads it, `Config` is what it holds, `schema` is what editors check it with."""

from lkdoctor.config.reading import ConfigError, ConfigFile, find, load, parse
from lkdoctor.config.tables import FILE, SCHEMA_ID, Agent, Config, Ignore, Marker, Room, Server, schema

__all__ = [
    "FILE",
    "SCHEMA_ID",
    "Agent",
    "Config",
    "ConfigError",
    "ConfigFile",
    "Ignore",
    "Marker",
    "Room",
    "Server",
    "find",
    "load",
    "parse",
    "schema",
]
