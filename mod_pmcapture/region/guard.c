/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * guard.c: a live region that somebody truncates ends no process.
 *
 * The kernel sends SIGBUS to whoever touches a page of a mapping that its file no longer has. For a page of a live
 * region the handler puts an empty one in its place, of this process's own: what is counted there is lost, which the
 * recorder says (pm_live_verify), and the next reload makes a new region. Every other SIGBUS goes to the handler that
 * was there before, as if this one were not.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pm_guard.h"

static struct sigaction former;
static uintptr_t page_size;
static const pm_live *volatile guarded[PM_GUARDED]; /* NULL = free */

static int holds(const pm_live *live, uintptr_t at)
{
    uintptr_t base = (uintptr_t)live->header;

    return base != 0 && at >= base && at - base < live->size;
}

static const pm_live *region_of(uintptr_t at)
{
    for (uint32_t i = 0; i < PM_GUARDED; i++) {
        const pm_live *live = guarded[i];

        if (live != NULL && holds(live, at)) {
            return live;
        }
    }
    return NULL;
}

/** That page alone: another one may still be shared. */
static int replace_page(uintptr_t at)
{
    const pm_live *live = region_of(at);

    return live != NULL && mmap((void *)(at & ~(page_size - 1)), page_size,
                                PROT_READ | (live->readonly ? 0 : PROT_WRITE),
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
    int saved = errno;

    (void)context;
    if (info->si_code != BUS_ADRERR || !replace_page((uintptr_t)info->si_addr)) {
        sigaction(SIGBUS, &former, NULL);
        /* A fault happens again when this returns. A signal that somebody sent does not, so it is sent again, word for
         * word; it is blocked until this returns. */
        if (info->si_code <= 0) {
            syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), sig, info);
        }
    }
    errno = saved;
}

static int is_installed(struct sigaction *now)
{
    return sigaction(SIGBUS, NULL, now) == 0 && (now->sa_flags & SA_SIGINFO) &&
           now->sa_sigaction == on_bus_error;
}

void pm_guard_add(const pm_live *live)
{
    pm_guard_forget(live);
    for (uint32_t i = 0; i < PM_GUARDED; i++) {
        if (guarded[i] == NULL) {
            guarded[i] = live;
            return;
        }
    }
}

void pm_guard_forget(const pm_live *live)
{
    for (uint32_t i = 0; i < PM_GUARDED; i++) {
        if (guarded[i] == live) {
            guarded[i] = NULL;
        }
    }
}

void pm_guard_install(void)
{
    struct sigaction now, own = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART};

    if (is_installed(&now)) {
        return;
    }
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    former = now; /* before it can be asked for */
    sigemptyset(&own.sa_mask);
    sigaction(SIGBUS, &own, NULL);
}

void pm_guard_remove(void)
{
    struct sigaction now;

    if (is_installed(&now)) {
        sigaction(SIGBUS, &former, NULL);
    }
    for (uint32_t i = 0; i < PM_GUARDED; i++) {
        guarded[i] = NULL;
    }
}
