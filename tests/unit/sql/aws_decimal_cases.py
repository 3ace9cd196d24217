"""Prints the cases of aws_decimal_test.c: operands and what Python's decimal module makes of them, which has no code in
common with ours.

    python3 tests/unit/sql/aws_decimal_cases.py > tests/unit/sql/aws_decimal_cases.txt
    python3 tests/unit/sql/aws_decimal_cases.py 100000 7     more of them, from another seed; the test reads any such file
"""
import random
import sys
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal

OURS = Context(prec=34, rounding=ROUND_HALF_EVEN, Emin=-999, Emax=999, traps=[])
EXACT = Context(prec=6000, Emin=-99999, Emax=99999, traps=[])
ROUNDINGS = {"down": ROUND_DOWN, "floor": ROUND_FLOOR, "ceil": ROUND_CEILING, "half_up": ROUND_HALF_UP}
EDGES = ["0", "-0", "1", "-1", "0.1", "0.2", "9223372036854775807", "-9223372036854775808", "9007199254740993",
         "0.30000000000000004", "9" * 34, "1" + "0" * 33, "5E-999", "9.99E999", "1E-34", "4.5", "2.5E2"]


def flush(number):
    """What is too small is 0."""
    return Decimal(0) if number.is_subnormal(OURS) else number


def operand(rng):
    if rng.random() < 0.15:
        return rng.choice(EDGES)
    count = rng.choice([1, 2, 3, 10, 17, 19, 20, 33, 34, 35, 38, 39, 50])
    digits = "".join(rng.choice("0123456789" if rng.random() < 0.7 else "059") for _ in range(count))
    exponent = rng.choice([0, 0, 0, -1, -5, -17, 5, rng.randint(-60, 60), rng.randint(-990, 950)])
    sign = "-" if rng.random() < 0.4 else ""
    return sign + digits + (f"E{exponent}" if exponent else "")


def result(name, x, y, text):
    if name == "add":
        return OURS.add(x, y)
    if name == "mul":
        return OURS.multiply(x, y)
    if name == "div":
        return OURS.divide(x, y) if y else None
    if name == "rem":
        return EXACT.remainder(x, y) if y else None
    if name == "cmp":
        return Decimal((x > y) - (x < y))
    return OURS.plus(x.quantize(Decimal(1).scaleb(-int(text)), rounding=ROUNDINGS[name], context=EXACT))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 34)
    print("# Made by aws_decimal_cases.py: operation, operands, result; none: out of range, or division by zero.")
    for _ in range(count):
        name = rng.choice(["add", "mul", "div", "rem", "cmp", *ROUNDINGS])
        a, b = operand(rng), operand(rng)
        if name in ROUNDINGS:
            b = str(rng.randint(-3, 36))
        x, y = (flush(OURS.create_decimal(n)) for n in (a, b))
        got = None if x.is_infinite() or y.is_infinite() else result(name, x, y, b)
        print(name, a, b, "none" if got is None or got.is_infinite() else f"{flush(got).normalize(EXACT):E}")


if __name__ == "__main__":
    main()
