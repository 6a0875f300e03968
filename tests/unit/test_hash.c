/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_hash.c: a struct that is hashed right after it was written has the sum of its bytes, by every compiler.
 *
 * Each function below writes members and hashes them, as the capture file's code does: a compiler that takes the
 * hash's reads for those of another type is free to read first. The sums are libxxhash's own over the same bytes.
 * Each integer has the same bytes in both byte orders.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "pm_hash.h"

/* Else the compiler works the sums out itself, and the order of reading and writing is not tested. */
#ifdef __clang__
#define OUT_OF_LINE __attribute__((noinline))
#else
#define OUT_OF_LINE __attribute__((noinline, noclone))
#endif

typedef struct sizes {
    uint32_t seconds, minutes, events, incidents, samples, pad;
} sizes;

typedef struct header {
    char magic[8];
    uint32_t order, version;
    uint64_t abi;
    uint8_t id[16];
    uint64_t created;
    sizes keep;
    uint64_t size;
    uint32_t state, pad;
    uint64_t reserved[3];
    uint64_t check;
} header;
_Static_assert(offsetof(header, check) == 112, "test_hash: the sums are of 112 bytes");

typedef struct head {
    uint64_t check;
    uint32_t magic, length;
    uint64_t seq;
} head;
_Static_assert(sizeof(head) == 24, "test_hash: the sums are of 16 bytes and more");

static uint32_t four(uint32_t byte)
{
    return byte * 0x01010101u;
}

static uint64_t eight(uint32_t byte)
{
    return byte * 0x0101010101010101ull;
}

static OUT_OF_LINE void seal_header(header *h, const sizes *keep, const uint8_t id[16],
                                    uint32_t state)
{
    memset(h, 0, sizeof(*h));
    memcpy(h->magic, "PMHASHED", sizeof(h->magic));
    h->order = four(1);
    h->version = four(2);
    h->abi = eight(3);
    memcpy(h->id, id, sizeof(h->id));
    h->created = eight(4);
    h->keep = *keep;
    h->size = eight(keep->seconds & 0xff);
    h->state = state;
    h->check = XXH3_64bits(h, offsetof(header, check));
}

static void a_header_has_the_sum_of_its_bytes(void **state)
{
    const sizes keep = {four(5), four(6), four(7), four(8), four(9), 0};
    header h;

    (void)state;
    seal_header(&h, &keep, (const uint8_t *)"0123456789abcdef", four(10));
    assert_true(h.check == 0xc99355df1ae8d682ull);
}

/** A record's head stands before what it describes, and is summed together with it. */
static OUT_OF_LINE void seal_record(void *record, uint32_t magic, size_t length, uint64_t seq,
                                    uint64_t seed)
{
    head h = {.magic = magic, .length = (uint32_t)(length * 0x01010101u), .seq = seq};

    memcpy(record, &h, sizeof(h));
    h.check = XXH3_64bits_withSeed((const char *)record + sizeof(uint64_t),
                                   sizeof(h) - sizeof(uint64_t) + length, seed);
    memcpy(record, &h, sizeof(h));
}

/** XXH3 has code of its own for up to 16 bytes, up to 128, up to 240, and all beyond. */
static void a_record_of_every_length_has_the_sum_of_its_bytes(void **state)
{
    static const struct {
        size_t length;
        uint64_t sum;
    } records[] = {{0, 0xabee90cb5145c48bull},
                   {8, 0xaa1f46f577c2aa90ull},
                   {112, 0x14eb856c7ed025f4ull},
                   {224, 0xf076b06f8cc42276ull},
                   {240, 0x521192009b3a7b37ull}};
    struct {
        head head;
        uint32_t words[60];
    } record;

    (void)state;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        for (uint32_t n = 0; n < 60; n++) {
            record.words[n] = four(n + 1);
        }
        seal_record(&record, four(11), records[i].length, eight(12), 13);
        assert_true(record.head.check == records[i].sum);
    }
}

static OUT_OF_LINE uint64_t sum_of_shorts(uint16_t from)
{
    uint16_t shorts[36];

    for (uint16_t i = 0; i < 36; i++) {
        shorts[i] = (uint16_t)((from + i) * 0x0101u);
    }
    return XXH3_64bits(shorts, sizeof(shorts));
}

static OUT_OF_LINE uint64_t sum_of_two(uint32_t first, uint32_t second)
{
    const uint32_t pair[] = {four(first), four(second)};

    return XXH3_64bits(pair, sizeof(pair));
}

static void arrays_of_small_numbers_have_the_sum_of_their_bytes(void **state)
{
    (void)state;
    assert_true(sum_of_two(14, 15) == 0x69213647d9272863ull);
    assert_true(sum_of_shorts(16) == 0x23121fbb602cb6c2ull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_has_the_sum_of_its_bytes),
        cmocka_unit_test(a_record_of_every_length_has_the_sum_of_its_bytes),
        cmocka_unit_test(arrays_of_small_numbers_have_the_sum_of_their_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
