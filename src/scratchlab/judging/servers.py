"""The servers a judge may run on, through their official clients: Ollama's own API, and OpenAI-compatible ones."""

import logging
import os
from typing import Any, Protocol

from scratchlab.judging.config import JudgeBackend, JudgeConfig


class TemporaryFailure(Exception):
    """The server failed in a way that may pass: overloaded, restarting, cut off, or an answer that is none."""


class Server(Protocol):
    identity: dict[str, Any]
    """Everything known to change its answers."""

    def load(self) -> None:
        """Make it ready to answer; may take long.

        Raises:
            TemporaryFailure: trying again may help.
            RuntimeError: it will not.
        """

    def ask(self, question: str) -> str:
        """Its answer to one user message.

        Raises:
            TemporaryFailure: asking again may help.
            RuntimeError: it will not.
        """


def connect(config: JudgeConfig) -> Server:
    """Reach the configured server.

    Raises:
        TemporaryFailure: it runs, and trying again may help.
        RuntimeError: it does not run, or does not have the model.
    """
    for transport in ("httpx", "httpx2"):  # Ollama's and OpenAI's, which announce every request
        logging.getLogger(transport).setLevel(logging.WARNING)
    match config.backend:
        case JudgeBackend.ollama:
            return Ollama(config)
        case JudgeBackend.openai:
            return OpenAI(config)
        case JudgeBackend.none:
            raise ValueError("judge=none asks nobody; possible: judge=ollama, judge=openai")


class Ollama:
    """A model of an Ollama server, here or on another machine.

    Seed and temperature go under `options`: outside of them the server ignores them. Source: chapter 7's scripts.
    """

    def __init__(self, config: JudgeConfig) -> None:
        from ollama import Client

        self.config = config
        self.options: dict[str, Any] = {
            "seed": config.seed,
            "temperature": config.temperature,
            "num_ctx": config.num_ctx,
        }
        if config.max_tokens:
            self.options["num_predict"] = config.max_tokens
        self.client = Client(host=config.url, timeout=config.timeout)
        self.identity = {
            "backend": "ollama",
            "model": config.model,
            "digest": self._digest(),
            "options": self.options,
        }

    def _digest(self) -> str:
        from httpx import HTTPError
        from ollama import ResponseError

        where = f"judge=ollama: the server at judge.url={self.config.url}"
        try:
            models = self.client.list().models
        except (ConnectionError, HTTPError) as error:
            if _was_cut(error):
                raise TemporaryFailure(_short(error)) from error
            raise RuntimeError(
                f"{where} does not answer ({_short(error)}); possible: start it with `ollama serve`, or give "
                "the address of one that runs as judge.url=http://HOST:PORT"
            ) from None
        except (ResponseError, ValueError) as error:
            if getattr(error, "status_code", 0) >= 500:
                raise TemporaryFailure(_short(error)) from error
            raise RuntimeError(f"{where} does not answer as Ollama does: {_short(error)}") from None
        digests = {model.model or "": model.digest or "" for model in models}
        for name in (self.config.model, f"{self.config.model}:latest"):
            if name in digests:
                return digests[name]
        raise RuntimeError(
            f"{where} has not pulled judge.model={self.config.model}; it has: {', '.join(sorted(digests)) or 'none'}; "
            f"to get it: ollama pull {self.config.model}"
        )

    def load(self) -> None:
        """Ask for nothing, which loads the model: reading gigabytes from disk takes longer than any answer."""
        from httpx import HTTPError
        from ollama import Client, ResponseError

        try:
            client = Client(host=self.config.url, timeout=self.config.load_timeout)
            client.generate(model=self.config.model, prompt="", options=self.options)
        except (ConnectionError, HTTPError, ResponseError, ValueError) as error:
            status = getattr(error, "status_code", 0)
            if status in (404, 405):
                return  # speaks Ollama's chat and nothing else; the first question then waits for the model
            if _was_cut(error) or status >= 500:
                raise TemporaryFailure(f"{self.config.model} could not be loaded: {_short(error)}") from error
            raise RuntimeError(
                f"judge=ollama: the server at {self.config.url} could not load {self.config.model} within "
                f"judge.load_timeout={self.config.load_timeout:g} seconds: {_short(error)}"
            ) from error

    def ask(self, question: str) -> str:
        from httpx import HTTPError
        from ollama import ResponseError

        messages = [{"role": "user", "content": question}]
        try:
            answer = self.client.chat(model=self.config.model, messages=messages, options=self.options).message.content
        except ResponseError as error:
            if error.status_code >= 500 or error.status_code in (408, 429):
                raise TemporaryFailure(f"status {error.status_code}: {_short(error)}") from error
            raise RuntimeError(
                f"judge=ollama: {self.config.url} refused the question with status {error.status_code}: {_short(error)}"
            ) from error
        except (ConnectionError, HTTPError, ValueError) as error:  # ValueError: what came is no JSON, or not Ollama's
            raise TemporaryFailure(_short(error)) from error
        return answer or ""


class OpenAI:
    """A model of an OpenAI-compatible server."""

    def __init__(self, config: JudgeConfig) -> None:
        import openai

        self.config = config
        self.client = openai.OpenAI(
            base_url=config.url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",  # local servers ask for none, the client for some
            timeout=config.timeout,
            max_retries=0,
        )
        self.options: dict[str, Any] = {"seed": config.seed, "temperature": config.temperature}
        if config.max_tokens:
            self.options["max_tokens"] = config.max_tokens
        self.model = self._model()
        self.identity = {"backend": "openai", "url": config.url, "model": self.model, "options": self.options}

    def _model(self) -> str:
        import openai

        where = f"judge=openai: the server at judge.url={self.config.url}"
        try:
            names = [model.id for model in self.client.models.list().data]
        except openai.InternalServerError as error:
            raise TemporaryFailure(_short(error)) from error
        except openai.APIConnectionError as error:
            if _was_cut(error.__cause__):
                raise TemporaryFailure(_short(error.__cause__ or error)) from error
            raise RuntimeError(
                f"{where} does not answer ({_short(error.__cause__ or error)}); possible: start it, or give the "
                "address of one that runs, up to and with /v1, as judge.url=http://HOST:PORT/v1"
            ) from None
        except openai.AuthenticationError as error:
            raise RuntimeError(f"{where} wants a key: set OPENAI_API_KEY ({_short(error)})") from None
        except (openai.APIError, ValueError, TypeError, AttributeError) as error:
            raise RuntimeError(f"{where} gives no list of models: {_short(error)}") from None
        model = self.config.model or (names[0] if names else "")
        if model not in names:
            raise RuntimeError(f"{where} has no model {model!r}; it has: {', '.join(names) or 'none'}")
        return model

    def load(self) -> None:
        """Nothing: such a server answers when it is ready."""

    def ask(self, question: str) -> str:
        import openai

        messages: Any = [{"role": "user", "content": question}]
        try:
            reply = self.client.chat.completions.create(model=self.model, messages=messages, **self.options)
            answer = reply.choices[0].message.content
        except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError) as error:
            raise TemporaryFailure(_short(error.__cause__ or error)) from error
        except openai.APIStatusError as error:
            raise RuntimeError(
                f"judge=openai: {self.config.url} refused the question with status "
                f"{error.status_code}: {' '.join(error.response.text.split())[:200]}"
            ) from error
        except (openai.APIError, ValueError, TypeError, AttributeError, IndexError) as error:
            # the client takes whatever comes with status 200 for a reply
            raise TemporaryFailure(f"the reply is no chat completion: {_short(error)}") from error
        return answer or ""


def _was_cut(error: BaseException | None) -> bool:
    """Whether a connection that stood was lost, in the words of either client's transport."""
    return type(error).__name__ in ("RemoteProtocolError", "ReadError", "WriteError", "CloseError")


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
