#!/usr/bin/env python3
"""Writes the pairs that examples/translate learns from: dates and numbers as three languages write them, and their ISO form.

    make_data.py FOLDER [--train 40000] [--valid 2000] [--seed 1]

gives train.npz and valid.npz with `source` i64[N, 48] and `target` i64[N, 14]: bytes of UTF-8; 0 fills, 1 starts and 2 ends a target. No
ISO form of valid.npz occurs in train.npz. Needs nothing but Python.
"""
import argparse
import datetime
import pathlib
import random
import struct
import zipfile

SOURCE, TARGET = 48, 14
BEGIN, END = 1, 2

MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
}


def english(n):
    small = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
             "nineteen").split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
    if n < 20:
        return small[n]
    if n < 100:
        return tens[n // 10 - 2] + (f"-{small[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{small[n // 100]} hundred" + (f" and {english(n % 100)}" if n % 100 else "")
    rest = n % 1000
    return f"{small[n // 1000]} thousand" + (f" {'and ' if rest < 100 else ''}{english(rest)}" if rest else "")


def german(n):
    small = "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn".split()
    tens = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
    if n < 20:
        return small[n] + ("s" if n == 1 else "")
    if n < 100:
        return (f"{small[n % 10]}und" if n % 10 else "") + tens[n // 10 - 2]
    name, unit = ("hundert", 100) if n < 1000 else ("tausend", 1000)
    return small[n // unit] + name + (german(n % unit) if n % unit else "")


def french(n):
    small = ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
             "dix-neuf").split()
    tens = {2: "vingt", 3: "trente", 4: "quarante", 5: "cinquante", 6: "soixante"}
    if n < 20:
        return small[n]
    if n < 70:
        unit = n % 10
        return tens[n // 10] + ("" if unit == 0 else " et un" if unit == 1 else f"-{small[unit]}")
    if n < 80:
        return "soixante et onze" if n == 71 else f"soixante-{small[n - 60]}"
    if n < 100:
        return "quatre-vingts" if n == 80 else f"quatre-vingt-{small[n - 80]}"
    if n >= 1000:
        thousands = "mille" if n < 2000 else f"{small[n // 1000]} mille"
        return thousands + (f" {french(n % 1000)}" if n % 1000 else "")
    hundreds = "cent" if n < 200 else f"{small[n // 100]} cent" + ("" if n % 100 else "s")
    return hundreds + (f" {french(n % 100)}" if n % 100 else "")


def ordinal(day):
    return f"{day}{'th' if 10 < day < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def grouped(n, separator):
    return f"{n:,}".replace(",", separator)


def date(rng):
    """Year, month, day."""
    day = datetime.date(1900, 1, 1) + datetime.timedelta(rng.randrange(200 * 365))
    return day.year, day.month, day.day


def iso(day):
    return "%04d-%02d-%02d" % day


def amount(rng):
    """Whole part and hundredths."""
    return rng.randint(0, 10 ** rng.randint(1, 6)), rng.randint(0, 99)


# Ten formats: each makes the text and its ISO form.
FORMATS = [
    lambda r: (lambda d: (f"{MONTHS['en'][d[1] - 1]} {d[2]}, {d[0]}", iso(d)))(date(r)),
    lambda r: (lambda d: (f"{ordinal(d[2])} of {MONTHS['en'][d[1] - 1]} {d[0]}", iso(d)))(date(r)),
    lambda r: (lambda n: (english(n), str(n)))(r.randint(0, 9999)),
    lambda r: (lambda a: (f"{grouped(a[0], ',')}.{a[1]:02}", f"{a[0]}.{a[1]:02}"))(amount(r)),
    lambda r: (lambda d: (f"{d[2]}. {MONTHS['de'][d[1] - 1]} {d[0]}", iso(d)))(date(r)),
    lambda r: (lambda d: (f"{d[2]:02}.{d[1]:02}.{d[0]}", iso(d)))(date(r)),
    lambda r: (lambda n: (german(n), str(n)))(r.randint(0, 9999)),
    lambda r: (lambda a: (f"{grouped(a[0], '.')},{a[1]:02}", f"{a[0]}.{a[1]:02}"))(amount(r)),
    lambda r: (lambda d: (f"le {'1er' if d[2] == 1 else d[2]} {MONTHS['fr'][d[1] - 1]} {d[0]}", iso(d)))(date(r)),
    lambda r: (lambda n: (french(n), str(n)))(r.randint(0, 9999)),
]


def npy(rows):
    """Whole numbers [rows, columns] as the bytes of an .npy file."""
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    flat = [x for row in rows for x in row]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(flat)}q", *flat)


def write(path, pairs):
    fill = lambda codes, size: codes + [0] * (size - len(codes))
    sources = [fill(list(text.encode()), SOURCE) for text, _ in pairs]
    targets = [fill([BEGIN, *form.encode(), END], TARGET) for _, form in pairs]
    with zipfile.ZipFile(path, "w") as archive:  # stored as it is, so that the program can map it
        for name, rows in (("source", sources), ("target", targets)):
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--train", type=int, default=40000)
    parser.add_argument("--valid", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    # A form belongs to one of the two files, however it is written.
    held_out = lambda form: random.Random(f"held out {form}").random() < 0.1
    train, valid = [], []
    while len(train) < options.train or len(valid) < options.valid:
        text, form = FORMATS[rng.randrange(len(FORMATS))](rng)
        pairs, limit = (valid, options.valid) if held_out(form) else (train, options.train)
        if len(pairs) < limit:
            pairs.append((text, form))
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder / "train.npz", train)
    write(options.folder / "valid.npz", valid)
    print(f"{len(train)} pairs to learn from, {len(valid)} held out")


if __name__ == "__main__":
    main()
