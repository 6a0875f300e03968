/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_record.c: bytes in and out of the capture file: sealed records, packed words.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "capture_private.h"
#include "pm_hash.h"

#define LOAD_FIRST 4096u
#define LOAD_ALWAYS 3 /* readings of what does not verify, whatever a writer does */
#define LOAD_FREE 6   /* when no writer has the lock: it may take it between a look and a reading */
#define LOAD_MOST 253 /* when one has: on a busy machine it may not run for a while */
#define PATIENCE 8    /* so many damaged records are no writer at work */

void pm_cap_read(pm_capture *c, uint64_t offset, void *into, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(c->fd, (char *)into + got, len - got, (off_t)(offset + got));
        if (n > 0) {
            got += (size_t)n;
        }
        else if (n < 0 && errno == EINTR) {
            continue;
        }
        else {
            if (n < 0) {
                c->unread += len - got;
            }
            break;
        }
    }
    memset((char *)into + got, 0, len - got);
}

apr_status_t pm_cap_write(const pm_capture *c, uint64_t offset, const void *from, size_t len)
{
    size_t put = 0;

    while (put < len) {
        ssize_t n = pwrite(c->fd, (const char *)from + put, len - put, (off_t)(offset + put));
        if (n > 0) {
            put += (size_t)n;
        }
        else if (n < 0 && errno != EINTR) {
            return errno;
        }
    }
    return APR_SUCCESS;
}

static uint64_t checksum(const pm_capture *c, uint64_t offset, const void *record, size_t length)
{
    return XXH3_64bits_withSeed((const char *)record + sizeof(uint64_t),
                                sizeof(pm_head) - sizeof(uint64_t) + length, c->seed + offset);
}

void pm_cap_seal(const pm_capture *c, uint64_t offset, void *record, uint32_t magic, size_t length,
                 uint64_t seq)
{
    pm_head head = {.magic = magic, .length = (uint32_t)length, .seq = seq};

    memcpy(record, &head, sizeof(head));
    head.check = checksum(c, offset, record, length);
    memcpy(record, &head, sizeof(head));
}

int pm_cap_sound(const pm_capture *c, uint64_t offset, const void *record, size_t room,
                 uint32_t magic)
{
    pm_head head;

    memcpy(&head, record, sizeof(head));
    return head.magic == magic && head.length <= room - sizeof(head) &&
           head.check == checksum(c, offset, record, head.length);
}

static int is_empty(const void *record)
{
    static const pm_head none;
    return memcmp(record, &none, sizeof(none)) == 0;
}

static void load_once(pm_capture *c, uint64_t offset, void *into, size_t room, size_t first)
{
    pm_head head;

    pm_cap_read(c, offset, into, first);
    memcpy(&head, into, sizeof(head));
    if (head.length <= room - sizeof(head) && sizeof(head) + head.length > first) {
        pm_cap_read(c, offset + first, (char *)into + first, sizeof(head) + head.length - first);
    }
}

int pm_cap_busy(pm_capture *c, int tries)
{
    int locked = tries >= LOAD_ALWAYS && (pm_cap_written_here(c) || pm_cap_locked(c->fd));

    if (tries >= (locked ? LOAD_MOST : LOAD_FREE) || c->failures >= PATIENCE) {
        c->failures += tries >= LOAD_ALWAYS;
        return 0;
    }
    if (locked) {
        usleep(1000);
    }
    return 1;
}

enum pm_found pm_cap_load(pm_capture *c, uint64_t offset, void *into, size_t room, uint32_t magic)
{
    return pm_cap_load_of(c, offset, into, room, magic, LOAD_FIRST);
}

enum pm_found pm_cap_load_of(pm_capture *c, uint64_t offset, void *into, size_t room,
                             uint32_t magic, size_t likely)
{
    size_t first = likely < room ? likely : room;

    first = first > sizeof(pm_head) ? first : sizeof(pm_head);
    for (int i = 0;; i++) {
        int busy = pm_cap_busy(c, i);
        load_once(c, offset, into, room, first);
        if (pm_cap_sound(c, offset, into, room, magic)) {
            return PM_SOUND;
        }
        if (is_empty(into)) {
            return PM_EMPTY;
        }
        if (!busy) {
            return PM_DAMAGED;
        }
    }
}

enum pm_found pm_cap_settle(pm_capture *c, uint64_t offset, void *record, size_t room,
                            uint32_t magic)
{
    if (is_empty(record)) {
        return PM_EMPTY;
    }
    if (pm_cap_sound(c, offset, record, room, magic)) {
        return PM_SOUND;
    }
    return pm_cap_load(c, offset, record, room, magic);
}

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t n = 0;

    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    return n;
}

static int get_varint(const uint8_t *in, size_t len, size_t *at, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 35 && *at < len; shift += 7) {
        uint8_t byte = in[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return 1;
        }
    }
    return 0;
}

/* Runs: number of zero words, number of words that follow, these words. Trailing zeros are not said. */
size_t pm_cap_pack(uint8_t *out, const void *words, size_t bytes)
{
    const uint8_t *in = words;
    size_t count = bytes / 8, used = 0, done = 0;
    static const uint8_t zero[8];

    for (;;) {
        size_t begin = done;
        while (begin < count && memcmp(in + begin * 8, zero, 8) == 0) {
            begin++;
        }
        if (begin == count) {
            return used;
        }
        size_t end = begin;
        while (end < count && memcmp(in + end * 8, zero, 8) != 0) {
            end++;
        }
        used += put_varint(out + used, begin - done);
        used += put_varint(out + used, end - begin);
        memcpy(out + used, in + begin * 8, (end - begin) * 8);
        used += (end - begin) * 8;
        done = end;
    }
}

int pm_cap_unpack(void *words, size_t bytes, const uint8_t *in, size_t len)
{
    return pm_cap_unpack_first(words, bytes, bytes, in, len);
}

int pm_cap_unpack_first(void *words, size_t wanted, size_t bytes, const uint8_t *in, size_t len)
{
    size_t count = bytes / 8, done = 0, at = 0;

    memset(words, 0, wanted);
    while (at < len) {
        uint64_t zeros, run;
        if (!get_varint(in, len, &at, &zeros) || !get_varint(in, len, &at, &run) ||
            zeros > count - done || run > count - done - zeros || run * 8 > len - at) {
            return 0;
        }
        done += zeros;
        if (done * 8 < wanted) {
            memcpy((uint8_t *)words + done * 8, in + at,
                   run * 8 < wanted - done * 8 ? run * 8 : wanted - done * 8);
        }
        done += run;
        at += run * 8;
    }
    return 1;
}

void pm_cap_note_damage(pm_capture *c, enum pm_area area, uint64_t records)
{
    /* the same damage is met again by the next reading of the same area */
    if (records > c->damage[area]) {
        c->damage[area] = records;
    }
    c->failures = 0;
}

int pm_cap_newer(pm_capture *c, uint64_t first, uint64_t second, uint32_t magic, pm_head heads[2])
{
    pm_cap_read(c, first, &heads[0], sizeof(heads[0]));
    pm_cap_read(c, second, &heads[1], sizeof(heads[1]));
    return heads[1].magic == magic && (heads[0].magic != magic || heads[1].seq > heads[0].seq);
}
