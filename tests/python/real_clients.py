"""Drives the gateway, with real LLM servers behind it, with the official SDKs and LangChain.

    python real_clients.py path/to/backstay-gateway path/to/backstay-mock

The servers are llama.cpp's `llama-server`; `.ci/real` installs them and says in the environment where they
are. The clients, the table and what is done with both are those of `gateway_clients.py`.
"""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

import gateway_clients as gateway
from gateway_clients import LOOP, MESSAGES, described, outcome, raises
from llama_server import HANGS, Llama

# What ends a silence: `first_token`, `idle`, and `headers` of unary calls. And that of a server that is well,
# and may be slow on a busy machine.
SILENCE, SLOW_START = 1.0, 8.0
# Of the calls that are about the budget.
BUDGET = 1.0
# An answer, and one that nobody waits for.
SOME, ENDLESS = 24, 6000
# Of each of the two hundred, and how many are under way at once.
CALLS, SHORT, AT_ONCE = 200, 0.2, 8
# A real server looks whether somebody is there after each token of a stream, else once a second.
PROMPTLY = 2.0


class Gateway:
    def __init__(self, program, configuration):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(configuration)
            file.flush()
            self.process = subprocess.Popen(
                [program, "--config", file.name], stdout=subprocess.PIPE, text=True
            )
            self.url = re.search(r"http://\S+", self.process.stdout.readline()).group(0)

    def story(self):
        """What became of each target in the last call."""
        with urllib.request.urlopen(self.url + "/trails.json", timeout=2) as answer:
            call = max(json.load(answer)["calls"], key=lambda call: call["began_unix_ms"])
        passed = [f"{over['target']} cools down" for over in call["passed_over"]]
        return passed + [f"{one['target']} {one['outcome']}" for one in call["attempts"]]

    def end(self):
        self.process.kill()
        self.process.wait()


class Servers:
    """Every server that the gateway has behind it, by its name there."""

    def __init__(self, mock):
        tiny, small = ("REAL_TINY_MODEL", 4, 8192), ("REAL_SMALL_MODEL", 4, 2048)
        one = ("REAL_SMALL_MODEL", 1, 8192)
        self.llamas = {
            "tiny": Llama(*tiny),
            "small": Llama(*small),
            "stopped": Llama(*tiny),
            "queue": Llama(*one),
        }
        # Those that SIGTERM ends, one for each drill.
        for family in ("openai", "anthropic"):
            for what in ("shown", "held"):
                self.llamas[f"{family}-{what}"] = Llama(*one)
        for name in ("tiny", "small", "stopped", "queue"):
            self.llamas[name].start()
        self.urls = {name: llama.url for name, llama in self.llamas.items()}
        self.urls["mock"] = mock

    def __getitem__(self, name):
        return self.llamas[name]

    def end(self):
        for llama in self.llamas.values():
            llama.end()


NO_CLOCKS = 'clocks.stream.first_token = "never"\nclocks.unary.headers = "never"'
PATIENT = f'clocks.stream.first_token = "{SLOW_START}s"'
# What a caller asks for: where it goes, in what budget, and more of the route.
ROUTES = {
    "tiny": (["tiny"], 60, ""),
    "small": (["small"], 60, PATIENT),
    "stopped": (["stopped", "tiny"], 60, f'clocks.unary.headers = "{SILENCE}s"'),
    "in-band": (["mock", "tiny"], 60, ""),
    "late": (["stopped"], BUDGET, NO_CLOCKS),
    "long": (["small"], BUDGET, PATIENT),
    "slow": (["small"], 60, PATIENT),
    "silent": (["queue"], 60, NO_CLOCKS),
    "hurried": (["tiny"], SHORT, ""),
    "patient": (["tiny"], 60, NO_CLOCKS),
    "shown": (["{family}-shown", "tiny"], 60, PATIENT),
    "held": (["{family}-held", "tiny"], 60, f'{PATIENT}\ncommit = "end"'),
}
# Those of which nobody sees the end.
LONG = ("late", "long", "slow", "silent", "hurried", "patient", "shown")


def tokens(model):
    name = model.split("-", 1)[1]
    return 1 if name.endswith("-first") else ENDLESS if name in LONG else 20 * SOME if name == "held" else SOME


def configuration(urls):
    parts = ['[[listeners]]\naddress = "127.0.0.1:0"\n', '[upstream]\nproxy = "none"\n']
    parts.append(
        f'[defaults]\nclocks.stream.first_token = "{SILENCE}s"\nclocks.stream.idle = "{SILENCE}s"\n'
        f'clocks.unary.headers = "{10 * SILENCE}s"\n'
    )
    for family, base in (("openai", "/v1"), ("anthropic", "")):
        for name, url in urls.items():
            # Of the mock each request gets an error in a stream that began well.
            model = '\nmodel = "early-in-band-error"' if name == "mock" else ""
            parts.append(
                f'[[targets]]\nname = "{family} {name}"\ndialect = "{family}"\n'
                f'base_url = "{url}{base}"\nretries = 0{model}\n'
            )
        for name, (targets, budget, more) in ROUTES.items():
            targets = [f"{family} {target.format(family=family)}" for target in targets]
            parts.append(
                f'[[routes]]\nmodels = ["{family}-{name}", "{family}-{name}-first"]\n'
                f"targets = {json.dumps(targets)}\n"
                f'budget = "{round(budget * 1000)}ms"\n{more}\n'
            )
    return "\n".join(parts)


class OpenAi(gateway.OpenAi):
    def ask(self, client, model, stream):
        return client.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=tokens(model), stream=stream
        )


class Anthropic(gateway.Anthropic):
    def ask(self, client, model, stream):
        return client.messages.create(
            model=model, messages=MESSAGES, max_tokens=tokens(model), stream=stream
        )


def answered(*story):
    """Text, and what became of each target."""

    def check(seen, told):
        return isinstance(seen, str) and len(seen) > 0 and any(re.fullmatch(one, told) for one in story)

    return check


# After three silent starts the gateway does not even ask.
SILENT_FIRST = (
    r"\w+ stopped (first_token|headers) timeout, \w+ tiny complete",
    r"\w+ stopped cools down, \w+ tiny complete",
)
ERROR_FIRST = (r"\w+ mock in-band error, \w+ tiny complete", r"\w+ mock cools down, \w+ tiny complete")


def drills(lib):
    """Name, model, shapes, what must be seen in words, and how that is told."""
    on_time = (BUDGET - 0.05, BUDGET + 0.75)
    late = raises(lib.APIStatusError, 504, within=on_time)
    cut_off = raises(lib.APIError, within=on_time)
    return [
        ("random model", "tiny", (False, True), "text", answered(r"\w+ tiny complete")),
        ("135M model", "small", (False, True), "text", answered(r"\w+ small complete")),
        ("first server stopped", "stopped", (False, True), "text of the second", answered(*SILENT_FIRST)),
        ("in-band error first", "in-band", (True,), "text of the second", answered(*ERROR_FIRST)),
        ("budget over, no head", "late", (False, True), f"504 after {BUDGET:.0f} s", late),
        ("budget over, in the text", "long", (True,), f"APIError after {BUDGET:.0f} s", cut_off),
    ]


def drive(table, behind, client, lib, sync, asyn):
    for drill, model, streams, words, check in drills(lib):
        for stream in streams:
            name = f"{client.family}-{model}"
            for mode, call in (
                ("sync", lambda: sync(client, name, stream)),
                ("async", lambda: LOOP.run(asyn(client, name, stream))),
            ):
                seen, took = outcome(call)
                story = ", ".join(behind.story())
                good = check.check(seen, took) if hasattr(check, "check") else check(seen, story)
                shape = f"{mode} {'stream' if stream else 'unary'}"
                seen = f"{described(seen)}; {story.replace(client.family + ' ', '')}"
                table.row(client.name, shape, drill, words, good, seen, took)


def is_late(error):
    """The SDK's own timeout, the gateway's 504, or the error event that ends a stream."""
    status = getattr(error, "status_code", None)
    return isinstance(error, openai.APITimeoutError) or status == 504 or type(error) is openai.APIError


def two_hundred(table, llama, client, drill, words, ask):
    """Calls that end in time, by the gateway's budget or the SDK's own, and what is left of them."""

    async def one(places, seen):
        async with places:
            try:
                await ask()
                seen.append(None)
            except Exception as error:  # whatever type it is, is what is asked
                seen.append(error)

    async def all_of_them(seen):
        places = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(one(places, seen) for _ in range(CALLS)))

    began, cancelled, seen, at = llama.began(), llama.cancelled(), [], time.monotonic()
    LOOP.run(all_of_them(seen))
    took, left = time.monotonic() - at, llama.nothing_left()
    began, cancelled = llama.began() - began, llama.cancelled() - cancelled
    late = sum(map(is_late, seen))
    # Those beyond the slots may be cancelled while they wait.
    good = late == CALLS and began and began <= cancelled and not left
    seen = f"{late} late; {len(began)} began, {len(cancelled)} cancelled{left}"
    table.row(client.name, "async", drill, words, good, seen, took)


def storms(table, servers, url):
    words, llama = "each ends, each cancelled there", servers["tiny"]
    client, impatient = OpenAi(url), OpenAi(url, timeout=SHORT)

    def hurried():
        return gateway.async_sdk(client, "openai-hurried", True)

    # The gateway is told of the SDK's timeout, so that either of them may be first.
    def patient():
        return gateway.async_sdk(impatient, "openai-patient", False)

    two_hundred(table, llama, client, f"{CALLS} streams, 200 ms each", words, hurried)
    two_hundred(table, llama, client, f"{CALLS} x SDK's own 200 ms", words, patient)


def terminated(table, servers, behind, client, lib):
    """SIGTERM of the server in mid-stream: it leaves an open, silent connection."""

    def in_mid_stream(what):
        llama = servers[f"{client.family}-{what}"].start()
        began = llama.began()

        def strike():
            while llama.began() == began:
                time.sleep(0.01)
            time.sleep(0.7)
            llama.signal(signal.SIGTERM)

        # Slower than any after it.
        gateway.sync_sdk(client, f"{client.family}-{what}-first", False)
        began = llama.began()
        threading.Thread(target=strike, daemon=True).start()
        name = f"{client.family}-{what}"
        seen, took = outcome(lambda: gateway.sync_sdk(client, name, True))
        story = ", ".join(behind.story()).replace(f"{client.family} ", "")
        return seen, took, story.replace(f"{client.family}-", "")

    # Now and then it closes the connection, as it should.
    ended = r"(idle timeout|transport error|truncated)"
    seen, took, story = in_mid_stream("shown")
    good = isinstance(seen, lib.APIError) and re.fullmatch(f"shown {ended}", story) and took < 10
    row = (client.name, "sync stream", "SIGTERM, text was shown", "APIError inside the budget")
    table.row(*row, bool(good), f"{described(seen)}; {story}", took)
    seen, took, story = in_mid_stream("held")
    good = isinstance(seen, str) and re.fullmatch(f"held {ended}, tiny complete", story)
    row = (client.name, "sync stream", "SIGTERM, answer held", "text of the second")
    table.row(*row, bool(good), f"{described(seen)}; {story}", took)


def occupy(queue):
    """Takes the one slot of a server for a while, so that whoever comes next is not answered."""
    request = urllib.request.Request(
        queue.url + "/v1/chat/completions",
        json.dumps({"messages": MESSAGES, "max_tokens": ENDLESS}).encode(),
        {"content-type": "application/json"},
    )

    def ask():
        with contextlib.suppress(OSError):
            urllib.request.urlopen(request, timeout=4 * HANGS)

    began = len(queue.began())
    threading.Thread(target=ask, daemon=True).start()
    while len(queue.began()) == began:
        time.sleep(0.02)


class Both:
    """The servers at which callers leave, by the model that they ask for."""

    def __init__(self, servers):
        self.slow, self.silent = servers["small"], servers["queue"]

    @property
    def ended(self):
        return self.slow.ended + self.silent.ended

    def left_after(self, model, since, seen):
        """How long after `since` one of them saw a caller leave."""
        for _ in range(1000):
            if len(self.ended) > seen:
                return max(at for at, _ in self.ended) - since
            time.sleep(0.005)
        return None


def main(program, mock):
    table, mock = gateway.Table(), gateway.Mock(mock)
    servers = behind = None
    try:
        servers = Servers(mock.url)
        behind = Gateway(program, configuration(servers.urls))
        url = behind.url
        sdks = [(OpenAi(url), openai), (Anthropic(url), anthropic)]
        chains = [
            gateway.LangChain(
                lambda model: ChatOpenAI(
                    base_url=url + "/v1", api_key="none", model=model, max_retries=0,
                    max_tokens=tokens(model),
                ),  # fmt: skip
                "langchain-openai",
                "openai",
            ),
            gateway.LangChain(
                lambda model: ChatAnthropic(
                    base_url=url, api_key="none", model=model, max_retries=0,
                    max_tokens=tokens(model),
                ),  # fmt: skip
                "langchain-anthropic",
                "anthropic",
            ),
        ]
        servers["stopped"].signal(signal.SIGSTOP)
        for client, lib in sdks:
            drive(table, behind, client, lib, gateway.sync_sdk, gateway.async_sdk)
        for chain, lib in zip(chains, (openai, anthropic)):
            drive(table, behind, chain, lib, gateway.sync_chain, gateway.async_chain)
        servers["stopped"].signal(signal.SIGCONT)
        left = servers["stopped"].nothing_left()
        row = ("llama-server", "", "goes on after all that", "nothing left to do")
        table.row(*row, not left, left.strip(", ") or "0 processing, 0 deferred", 0)
        occupy(servers["queue"])
        for make, (client, lib) in zip((OpenAi, Anthropic), sdks):
            gateway.leaving(table, Both(servers), url, make, PROMPTLY, runs=3)
            terminated(table, servers, behind, client, lib)
        storms(table, servers, url)
        # What still occupied its slot came from here, and nobody waits for that.
        servers["queue"].end()
        for name in ("tiny", "small"):
            left = servers[name].nothing_left()
            row = (f"llama-server {name}", "", "after all drills", "nothing left to do")
            table.row(*row, not left, left.strip(", ") or "0 processing, 0 deferred", 0)
    finally:
        for started in (behind, servers):
            if started:
                started.end()
        mock.process.kill()
        mock.process.wait()
    print(f"{table.rows - table.failed} as expected, {table.failed} not")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
