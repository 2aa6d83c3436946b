/* Philox 4x32-10, the generator of `random_bits`, of initialisers and of shuffles: J. Salmon, M. Moraes, R. Dror, D.
 * Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011). The compiler, the runtime and hosts that want the same
 * numbers use this one definition. */
#ifndef FOVEA_PHILOX_H
#define FOVEA_PHILOX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FOVEA_PHILOX_ROUNDS = 10 };

/* The products' factors of words 0 and 2, and what each round adds to the key. */
static const uint32_t fovea_philox_factors[2] = {0xD2511F53u, 0xCD9E8D57u},
                      fovea_philox_steps[2] = {0x9E3779B9u, 0xBB67AE85u};

/* The four words of block `counter` under `key`. Pure. */
static inline void fovea_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]) {
  uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < FOVEA_PHILOX_ROUNDS; ++round) {
    uint64_t a = (uint64_t)fovea_philox_factors[0] * x0, b = (uint64_t)fovea_philox_factors[1] * x2;
    x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
    x1 = (uint32_t)b;
    x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
    x3 = (uint32_t)a;
    k0 += fovea_philox_steps[0];
    k1 += fovea_philox_steps[1];
  }
  words[0] = x0, words[1] = x1, words[2] = x2, words[3] = x3;
}

#ifdef __cplusplus
}
#endif
#endif
