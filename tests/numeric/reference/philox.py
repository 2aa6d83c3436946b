"""Philox 4x32-10 in whole numbers (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011)."""
import torch

WORD = 0xFFFFFFFF


def philox(key, counter):
    """The four words of a block; `key` are two words, `counter` four."""
    k, c = list(key), list(counter)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [second >> 32 ^ c[1] ^ k[0], second & WORD, first >> 32 ^ c[3] ^ k[1], first & WORD]
        k = [(k[0] + 0x9E3779B9) & WORD, (k[1] + 0xBB67AE85) & WORD]
    return c


# The known answers that its authors publish (Random123, kat_vectors).
assert philox([0] * 2, [0] * 4) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
assert philox([WORD] * 2, [WORD] * 4) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
assert philox([0xA4093822, 0x299F31D0], [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def random_bits(seed, counters):
    """The first word for each counter."""
    words = lambda x: [x & WORD, x >> 32 & WORD]
    bits = [philox(words(seed), words(c) + [0, 0])[0] for c in counters.flatten().tolist()]
    return torch.tensor(bits).reshape(counters.shape)


def kept(seed, shape, rate):
    """Which elements dropout leaves."""
    numbers = random_bits(seed, torch.arange(torch.Size(shape).numel()).reshape(shape)) // 256
    return numbers.double() * 2**-24 >= rate
