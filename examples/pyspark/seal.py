"""Encrypts the telephone numbers of customer.csv: seal.py KEYFILE < customer.csv > sealed.csv."""

import sys

import phones

PHONE = 3

if len(sys.argv) != 2:
    sys.exit("usage: seal.py KEYFILE < customer.csv > sealed.csv")
for line in sys.stdin:
    fields = line.split("|")
    fields[PHONE] = phones.seal(sys.argv[1], int(fields[0]), fields[PHONE])
    sys.stdout.write("|".join(fields))
