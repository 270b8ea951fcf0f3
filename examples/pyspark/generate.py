"""Writes TPC-H-like tables as text, one FILE.csv for each, fields separated by "|".

generate.py DIRECTORY [SCALE]: scale 1 has six million rows of lineitem, 0.01 (the default) sixty thousand. The same scale gives the same
bytes everywhere: only random() of a seeded generator is used, whose sequence Python guarantees.
"""

import datetime
import os
import random
import sys

REGIONS = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]
NATIONS = [  # name, region
    ("ALGERIA", 0), ("ARGENTINA", 1), ("BRAZIL", 1), ("CANADA", 1), ("EGYPT", 4), ("ETHIOPIA", 0), ("FRANCE", 3), ("GERMANY", 3),
    ("INDIA", 2), ("INDONESIA", 2), ("IRAN", 4), ("IRAQ", 4), ("JAPAN", 2), ("JORDAN", 4), ("KENYA", 0), ("MOROCCO", 0),
    ("MOZAMBIQUE", 0), ("PERU", 1), ("CHINA", 2), ("ROMANIA", 3), ("SAUDI ARABIA", 4), ("VIETNAM", 2), ("RUSSIA", 3),
    ("UNITED KINGDOM", 3), ("UNITED STATES", 1)]
SEGMENTS = ["AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY"]
PRIORITIES = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"]
MODES = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]
INSTRUCTIONS = ["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]
TYPES = [["ECONOMY", "LARGE", "MEDIUM", "PROMO", "SMALL", "STANDARD"], ["ANODIZED", "BRUSHED", "BURNISHED", "PLATED", "POLISHED"],
         ["BRASS", "COPPER", "NICKEL", "STEEL", "TIN"]]
CONTAINERS = [["JUMBO", "LG", "MED", "SM", "WRAP"], ["BAG", "BOX", "CAN", "CASE", "DRUM", "JAR", "PACK", "PKG"]]
WORDS = ("accounts among bold carefully customer deposits express final foxes furiously ideas ironic packages pending quickly regular "
         "requests sleep slyly special theodolites unusual").split()

FIRST = datetime.date(1992, 1, 1)
LAST_ORDER = (datetime.date(1998, 8, 2) - FIRST).days
TODAY = (datetime.date(1995, 6, 17) - FIRST).days
DATES = [(FIRST + datetime.timedelta(i)).isoformat() for i in range(LAST_ORDER + 200)]


class Source:
    """Random choices of one table: what another table draws does not change them."""

    def __init__(self, table):
        self.random = random.Random(f"openscone-{table}").random

    def number(self, low, high):
        return low + int(self.random() * (high - low + 1))

    def one(self, of):
        return of[int(self.random() * len(of))]

    def words(self, low, high):
        return " ".join(self.one(WORDS) for _ in range(self.number(low, high)))


def money(cents):
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def price(part):
    """Cents that a part costs."""
    return 90000 + part // 10 % 20001 + 100 * (part % 1000)


def customers(count):
    s = Source("customer")
    for key in range(1, count + 1):
        nation = s.number(0, 24)
        phone = f"{nation + 10}-{s.number(100, 999)}-{s.number(100, 999)}-{s.number(1000, 9999)}"
        yield (key, f"Customer#{key:09d}", nation, phone, money(s.number(-99999, 999999)), s.one(SEGMENTS), s.words(4, 12))


def suppliers(count):
    s = Source("supplier")
    for key in range(1, count + 1):
        yield key, f"Supplier#{key:09d}", s.number(0, 24), money(s.number(-99999, 999999))


def parts(count):
    s = Source("part")
    for key in range(1, count + 1):
        yield (key, s.words(5, 5), f"Brand#{s.number(1, 5)}{s.number(1, 5)}", " ".join(s.one(t) for t in TYPES), s.number(1, 50),
               " ".join(s.one(c) for c in CONTAINERS), money(price(key)))


def orders_and_lines(orders, order_count, lines, sizes):
    """Both at once, for an order's total is the sum of its lines."""
    s = Source("orders")
    for n in range(order_count):
        key = n // 8 * 32 + n % 8 + 1  # gaps, as in TPC-H
        date, total, open_lines = s.number(0, LAST_ORDER), 0, 0
        # A third of the customers never orders.
        customer = s.number(1, sizes["customer"])
        customer -= customer % 3 == 0
        count = s.number(1, 7)
        for line in range(1, count + 1):
            part, quantity, discount, tax = s.number(1, sizes["part"]), s.number(1, 50), s.number(0, 10), s.number(0, 8)
            extended = quantity * price(part)
            shipped, due = date + s.number(1, 121), date + s.number(30, 90)
            received = shipped + s.number(1, 30)
            returned = s.one("AR") if received <= TODAY else "N"
            open_lines += shipped > TODAY
            total += extended * (100 + tax) * (100 - discount) // 10000
            write(lines, (key, part, s.number(1, sizes["supplier"]), line, quantity, money(extended), money(discount), money(tax),
                          returned, "O" if shipped > TODAY else "F", DATES[shipped], DATES[due], DATES[received], s.one(INSTRUCTIONS),
                          s.one(MODES), s.words(2, 5)))
        write(orders, (key, customer, "F" if not open_lines else "O" if open_lines == count else "P", money(total), DATES[date],
                       s.one(PRIORITIES), 0, s.words(4, 12)))


def write(file, fields):
    file.write("|".join(map(str, fields)) + "\n")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: generate.py DIRECTORY [SCALE]")
    directory, scale = sys.argv[1], float(sys.argv[2]) if len(sys.argv) == 3 else 0.01
    if not 0 < scale <= 10:
        sys.exit(f"generate: scale {scale}: above 0 and at most 10 is wanted")
    sizes = {"customer": int(150000 * scale) or 1, "supplier": int(10000 * scale) or 1, "part": int(200000 * scale) or 1}
    os.makedirs(directory, exist_ok=True)

    def table(name):
        return open(os.path.join(directory, name + ".csv"), "w", encoding="ascii", newline="\n")

    for name, rows in (("region", enumerate(REGIONS)), ("nation", ((i, *n) for i, n in enumerate(NATIONS))),
                       ("customer", customers(sizes["customer"])), ("supplier", suppliers(sizes["supplier"])),
                       ("part", parts(sizes["part"]))):
        with table(name) as f:
            for row in rows:
                write(f, row)
    with table("orders") as orders, table("lineitem") as lines:
        orders_and_lines(orders, int(1500000 * scale) or 1, lines, sizes)


main()
