/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_elf.c: an object file that may be anything: which libraries does it name?
 */
#include "fuzz.h"

#include <sys/mman.h>

#include "pm_watch.h"

static int fd;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fd = memfd_create("elf", 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pm_elf elf;

    fuzz_expect(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size, "written");
    if (pm_elf_read(&elf, fd) == APR_SUCCESS) {
        fuzz_expect(elf.count <= PM_ELF_NEEDED, "so many are kept");
        fuzz_expect(memchr(elf.soname, '\0', sizeof(elf.soname)) != NULL, "names end");
        for (uint32_t i = 0; i < elf.count; i++) {
            fuzz_expect(elf.needed[i][0] != '\0' &&
                            memchr(elf.needed[i], '\0', PM_ELF_NAME) != NULL,
                        "names are there, and end");
        }
    }
    return 0;
}
