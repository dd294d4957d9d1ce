"""STT, LLM and TTS by name: `offline`, a plugin of livekit-agents (`openai/gpt-4o-mini`), or LiveKit Inference (`inference/…`)."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from livekit.agents import TurnHandlingOptions, inference, stt

from lkdoctor.worker.settings import OFFLINE, Part, Settings
from lkdoctor.worker.voice import EchoLLM, OfflineSTT, OfflineTTS

Kind = Literal["stt", "llm", "tts"]
_OFFLINE: Final[dict[str, Any]] = {"stt": OfflineSTT, "llm": EchoLLM, "tts": OfflineTTS}
_INFERENCE: Final[dict[str, Any]] = {"stt": inference.STT, "llm": inference.LLM, "tts": inference.TTS}
_EXAMPLES: Final[dict[Kind, str]] = {
    "stt": "deepgram/nova-3",
    "llm": "openai/gpt-4o-mini",
    "tts": "openai/gpt-4o-mini-tts",
}


class ModelError(Exception):
    """A model cannot be had: the message names the option, and the package or key that is missing."""


def make(kind: Kind, name: str, voice: str | None = None) -> Any:
    """The model called `name`; `voice` for a TTS that knows voices.

    Raises:
        ModelError: no such plugin or model, or its key is missing.
    """
    if name == OFFLINE:
        return _OFFLINE[kind]()
    provider, _, model = name.partition("/")
    if not provider.replace("-", "").isalnum() or (provider == "inference" and not model):
        raise ModelError(f"--{kind} {name}: write {_EXAMPLES[kind]}, inference/PROVIDER/MODEL, or {OFFLINE}.")
    factory = _INFERENCE[kind] if provider == "inference" else _plugin(kind, provider)
    knows = inspect.signature(factory).parameters
    arguments = {"model": model} if model and ("model" in knows or "kwargs" in knows) else {}
    if voice and kind == "tts" and "voice" in knows:
        arguments["voice"] = voice
    try:
        return factory(**arguments)
    except Exception as error:
        # What a plugin raises without its key differs by plugin; its words name the variable.
        raise ModelError(f"--{kind} {name}: {str(error).rstrip('.') or type(error).__name__}.") from error


def refuse_inference_without_key(settings: Settings, http_url: str, environ: Mapping[str, str]) -> None:
    """LiveKit Inference takes the key of a LiveKit Cloud project; beside a server of one's own that is another key.

    Raises:
        ModelError: a model of LiveKit Inference is asked for, and only the server's own key is there.
    """
    names = {"stt": settings.stt, "llm": settings.llm, "tts": settings.tts}
    asked = [f"--{kind} {name}" for kind, name in names.items() if name.startswith("inference/")]
    own = ("LIVEKIT_INFERENCE_API_KEY", "LIVEKIT_INFERENCE_API_SECRET")
    cloud = (urlsplit(http_url).hostname or "").endswith(".livekit.cloud")
    if asked and not cloud and not all(environ.get(one) for one in own) and not environ.get("LIVEKIT_INFERENCE_URL"):
        raise ModelError(
            f"{', '.join(asked)}: LiveKit Inference takes the key of a LiveKit Cloud project, and {http_url} is a server of "
            f"another key. Set {own[0]} and {own[1]}, or take a plugin with its own key (--llm {_EXAMPLES['llm']})."
        )


def _plugin(kind: Kind, provider: str) -> Any:
    package = provider.replace("-", "_")
    try:
        module = importlib.import_module(f"livekit.plugins.{package}")
    except ModuleNotFoundError:
        raise ModelError(
            f"--{kind} {provider}/…: the plugin is not installed. pip install livekit-plugins-{provider}, "
            f"or use `offline`, which needs no key."
        ) from None
    found = getattr(module, kind.upper(), None)
    if found is None:
        raise ModelError(f"--{kind} {provider}/…: livekit-plugins-{provider} has no {kind.upper()}.")
    return found


def session_arguments(settings: Settings, part: Part) -> dict[str, Any]:
    """What AgentSession is made with for this part."""
    arguments: dict[str, Any] = {
        "stt": make("stt", settings.stt),
        "tts": make("tts", settings.tts, settings.voice(part.role)),
    }
    examines = settings.offline and part.first and bool(part.partner)
    if not examines and (
        settings.echo or settings.llm != OFFLINE
    ):  # it says its lines by itself; answering an echo with an echo would never end
        arguments["llm"] = make("llm", settings.llm)
    if settings.stt == OFFLINE:
        # The code tells itself where a text ends, so no voice detection and no waiting; and a text that comes while the
        # agent speaks is no interruption, nor may it be thrown away.
        arguments |= {
            "vad": None,
            "user_away_timeout": None,
            "session_close_transcript_timeout": 0.0,  # what is decoded comes at once, or not at all
            "aec_warmup_duration": None,
            "tts_text_transforms": None,
            "turn_handling": TurnHandlingOptions(
                turn_detection="stt",
                endpointing={"min_delay": 0.0, "max_delay": 0.0},
                interruption={"enabled": False, "discard_audio_if_uninterruptible": False},
                preemptive_generation={"enabled": False},
            ),
        }
    return arguments | _switched(settings, arguments)


def _switched(settings: Settings, arguments: dict[str, Any]) -> dict[str, Any]:
    """What the switches change: voice detection, and who ends a turn. They are for telling why an agent understands nothing."""
    if settings.vad == "off":
        changed: dict[str, Any] = {"vad": None}
    elif settings.vad:
        detection = inference.VAD(activation_threshold=float(settings.vad))
        changed = {"vad": detection}
        if settings.stt == OFFLINE:  # it needs none by itself; behind one it is asked only when that fires
            changed["stt"] = stt.StreamAdapter(stt=OfflineSTT(streaming=False), vad=detection)
    else:
        changed = {}
    ends = "manual" if settings.manual else "vad" if changed.get("stt") is not None else ""
    if ends:
        changed["turn_handling"] = {**arguments.get("turn_handling", {}), "turn_detection": ends}
    return changed
