/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * prober_thread.c: how the prober's threads are started.
 */
#include <pthread.h>
#include <signal.h>

#include "prober.h"

#define STACK_SIZE (512 * 1024)

int pm_prober_thread(void *(*run_on)(void *unused))
{
    pthread_attr_t how;
    pthread_t thread;
    sigset_t all, was;
    int error;

    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK_SIZE);
    pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    /* Signals are the tick's, but for that of a page which the live region has no more. */
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    error = pthread_create(&thread, &how, run_on, NULL);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    pthread_attr_destroy(&how);
    return error == 0;
}
