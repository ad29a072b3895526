"""Drives the gateway with the official OpenAI and Anthropic SDKs and with LangChain.

    python gateway_clients.py path/to/backstay-gateway path/to/backstay-mock

Each drill is done sync and async, unary and streaming, where that makes a difference. A row says what the
caller saw: text, or the type of the SDK's own exception. The exit status is 1 if any row is not as expected.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import threading
import time

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

# The drills, and the model of the mock that stands for each fault.
MODELS = {
    "good": "steady",
    "in-band": "in-band-error",
    "cut": "cut",
    "limited": "rate-limited",
    "late": "slow-headers@9000",
    "silent": "never",
    "slow": "slow-tokens@300",
    "bad": "overloaded",
}
BUDGET = 2.0
PROMPTLY = 0.050
# One loop for all: a client keeps its connections, and they belong to a loop.
LOOP = asyncio.Runner()
MESSAGES = [{"role": "user", "content": "hello"}]


class Mock:
    """The mock, and when it saw each request end."""

    def __init__(self, program):
        self.process = subprocess.Popen(
            [program, "--addr", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().strip()
        self.ended = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.ended.append((time.monotonic(), line))

    def left_after(self, model, since, seen):
        """How long after `since` the request for `model` was told that its caller has gone."""
        for _ in range(400):
            for at, line in self.ended[seen:]:
                if f"model={model} " in line and "peer closed" in line:
                    return at - since
            time.sleep(0.005)
        return None


def configuration(mock):
    parts = ['[[listeners]]\naddress = "127.0.0.1:0"\n', '[upstream]\nproxy = "none"\n']
    for family, base in (("openai", "/v1"), ("anthropic", "")):
        for name, model in MODELS.items():
            parts.append(
                f'[[targets]]\nname = "{family}-{name}"\ndialect = "{family}"\n'
                f'base_url = "{mock.url}{base}"\nmodel = "{model}"\nretries = 0\n'
                f'[[routes]]\nmodel = "{family}-{name}"\ntargets = ["{family}-{name}"]\n'
                f'budget = "{BUDGET if name == "late" else 60}s"\n'
            )
        parts.append(
            f'[[routes]]\nmodel = "{family}-fallback"\n'
            f'targets = ["{family}-bad", "{family}-good"]\n'
        )
    return "\n".join(parts)


class OpenAi:
    name, family = "openai", "openai"

    def __init__(self, url, **options):
        options = {"max_retries": 0, **options}
        self.sync = openai.OpenAI(base_url=url + "/v1", api_key="none", **options)
        self.asyn = openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", **options)

    def ask(self, client, model, stream):
        return client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)

    def text(self, answer):
        return answer.choices[0].message.content

    def token(self, event):
        return event.choices[0].delta.content or "" if event.choices else ""


class Anthropic:
    name, family = "anthropic", "anthropic"

    def __init__(self, url, **options):
        options = {"max_retries": 0, **options}
        self.sync = anthropic.Anthropic(base_url=url, api_key="none", **options)
        self.asyn = anthropic.AsyncAnthropic(base_url=url, api_key="none", **options)

    def ask(self, client, model, stream):
        return client.messages.create(
            model=model, messages=MESSAGES, max_tokens=99, stream=stream
        )

    def text(self, answer):
        return answer.content[0].text

    def token(self, event):
        return getattr(getattr(event, "delta", None), "text", "") or ""


class LangChain:
    def __init__(self, make, name, family):
        self.make, self.name, self.family = make, name, family

    def text_of(self, message):
        content = message.content
        if isinstance(content, str):
            return content
        return "".join(part.get("text", "") for part in content)


def sync_sdk(sdk, model, stream):
    answer = sdk.ask(sdk.sync, model, stream)
    if not stream:
        return sdk.text(answer)
    with answer:
        return "".join(sdk.token(event) for event in answer)


async def async_sdk(sdk, model, stream):
    answer = await sdk.ask(sdk.asyn, model, stream)
    if not stream:
        return sdk.text(answer)
    return "".join([sdk.token(event) async for event in answer])


def sync_chain(chain, model, stream):
    llm = chain.make(model)
    if not stream:
        return chain.text_of(llm.invoke("hello"))
    return "".join(chain.text_of(chunk) for chunk in llm.stream("hello"))


async def async_chain(chain, model, stream):
    llm = chain.make(model)
    if not stream:
        return chain.text_of(await llm.ainvoke("hello"))
    return "".join([chain.text_of(chunk) async for chunk in llm.astream("hello")])


def outcome(call):
    """What the caller saw: its text or its exception, and how long it took."""
    began = time.monotonic()
    try:
        seen = call()
    except Exception as error:  # whatever type it is, is what is asked
        seen = error
    return seen, time.monotonic() - began


def described(seen):
    """What a caller saw, in a few words."""
    if isinstance(seen, BaseException):
        status = getattr(seen, "status_code", None)
        name = f"{type(seen).__module__.split('.')[0]}.{type(seen).__name__}"
        return f"{name} {status}" if status else name
    return f"{len(seen)} characters"


class Expected:
    """What must be seen, in a few words, and how it is told."""

    def __init__(self, words, check):
        self.words, self.check = words, check


is_text = Expected("text", lambda seen, took: isinstance(seen, str) and len(seen) > 0)


def raises(kind, status=None, retry_after=None, within=None):
    def check(seen, took):
        if not isinstance(seen, kind):
            return False
        if status is not None and getattr(seen, "status_code", None) != status:
            return False
        if retry_after and seen.response.headers.get("retry-after") != retry_after:
            return False
        return within is None or within[0] <= took <= within[1]

    kinds = kind if isinstance(kind, tuple) else (kind,)
    words = " or ".join(kind.__name__ for kind in kinds)
    return Expected(f"{words} {status}" if status else words, check)


def expectations(lib):
    """For each drill: the model, whether unary and streaming are driven, and what must be seen."""
    on_time = (BUDGET - 0.05, BUDGET + 0.75)
    error, status = lib.APIError, lib.APIStatusError
    broken = (lib.APIError, lib.APIConnectionError)
    return [
        ("success", "good", (False, True), is_text),
        ("fallback before content", "fallback", (False, True), is_text),
        ("in-band error", "in-band", (True,), raises(error)),
        ("cut stream", "cut", (True,), raises(error)),
        ("cut document", "cut", (False,), raises(broken)),
        ("429 with hints", "limited", (False, True), raises(lib.RateLimitError, 429, "2")),
        ("budget over", "late", (False, True), raises(status, 504, within=on_time)),
        ("unknown model", "nobody-has-it", (False,), raises(lib.NotFoundError, 404)),
    ]


class Table:
    def __init__(self):
        self.failed = self.rows = 0

    def row(self, client, mode, drill, expected, good, seen, took):
        self.failed += not good
        self.rows += 1
        mark = "ok" if good else "NOT AS EXPECTED"
        print(
            f"{client:19} {mode:12}  {drill:25}  {expected:34}  {seen:58} {took * 1000:6.0f} ms  {mark}",
            flush=True,
        )


def drive(table, client, lib, sync, asyn):
    for drill, model, streams, expected in expectations(lib):
        for stream in streams:
            name = f"{client.family}-{model}"
            for mode, call in (
                ("sync", lambda: sync(client, name, stream)),
                ("async", lambda: LOOP.run(asyn(client, name, stream))),
            ):
                seen, took = outcome(call)
                shape = f"{mode} {'stream' if stream else 'unary'}"
                good = expected.check(seen, took)
                table.row(
                    client.name, shape, drill, expected.words, good, described(seen), took
                )


def leaving(table, mock, url, make, promptly=PROMPTLY, runs=5):
    """The caller goes away: before the head, and in the middle of a stream."""

    def row(client, mode, drill, told, began):
        good = told is not None and told < promptly
        seen = "upstream never told" if told is None else f"upstream told after {told * 1000:.1f} ms"
        expected = f"upstream told within {promptly * 1000:.0f} ms"
        table.row(client.name, mode, drill, expected, good, seen, time.monotonic() - began)

    # The median: the machine may be busy.
    def median(run):
        told = [run() for _ in range(runs)]
        return None if None in told else sorted(told)[runs // 2]

    def closed_stream():
        client, seen = make(url), len(mock.ended)
        stream = client.ask(client.sync, f"{client.family}-slow", True)
        next(iter(stream))
        left = time.monotonic()
        stream.close()
        return mock.left_after(MODELS["slow"], left, seen)

    async def cancelled(model, stream):
        client, seen = make(url), len(mock.ended)
        task = asyncio.create_task(async_sdk(client, f"{client.family}-{model}", stream))
        await asyncio.sleep(0.3)
        left = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
        return await asyncio.to_thread(mock.left_after, MODELS[model], left, seen)

    def timed_out():
        client, seen = make(url, timeout=0.3), len(mock.ended)
        try:
            client.ask(client.sync, f"{client.family}-silent", False)
        except Exception:  # the SDK's own timeout
            pass
        return mock.left_after(MODELS["silent"], time.monotonic(), seen)

    client = make(url)
    for mode, drill, run in (
        ("sync stream", "closed after a token", closed_stream),
        ("async stream", "cancelled after a token", lambda: LOOP.run(cancelled("slow", True))),
        ("async unary", "cancelled before the head", lambda: LOOP.run(cancelled("silent", False))),
        ("async stream", "cancelled before the head", lambda: LOOP.run(cancelled("silent", True))),
        ("sync unary", "SDK's timeout before head", timed_out),
    ):
        began = time.monotonic()
        row(client, mode, drill, median(run), began)


def nested_retries(table, url, make, lib):
    """With the SDK's own retries left on, a call whose budget is over is not made three times."""
    client = make(url, max_retries=2)
    seen, took = outcome(lambda: sync_sdk(client, f"{client.family}-late", False))
    good = isinstance(seen, lib.APIStatusError) and took < BUDGET + 0.75
    table.row(
        client.name, "sync unary", "budget over, SDK retries", "504 once", good, described(seen), took
    )


def answered_by(table, url):
    """The headers that say who answered."""
    client = OpenAi(url)
    raw = client.sync.chat.completions.with_raw_response.create(
        model="openai-fallback", messages=MESSAGES
    )
    target, attempts = (raw.headers.get(f"x-backstay-{name}") for name in ("target", "attempts"))
    good = (target, attempts) == ("openai-good", "2")
    expected, seen = "openai-good 2", f"{target} {attempts}"
    table.row("openai", "sync unary", "x-backstay-* headers", expected, good, seen, 0)


def main(gateway, mock):
    mock = Mock(mock)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(configuration(mock))
        file.flush()
        server = subprocess.Popen(
            [gateway, "--config", file.name], stdout=subprocess.PIPE, text=True
        )
        url = re.search(r"http://\S+", server.stdout.readline()).group(0)
    table = Table()
    try:
        chain_openai = LangChain(
            lambda model: ChatOpenAI(
                base_url=url + "/v1", api_key="none", model=model, max_retries=0
            ),
            "langchain-openai",
            "openai",
        )
        chain_anthropic = LangChain(
            lambda model: ChatAnthropic(
                base_url=url, api_key="none", model=model, max_retries=0, max_tokens=99
            ),
            "langchain-anthropic",
            "anthropic",
        )
        drive(table, OpenAi(url), openai, sync_sdk, async_sdk)
        drive(table, Anthropic(url), anthropic, sync_sdk, async_sdk)
        drive(table, chain_openai, openai, sync_chain, async_chain)
        drive(table, chain_anthropic, anthropic, sync_chain, async_chain)
        answered_by(table, url)
        for make, lib in ((OpenAi, openai), (Anthropic, anthropic)):
            leaving(table, mock, url, make)
            nested_retries(table, url, make, lib)
    finally:
        server.terminate()
        server.wait()
        mock.process.terminate()
        mock.process.wait()
    print(f"{table.failed} rows are not as expected")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
