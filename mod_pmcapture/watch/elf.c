/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * elf.c: which libraries an object names (DT_NEEDED), from a file that may hold anything.
 *
 * Nothing is mapped: a file that shrinks meanwhile gives a short read, not a SIGBUS in httpd's parent. An offset beyond
 * the file, or one that wraps around, is a short read, too.
 */
#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "pm_watch.h"

#define SEGMENTS_MAX 128u
#define DYNAMIC_MAX 4096u /* entries; a library has some thirty */

typedef struct image {
    int fd;
    uint32_t segments;
    Elf64_Phdr segment[SEGMENTS_MAX];
} image;

typedef struct dynamic {
    uint64_t strings, strings_size; /* address */
    uint64_t soname;
    uint64_t needed[PM_ELF_NEEDED]; /* offsets into the strings */
    uint32_t count;
    int has_soname;
} dynamic;

static int read_at(int fd, void *out, size_t size, uint64_t offset)
{
    return pread(fd, out, size, (off_t)offset) == (ssize_t)size;
}

static int read_header(image *im)
{
    Elf64_Ehdr h;
    static const unsigned char data =
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

    if (!read_at(im->fd, &h, sizeof(h), 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
        h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != data ||
        h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum > SEGMENTS_MAX) {
        return 0;
    }
    im->segments = h.e_phnum;
    return read_at(im->fd, im->segment, h.e_phnum * sizeof(Elf64_Phdr), h.e_phoff);
}

/** Where an address lies in the file, and how many bytes of its segment follow there. */
static int find_address(const image *im, uint64_t address, uint64_t *offset, uint64_t *room)
{
    for (uint32_t i = 0; i < im->segments; i++) {
        const Elf64_Phdr *p = &im->segment[i];

        /* Below p_vaddr the difference is huge. */
        if (p->p_type == PT_LOAD && address - p->p_vaddr < p->p_filesz) {
            *offset = p->p_offset + (address - p->p_vaddr);
            *room = p->p_filesz - (address - p->p_vaddr);
            return 1;
        }
    }
    return 0;
}

/** 0 at the list's end. */
static int take_entry(dynamic *d, const Elf64_Dyn *e)
{
    switch (e->d_tag) {
    case DT_NULL:
        return 0;
    case DT_NEEDED:
        if (d->count < PM_ELF_NEEDED) {
            d->needed[d->count++] = e->d_un.d_val;
        }
        break;
    case DT_SONAME:
        d->soname = e->d_un.d_val;
        d->has_soname = 1;
        break;
    case DT_STRTAB:
        d->strings = e->d_un.d_ptr;
        break;
    case DT_STRSZ:
        d->strings_size = e->d_un.d_val;
        break;
    default:
        break;
    }
    return 1;
}

static int read_dynamic(const image *im, dynamic *d)
{
    const Elf64_Phdr *p = NULL;
    Elf64_Dyn e;
    uint64_t entries;

    for (uint32_t i = 0; i < im->segments && p == NULL; i++) {
        p = im->segment[i].p_type == PT_DYNAMIC ? &im->segment[i] : NULL;
    }
    if (p == NULL) {
        return 0;
    }
    entries = p->p_filesz / sizeof(e);
    entries = entries < DYNAMIC_MAX ? entries : DYNAMIC_MAX;
    for (uint64_t i = 0; i < entries; i++) {
        if (!read_at(im->fd, &e, sizeof(e), p->p_offset + i * sizeof(e))) {
            return 0;
        }
        if (!take_entry(d, &e)) {
            break;
        }
    }
    return 1;
}

/** 0 when it is not there, empty, or longer than there is room for. */
static int read_name(int fd, uint64_t strings, uint64_t size, uint64_t at, char out[PM_ELF_NAME])
{
    ssize_t n;
    size_t most;

    if (at >= size) {
        return 0;
    }
    most = size - at < PM_ELF_NAME ? (size_t)(size - at) : PM_ELF_NAME;
    n = pread(fd, out, most, (off_t)(strings + at));
    if (n <= 0 || out[0] == '\0' || memchr(out, '\0', (size_t)n) == NULL) {
        out[0] = '\0';
        return 0;
    }
    return 1;
}

apr_status_t pm_elf_read(pm_elf *out, int fd)
{
    image im = {.fd = fd};
    dynamic d = {0};
    uint64_t strings, room;

    memset(out, 0, sizeof(*out));
    if (!read_header(&im) || !read_dynamic(&im, &d)) {
        return APR_EINVAL;
    }
    if (!find_address(&im, d.strings, &strings, &room)) {
        return d.count == 0 && !d.has_soname ? APR_SUCCESS : APR_EINVAL;
    }
    room = d.strings_size < room ? d.strings_size : room;
    for (uint32_t i = 0; i < d.count; i++) {
        out->count += (uint32_t)read_name(fd, strings, room, d.needed[i], out->needed[out->count]);
    }
    if (d.has_soname) {
        read_name(fd, strings, room, d.soname, out->soname);
    }
    return APR_SUCCESS;
}
