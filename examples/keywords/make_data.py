#!/usr/bin/env python3
"""Has espeak-ng say the ten digits in many voices, and writes what examples/keywords learns from.

    make_data.py FOLDER [--seed 1] [--voices 40]

gives train.npz and valid.npz with `sound` f32[N, 9216] (11,025 samples a second, between -1 and 1) and `word` i64[N]. Every fifth voice is in
valid.npz alone. Needs espeak-ng (Debian: apt install espeak-ng) and nothing else but Python.
"""
import argparse
import array
import io
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import wave
import zipfile

SAMPLES = 9216
WORDS = "zero one two three four five six seven eight nine".split()
ACCENTS = "en-gb en-us en-gb-scotland en-gb-x-gbclan en-gb-x-rp en-gb-x-gbcwmd en-029 en-us-nyc".split()
# Of the variants that espeak-ng brings, those that are people.
VOICES = ("m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 Alex Alicia Andrea Andy Annie Denis Diogo Gene Hugo Jacky Lee Marco Mario Michael Mike "
          "Nguyen adam anika antonio belinda benjamin boris caleb david ed edward linda").split()


def say(word, accent, voice, speed, pitch):
    """Samples between -1 and 1, without the silence around them."""
    command = ["espeak-ng", "-v", f"{accent}+{voice}", "-s", str(speed), "-p", str(pitch), "--stdout", word]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(data)) as file:
        # The length in a header that is written to a pipe is not known: what follows it is all there is.
        samples = array.array("h", data[44 : 44 + (len(data) - 44) // 2 * 2])
        assert file.getframerate() == 22050 and file.getnchannels() == 1 and file.getsampwidth() == 2
    halved = [(samples[i] + samples[i + 1]) / 65536 for i in range(0, len(samples) - 1, 2)]
    loud = [i for i, x in enumerate(halved) if abs(x) > 0.01] or [0]
    return halved[loud[0] : loud[-1] + 1]


def placed(sound, rng):
    """The sound somewhere in `SAMPLES`, with a little noise."""
    sound = sound[:SAMPLES]
    start = rng.randint(0, SAMPLES - len(sound))
    result = [rng.gauss(0, 0.002) for _ in range(SAMPLES)]
    for i, x in enumerate(sound, start):
        result[i] += x
    return result


def npy(values, shape, letter):
    """Values in row-major order as the bytes of an .npy file."""
    descr = {"f": "<f4", "q": "<i8"}[letter]
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + array.array(letter, values).tobytes()


def write(path, rows):
    with zipfile.ZipFile(path, "w") as archive:  # stored as it is, so that the program can map it
        sounds = [x for sound, _ in rows for x in sound]
        archive.writestr(zipfile.ZipInfo("sound.npy"), npy(sounds, (len(rows), SAMPLES), "f"))
        archive.writestr(zipfile.ZipInfo("word.npy"), npy([word for _, word in rows], (len(rows),), "q"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--voices", type=int, default=len(VOICES))
    options = parser.parse_args()
    if not shutil.which("espeak-ng"):
        sys.exit("make_data.py: there is no espeak-ng (Debian: apt install espeak-ng)")
    rng = random.Random(options.seed)
    train, valid = [], []
    for number, voice in enumerate(VOICES[: options.voices]):
        for accent in ACCENTS:
            for index, word in enumerate(WORDS):
                sound = say(word, accent, voice, rng.randint(120, 190), rng.randint(30, 70))
                (valid if number % 5 == 4 else train).append((placed(sound, rng), index))
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder / "train.npz", train)
    write(options.folder / "valid.npz", valid)
    print(f"{len(train)} words to learn from, {len(valid)} of voices held out")


if __name__ == "__main__":
    main()
