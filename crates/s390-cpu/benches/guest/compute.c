/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the CPU's speed is measured with: prime numbers, a checksum, sorting.
 * A program without a C library that needs nothing of an operating system but
 * its arguments and an end, so that it runs on the bare CPU as well.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

#define LIMIT	65536
#define NUMBERS	600

static u8 composite[LIMIT];
static u32 table[256];
static u32 numbers[NUMBERS];

/* The number of primes below LIMIT. */
static __attribute__((noinline)) u32 sieve(void)
{
	u32 primes = 0;

	for (u32 i = 0; i < LIMIT; i++)
		composite[i] = 0;
	for (u32 i = 2; i < LIMIT; i++) {
		if (composite[i])
			continue;
		primes++;
		for (u32 multiple = 2 * i; multiple < LIMIT; multiple += i)
			composite[multiple] = 1;
	}
	return primes;
}

/* CRC-32 of what the sieve left. */
static __attribute__((noinline)) u32 checksum(void)
{
	u32 crc = ~0u;

	for (u32 byte = 0; byte < 256; byte++) {
		u32 v = byte;

		for (int bit = 0; bit < 8; bit++)
			v = v & 1 ? v >> 1 ^ 0xedb88320 : v >> 1;
		table[byte] = v;
	}
	for (u32 i = 0; i < LIMIT; i++)
		crc = crc >> 8 ^ table[(crc ^ composite[i]) & 0xff];
	return ~crc;
}

/* Sorts pseudo-random numbers by insertion and hashes the order. */
static __attribute__((noinline)) u32 sort(u32 seed)
{
	u32 hash = 0;

	for (int i = 0; i < NUMBERS; i++) {
		int at = i;

		seed = seed * 1664525 + 1013904223;
		for (; at > 0 && numbers[at - 1] > seed; at--)
			numbers[at] = numbers[at - 1];
		numbers[at] = seed;
	}
	for (int i = 0; i < NUMBERS; i++)
		hash = hash * 31 + numbers[i];
	return hash;
}

/* Does it all as often as the first argument says; returns a hash of all results. */
u64 compute(int count, char **arguments)
{
	u64 rounds = 0, result = 0;

	for (const char *digit = count > 1 ? arguments[1] : ""; *digit; digit++)
		rounds = rounds * 10 + (*digit - '0');
	while (rounds--) {
		result = result * 3 + sieve();
		result = result * 3 + checksum();
		result = result * 3 + sort(result);
	}
	return result;
}
