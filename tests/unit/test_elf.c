/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_elf.c: which libraries an object names, read from files that may hold anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pm_watch.h"
#include "splitmix.h"

#define BASE 0x10000u /* where the file is mapped: addresses are no offsets */
#define DYNAMIC_ROOM 80

/* A shared object with nothing but what is read of it. */
typedef struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segment[3];
    Elf64_Dyn dynamic[DYNAMIC_ROOM];
    char strings[1024];
} image;

static const char strings[] = "\0libc.so.6\0libcrypto.so.3\0mod_x.so\0";
enum { LIBC = 1, LIBCRYPTO = 11, MOD_X = 26 };

static image sound(void)
{
    image im = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_DYN,
                   .e_phoff = offsetof(image, segment),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 3},
        .segment = {{.p_type = PT_NOTE, .p_offset = 8, .p_vaddr = BASE, .p_filesz = sizeof(image)},
                    {.p_type = PT_LOAD, .p_vaddr = BASE, .p_filesz = sizeof(image)},
                    {.p_type = PT_DYNAMIC,
                     .p_offset = offsetof(image, dynamic),
                     .p_filesz = sizeof(im.dynamic)}},
        .dynamic = {{DT_NEEDED, {LIBCRYPTO}},
                    {DT_SONAME, {MOD_X}},
                    {DT_STRTAB, {BASE + offsetof(image, strings)}},
                    {DT_STRSZ, {sizeof(strings)}},
                    {DT_NEEDED, {LIBC}},
                    {DT_NULL, {0}},
                    {DT_NEEDED, {LIBC}}}};

    memcpy(im.strings, strings, sizeof(strings));
    return im;
}

static apr_status_t read_bytes(const void *bytes, size_t size, pm_elf *out)
{
    int fd = memfd_create("image", MFD_CLOEXEC);
    apr_status_t rv;

    assert_true(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    memset(out, 0xa5, sizeof(*out));
    rv = pm_elf_read(out, fd);
    close(fd);
    return rv;
}

/* Whatever it was read from: every name ends, and none is empty. */
static void assert_clean(const pm_elf *e)
{
    assert_true(e->count <= PM_ELF_NEEDED);
    assert_non_null(memchr(e->soname, '\0', sizeof(e->soname)));
    for (uint32_t i = 0; i < e->count; i++) {
        assert_non_null(memchr(e->needed[i], '\0', sizeof(e->needed[i])));
        assert_true(e->needed[i][0] != '\0');
    }
}

static void names_come_in_their_order_up_to_the_end_of_the_list(void **state)
{
    image im = sound();
    pm_elf e;

    (void)state;
    assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_SUCCESS);
    assert_int_equal(e.count, 2);
    assert_string_equal(e.needed[0], "libcrypto.so.3");
    assert_string_equal(e.needed[1], "libc.so.6");
    assert_string_equal(e.soname, "mod_x.so");
}

static void this_program_names_the_libraries_that_it_was_linked_with(void **state)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), cmocka = 0;
    pm_elf e;

    (void)state;
    assert_int_equal(pm_elf_read(&e, fd), APR_SUCCESS);
    close(fd);
    for (uint32_t i = 0; i < e.count; i++) {
        cmocka |= strncmp(e.needed[i], "libcmocka.so", 12) == 0;
    }
    assert_true(cmocka);
    assert_string_equal(e.soname, "");
}

static void what_is_no_such_file_is_refused(void **state)
{
    static const struct {
        size_t at;
        unsigned char byte;
    } cases[] = {
        {0, 'x'},
        {EI_CLASS, ELFCLASS32},
        {EI_DATA, ELFDATA2MSB},
        {offsetof(Elf64_Ehdr, e_phentsize), 32},
        {offsetof(Elf64_Ehdr, e_phnum), 0},
        {offsetof(Elf64_Ehdr, e_phnum) + 1, 0xff},
        {offsetof(Elf64_Ehdr, e_phoff) + 7, 0xff},
        {offsetof(Elf64_Ehdr, e_phoff) + 7, 0x7f},
        {offsetof(image, segment) + 2 * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, p_type), 0},
        {offsetof(image, segment) + 2 * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, p_offset) + 7,
         0xff}};
    pm_elf e;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        image im = sound();

        ((unsigned char *)&im)[cases[i].at] = cases[i].byte;
        assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_EINVAL);
        assert_int_equal(e.count, 0);
    }
    assert_int_equal(read_bytes("", 0, &e), APR_EINVAL);
    assert_int_equal(pm_elf_read(&e, -1), APR_EINVAL);
}

static void program_without_libraries_needs_none(void **state)
{
    image im = sound();
    pm_elf e;

    (void)state;
    memset(im.dynamic, 0, sizeof(im.dynamic));
    assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_SUCCESS);
    assert_int_equal(e.count, 0);
}

static void names_beyond_their_table_are_left_out(void **state)
{
    image im = sound();
    pm_elf e;

    (void)state;
    im.dynamic[0].d_un.d_val = sizeof(strings) + 1;
    im.dynamic[4].d_un.d_val = UINT64_MAX - 1;
    strcpy(im.strings + sizeof(strings), " beyond");
    assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_SUCCESS);
    assert_int_equal(e.count, 0);
    assert_string_equal(e.soname, "mod_x.so");
    im = sound();
    im.dynamic[3].d_un.d_val = LIBCRYPTO + 3; /* the table ends within the name */
    assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_SUCCESS);
    assert_int_equal(e.count, 1);
    assert_string_equal(e.needed[0], "libc.so.6");
    im = sound();
    im.dynamic[2].d_un.d_ptr = BASE + sizeof(image); /* a table that no segment holds */
    assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_EINVAL);
    im.dynamic[2].d_un.d_ptr = BASE - 1;
    assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_EINVAL);
}

static void longer_names_and_more_entries_than_there_is_room_for_are_left_out(void **state)
{
    image im = sound();
    pm_elf e;

    (void)state;
    im.dynamic[3].d_un.d_val = sizeof(im.strings);
    memset(im.strings + 100, 'a', PM_ELF_NAME);
    memset(im.strings + 300, 'b', PM_ELF_NAME - 1);
    im.dynamic[0].d_un.d_val = 100;
    im.dynamic[4].d_un.d_val = 300;
    assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_SUCCESS);
    assert_int_equal(e.count, 1);
    assert_int_equal(strlen(e.needed[0]), PM_ELF_NAME - 1);
    for (int i = 5; i < DYNAMIC_ROOM; i++) { /* and the list has no end of its own */
        im.dynamic[i] = (Elf64_Dyn){DT_NEEDED, {LIBC}};
    }
    assert_int_equal(read_bytes(&im, sizeof(im), &e), APR_SUCCESS);
    assert_int_equal(e.count, PM_ELF_NEEDED - 1);
    assert_clean(&e);
}

static void more_of_anything_than_an_object_has_is_not_read(void **state)
{
    static struct {
        image im;
        Elf64_Dyn dynamic[5000];
    } big;
    pm_elf e;

    (void)state;
    big.im = sound();
    big.im.header.e_phnum = 200;
    assert_int_equal(read_bytes(&big, sizeof(big), &e), APR_EINVAL);
    big.im = sound();
    big.im.segment[2].p_offset = offsetof(image, strings) + sizeof(big.im.strings);
    big.im.segment[2].p_filesz = sizeof(big.dynamic);
    for (size_t i = 0; i < sizeof(big.dynamic) / sizeof(big.dynamic[0]); i++) {
        big.dynamic[i].d_tag = DT_DEBUG;
    }
    memcpy(big.dynamic, big.im.dynamic, 5 * sizeof(Elf64_Dyn));
    big.dynamic[4999] = (Elf64_Dyn){DT_NEEDED, {LIBC}};
    assert_int_equal(read_bytes(&big, sizeof(big), &e), APR_SUCCESS);
    assert_int_equal(e.count, 2);
}

static void file_cut_off_anywhere_is_read_without_harm(void **state)
{
    image im = sound();
    pm_elf e;

    (void)state;
    for (size_t size = 0; size <= sizeof(im); size++) {
        if (read_bytes(&im, size, &e) == APR_SUCCESS) {
            assert_true(size >= offsetof(image, dynamic) + 6 * sizeof(Elf64_Dyn));
        }
        assert_clean(&e);
    }
}

/* Each round starts from a sound file: one to eight words of it become something else. */
static void mutated_files_are_read_without_harm(void **state)
{
    static const uint64_t nasty[] = {
        0,          1,         7,          0x7f,           0xffff, 0x7fffffff,
        0xffffffff, INT64_MAX, UINT64_MAX, UINT64_MAX - 7, BASE,   BASE + sizeof(image)};
    uint64_t seed = 4711, read = 0;
    pm_elf e;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        image im = sound();
        unsigned char *bytes = (unsigned char *)&im;
        int changes = (int)(splitmix_next(&seed) % 8) + 1;

        for (int c = 0; c < changes; c++) {
            size_t width = (size_t)1 << splitmix_next(&seed) % 4;
            size_t at = splitmix_next(&seed) % (offsetof(image, dynamic) + 8 * sizeof(Elf64_Dyn));
            uint64_t value = splitmix_next(&seed) % 3
                                 ? nasty[splitmix_next(&seed) % (sizeof(nasty) / sizeof(nasty[0]))]
                                 : splitmix_next(&seed);
            memcpy(bytes + at, &value, width);
        }
        read += read_bytes(&im, sizeof(im) - splitmix_next(&seed) % 64, &e) == APR_SUCCESS;
        assert_clean(&e);
    }
    assert_true(read > 1000); /* not all of them were stopped at the door */
}

static void random_bytes_are_refused(void **state)
{
    unsigned char bytes[4096];
    uint64_t seed = 42;
    pm_elf e;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (unsigned char)splitmix_next(&seed);
        }
        memcpy(bytes, sound().header.e_ident, EI_NIDENT); /* past the first check */
        read_bytes(bytes, sizeof(bytes), &e);
        assert_clean(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_in_their_order_up_to_the_end_of_the_list),
        cmocka_unit_test(this_program_names_the_libraries_that_it_was_linked_with),
        cmocka_unit_test(what_is_no_such_file_is_refused),
        cmocka_unit_test(program_without_libraries_needs_none),
        cmocka_unit_test(names_beyond_their_table_are_left_out),
        cmocka_unit_test(longer_names_and_more_entries_than_there_is_room_for_are_left_out),
        cmocka_unit_test(more_of_anything_than_an_object_has_is_not_read),
        cmocka_unit_test(file_cut_off_anywhere_is_read_without_harm),
        cmocka_unit_test(mutated_files_are_read_without_harm),
        cmocka_unit_test(random_bytes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
