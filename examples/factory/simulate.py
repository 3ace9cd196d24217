"""A small factory: machines that heat up, wear, stop, and sometimes send rubbish.

    python3 examples/factory/simulate.py --seconds 10 | build/release/sluice pub --topic-lines -q 1

Each line on standard output is a topic, a space and a payload. With --seed the same factory plays the same day; the
last line on standard error says what was sent, for whoever wants to compare.
"""
import argparse
import json
import math
import random
import sys
import time

KINDS = {  # asset: temperature it runs at, vibration, pressure
    "press": (74.0, 0.32, 4.4), "mill": (66.0, 0.45, 4.1), "robot": (51.0, 0.12, 5.0), "oven": (83.0, 0.08, 3.9)}
SITES = [("graz", "hall-1"), ("graz", "hall-2"), ("linz", "hall-1")]
RUBBISH = ['{"deviceId": "%s", "measurements": {"temp', "ERR 0x17 sensor bus", '{"ts": }', ""]


class Machine:
    def __init__(self, rng, topic, kind, name):
        self.rng, self.topic, self.name = rng, topic, name
        self.normal_t, self.normal_v, self.normal_p = KINDS[kind]
        self.seq, self.heat, self.status = 0, rng.uniform(-6, 4), "running"
        self.phase = rng.uniform(0, 2 * math.pi)

    def step(self, now_ms):
        """The next payload, as a dictionary."""
        rng = self.rng
        self.seq += 1
        if rng.random() < 0.01:
            self.status = "idle" if self.status == "running" else "running"
        drift = 0.15 if self.status == "running" else -0.8
        self.heat = max(-25.0, min(18.0, self.heat + drift + rng.gauss(0, 0.7)))
        wave = math.sin(self.seq / 9 + self.phase)
        shake = self.normal_v * (1 + 0.25 * wave) * (1 if self.status == "running" else 0.1)
        spike = rng.uniform(0.5, 1.2) if rng.random() < 0.01 else 0.0
        temperature = self.normal_t + self.heat
        return {
            "ts": now_ms, "deviceId": self.name, "seq": self.seq, "status": self.status,
            "measurements": {
                "temperature": round(temperature, 2),
                "vibration": {"x": round(shake * 0.4, 3), "y": round(shake * 0.35, 3), "z": round(shake + spike, 3)},
                "pressure": round(self.normal_p + 0.5 * wave + rng.gauss(0, 0.15), 2)},
            "alarms": [a for a, on in (("overheat", temperature > 90), ("shock", spike > 0)) if on]}


def machines(rng):
    found, number = [], 0
    for site, building in SITES:
        for line in ("line-1", "line-2"):
            for kind in KINDS:
                number += 1
                name = f"{kind}-{number:02d}"
                found.append(Machine(rng, f"factory/{site}/{building}/{line}/{name}/telemetry", kind, name))
    return found


def play(seconds, rate, seed, out):
    """Writes the lines at the rate; returns how many were sent, and how many of them were rubbish."""
    rng = random.Random(seed)
    park = machines(rng)
    began, sent, rubbish = time.monotonic(), 0, 0
    total = int(seconds * rate)
    while sent < total:
        due = min(total, int((time.monotonic() - began) * rate) + 1)
        for _ in range(sent, due):
            machine = park[sent % len(park)]
            payload = machine.step(int(time.time() * 1000))
            text = json.dumps(payload)
            if rng.random() < 0.004:
                text = rng.choice(RUBBISH)
                text = text % machine.name if "%s" in text else text
                rubbish += 1
            out.write(f"{machine.topic} {text}\n")
            sent += 1
        out.flush()
        time.sleep(0.02)
    return sent, rubbish


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--seconds", type=float, default=10)
    args.add_argument("--rate", type=float, default=2000, help="messages a second of all machines together")
    args.add_argument("--seed", type=int, default=None)
    args = args.parse_args()
    try:
        sent, rubbish = play(args.seconds, args.rate, args.seed, sys.stdout)
    except BrokenPipeError:
        sys.exit("simulate.py: whoever read the messages went away")
    print(json.dumps({"sent": sent, "rubbish": rubbish}), file=sys.stderr)


if __name__ == "__main__":
    main()
