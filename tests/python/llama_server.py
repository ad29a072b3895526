"""A real llama-server, started and ended by the drills, and what its log and its metrics say."""

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
import urllib.request

# The end of whatever hangs.
HANGS = 30


class Llama:
    """A llama-server, and when it wrote each line of its log."""

    def __init__(self, model, slots, context):
        self.model, self.slots, self.context = model, slots, context
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log, self.process = [], None

    def start(self):
        command = [os.environ["REAL_LLAMA_SERVER"], "--model", os.environ[self.model]]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--threads", "1"]
        command += ["--parallel", str(self.slots), "--ctx-size", str(self.slots * self.context)]
        # Each is held by a unary call until it is looked whether its caller is there.
        command += ["--threads-http", "64", "--ignore-eos", "--metrics", "--slots"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        threading.Thread(target=self.listen, daemon=True).start()
        give_up = time.monotonic() + HANGS
        while time.monotonic() < give_up:
            with contextlib.suppress(OSError):
                self.get("/health")
                return self
            time.sleep(0.02)
        raise TimeoutError("llama-server is not ready: " + " / ".join(line for _, line in self.log[-3:]))

    def listen(self):
        for line in self.process.stdout:
            self.log.append((time.monotonic(), line.strip()))

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=HANGS / 3) as answer:
            return answer.read().decode()

    def metric(self, name):
        return int(float(re.search(rf"^llamacpp:{name} (\S+)", self.get("/metrics"), re.M).group(1)))

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    @property
    def ended(self):
        """The requests whose callers it has seen leave, as `Mock` has them."""
        return [(at, line) for at, line in self.log if "cancel task," in line]

    def numbers(self, pattern):
        """The requests that some lines of the log are about."""
        return {int(found[1]) for _, line in self.log if (found := re.search(pattern, line))}

    def began(self):
        return self.numbers(r"task (\d+) \| processing task,")

    def cancelled(self):
        return self.numbers(r"cancel task, id_task = (\d+)")

    def nothing_left(self):
        """Waits until it has noticed who left; says what it is still at."""
        for _ in range(6):
            busy = [self.metric(f"requests_{what}") for what in ("processing", "deferred")]
            if busy == [0, 0]:
                decoded = self.metric("n_decode_total")
                time.sleep(0.2)
                more = self.metric("n_decode_total") - decoded
                return f", {more} decoded for nobody" if more else ""
            # It looks for callers of unary calls after a second in which it had no result for anybody, and
            # to be asked for its metrics is one.
            time.sleep(1.5)
        return ", {} processing, {} deferred".format(*busy)
