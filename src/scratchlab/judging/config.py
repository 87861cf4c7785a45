"""Who scores responses, and how they are asked, as a plain dataclass."""

from dataclasses import dataclass
from enum import Enum
from string import Formatter

from scratchlab.runs.checks import at_least
from scratchlab.runs.identity import bookkeeping
from scratchlab.text.prompts import PromptConfig


class JudgeBackend(Enum):
    none = "none"
    ollama = "ollama"
    """A server with Ollama's own API."""
    openai = "openai"
    """Any server with an OpenAI-compatible API: llama.cpp, vLLM, OpenAI; the key is OPENAI_API_KEY, if it is set."""


@dataclass(kw_only=True)
class JudgeConfig:
    """A language model that gives each response a whole number from 0 to 100."""

    backend: JudgeBackend = JudgeBackend.none
    model: str = ""
    """The server's name for the model; openai: empty takes the first that the server lists."""
    url: str = ""
    """Where the server is."""
    question: PromptConfig
    """The template that an entry is shown to the judge in, whatever template it was answered in."""
    prompt: str = ""
    """What the judge is asked, around `{question}`, `{output}` and `{response}`."""
    seed: int = 123
    temperature: float = 0.0
    num_ctx: int = 2048
    """ollama: tokens of context."""
    max_tokens: int = 0
    """Most tokens of the judge's answer; 0: no limit."""
    timeout: float = bookkeeping(120.0)
    """Seconds that one answer may take."""
    load_timeout: float = bookkeeping(900.0)
    """ollama: seconds that the server may take to load the model."""
    retries: int = bookkeeping(4)
    """How often a question is asked again when the server fails."""
    wait: float = bookkeeping(1.0)
    """Seconds before the first such repetition; doubled each time."""
    concurrency: int = bookkeeping(1)
    """Questions under way at once."""

    def __post_init__(self) -> None:
        if self.backend is JudgeBackend.none:
            for key in ("model", "url"):
                if value := getattr(self, key):
                    raise ValueError(
                        f"judge.{key}={value}: judge=none asks nobody; possible: judge=ollama, judge=openai"
                    )
            return
        if not self.url:
            raise ValueError(f"judge={self.backend.name} needs judge.url=ADDRESS, the address of the server")
        if self.backend is JudgeBackend.ollama and not self.model:
            raise ValueError("judge=ollama needs judge.model=NAME, as in judge.model=llama3")
        found = [name for _, name, _, _ in Formatter().parse(self.prompt) if name is not None]
        if sorted(found) != ["output", "question", "response"]:
            raise ValueError(
                f"judge.prompt has the fields {found}; must have {{question}}, {{output}}, {{response}}, once"
            )
        for key, least in (
            ("num_ctx", 1),
            ("max_tokens", 0),
            ("retries", 0),
            ("concurrency", 1),
            ("wait", 0),
            ("temperature", 0),
        ):
            at_least(least, self, key, prefix="judge.")
        for key in ("timeout", "load_timeout"):
            if getattr(self, key) <= 0:
                raise ValueError(f"judge.{key}={getattr(self, key)}: must be above 0 seconds")
