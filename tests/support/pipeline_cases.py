# SPDX-License-Identifier: Apache-2.0
"""Tables of rules and frames, through a running switch (netns.sh: cases).

    case("what", "rules", [send("a", frame, {"b": [frame]}, "kernel", [1])])

Each frame is sent REPEAT times: the first makes the cached flow, the others meet it. Each time the listed frames come out,
byte for byte, at the listed ports and nowhere else; the others are answered in the kernel, or in userspace for the
reason given (as in `shunt cache stats`). A rule is named by its cookie, which is one of the case's own: `met` are those
that a frame meets, as often as it does, and at the end each rule's packets and bytes are exactly that (but for cookie 0).
"""
import collections
import ctypes
import json
import os
import select
import subprocess
import sys
import time
import types

import frames

REPEAT = 4
MIN_FRAME = 60
PATIENCE = 3.0  # seconds until a frame must have come
SETTLE = 0.04  # seconds in which one too many would come

Send = collections.namedtuple("Send", "port frame out where met")


def send(port, frame, out, where, met):
    return Send(port, frame, out, where, met)


def fail(text):
    sys.exit(f"FAILED: {text}")


def shunt(*args, text=None):
    command = [os.environ["SHUNT"], "--rundir", os.environ["RUNDIR"], "--instance", os.environ["INSTANCE"], *args]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{' '.join(args)}: {done.stderr}{text or ''}")
    return done.stdout


def set_rules(*args, text=None):
    """As shunt(); then waits for the program that lets the kernel answer."""
    shunt(*args, text=text)
    while ask("cache", "stats")["program"]["loading"]:
        time.sleep(0.05)


def ask(*args):
    return json.loads(shunt(*args, "--json"))


def wire(frame):
    data = bytes(frame)
    return data + bytes(max(0, MIN_FRAME - len(data)))


def open_port(guest):
    """A packet socket on the guest's eth0: it stays in that namespace, the process comes back."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    other = os.open(f"/run/netns/{os.environ['TAG']}-{guest}", os.O_RDONLY)
    for namespace in (other, own):
        if namespace == own:
            port = frames.Port(types.SimpleNamespace(tap=None, interface="eth0"))
            port.listen("eth0")
        if libc.setns(namespace, 0) != 0:
            raise OSError(ctypes.get_errno(), f"setns: {guest}")
        os.close(namespace)
    return port


PORTS = {guest: open_port(guest) for guest in os.environ["GUEST_NAMES"].split()}


def receive(count, seconds):
    """-> {port: Counter of frames}; ends early with so many frames."""
    heard = collections.defaultdict(collections.Counter)
    poll = select.poll()
    by_number = {port.fileno(): name for name, port in PORTS.items()}
    for number in by_number:
        poll.register(number, select.POLLIN)
    end = time.monotonic() + seconds
    while count > 0 and (left := end - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            frame, _ = PORTS[by_number[number]].receive()
            heard[by_number[number]][frame] += 1
            count -= 1
    return heard


def exchange(port, frame, count, expected):
    """Sends it `count` times -> what came out where. Waits until `expected` have come of each, and for one too many."""
    for _ in range(count):
        PORTS[port].send(frame)
    heard = receive(expected * count, PATIENCE)
    for name, more in receive(1 << 30, SETTLE).items():
        heard[name].update(more)
    return dict(heard)


def show(heard):
    return "".join(f"\n   {port}: {times} x {frame.hex()}" for port in sorted(heard) for frame, times in heard[port].items())


def stats_at_rest():
    """`cache stats` when all that went up has been answered."""
    end = time.monotonic() + PATIENCE
    while True:
        stats = ask("cache", "stats")
        if stats["upcalls_handled"] == sum(stats["upcalls"].values()):
            return stats
        if time.monotonic() > end:
            fail(f"upcalls are left: {stats}")


def where_between(before, after):
    """-> {"kernel" or a reason: packets}"""
    answers = {reason: after["upcalls"][reason] - count for reason, count in before["upcalls"].items()}
    hits = sum(after[level] - before[level] for level in ("exact_hits", "megaflow_hits"))
    answers["kernel"] = hits - (sum(answers.values()) - answers["miss"])  # a hit may be of a flow that goes up
    return {name: count for name, count in answers.items() if count > 0}


def until_published(before):
    """A miss has been answered; its flow is in the cache."""
    end = time.monotonic() + PATIENCE
    while True:
        stats = stats_at_rest()
        if stats["upcalls"]["miss"] == before["upcalls"]["miss"] or stats["published"] > before["published"]:
            return stats
        if time.monotonic() > end:
            fail(f"no flow was published: {stats}")


def run(what, step):
    frame = wire(step.frame)
    expected = {port: collections.Counter(map(wire, out)) for port, out in step.out.items()}
    count = sum(sum(out.values()) for out in expected.values())
    before = stats_at_rest()
    for times in (1, REPEAT - 1):
        heard = exchange(step.port, frame, times, count)
        wanted = {port: collections.Counter({f: n * times for f, n in out.items()}) for port, out in expected.items()}
        if heard != wanted:
            fail(f"{what}: {frame.hex()} from {step.port}, {times} times\n-- expected:{show(wanted)}\n-- got:{show(heard)}\n"
                 + shunt("cache", "list"))
        if times == 1:
            before = until_published(before)
    answered = where_between(before, stats_at_rest())
    if step.where != "kernel" and "order" in answered:  # it would have gone up a step later, for its reason
        answered[step.where] = answered.get(step.where, 0) + answered.pop("order")
    if answered != {step.where: REPEAT - 1}:
        fail(f"{what}: {REPEAT - 1} frames were to be answered by {step.where}, but were: {answered}\n" + shunt("cache", "list"))


def counted(steps):
    """-> {cookie: (packets, bytes)}"""
    counts = {}
    for step in steps:
        for cookie in step.met:
            packets, size = counts.get(cookie, (0, 0))
            counts[cookie] = (packets + REPEAT, size + REPEAT * len(wire(step.frame)))
    return counts


def check_counters(what, steps):
    wanted = counted(steps)
    end = time.monotonic() + PATIENCE
    while True:
        rules = [rule for rule in ask("flow", "list", "br0")["rules"] if rule["cookie"] != "0x0"]
        got = {int(rule["cookie"], 0): (rule["packets"], rule["bytes"]) for rule in rules}
        if len(got) != len(rules):
            fail(f"{what}: two rules have one cookie")
        if all(counts == wanted.get(cookie, (0, 0)) for cookie, counts in got.items()) and wanted.keys() <= got.keys():
            return
        if time.monotonic() > end:
            fail(f"{what}: packets and bytes by cookie are {got}, not {wanted}")


def install(rules):
    shunt("flow", "del", "br0")
    set_rules("flow", "add", "br0", "--file", "-", text=rules)
    shunt("cache", "flush")


def spread(what, rules, port, flows, to, where, together=False):
    """Each frame comes out at one port of `to`, the same from userspace and from the kernel. They share all of these
    ports, or are `together` on one."""
    print(f"-- {what}", flush=True)
    install(rules)
    used = collections.Counter()
    for frame in map(wire, flows):
        before = stats_at_rest()
        first = exchange(port, frame, 1, 1)
        before = until_published(before)
        then = exchange(port, frame, 2, 1)
        answered = where_between(before, stats_at_rest())
        chosen = list(first)
        if len(chosen) != 1 or chosen[0] not in to or first != {chosen[0]: {frame: 1}} or then != {chosen[0]: {frame: 2}}:
            fail(f"{what}: {frame.hex()}\n-- the first:{show(first)}\n-- two more:{show(then)}")
        if answered != {where: 2}:
            fail(f"{what}: 2 frames were to be answered by {where}, but were: {answered}\n" + shunt("cache", "list"))
        used.update(chosen)
    if len(used) != (1 if together else len(to)):
        fail(f"{what}: {len(flows)} flows went to {dict(used)}, not to {'one' if together else 'all'} of {to}")


def case(what, rules, steps, before=()):
    """`before`: (port, frame), sent once the rules are there; what comes of them does not matter."""
    print(f"-- {what}", flush=True)
    install(rules)
    for port, frame in before:
        exchange(port, wire(frame), 1, 0)
    for step in steps:
        run(what, step)
    check_counters(what, steps)
