/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the user ends a command that reads images (see blocks.h). */
#include "blocks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* The signal that came, 0 before. */
static atomic_int stop_signal;

/* SIGHUP is left alone where the caller had us ignore it (nohup). */
static sigset_t stopping_set(void)
{
    struct sigaction hangup;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    return set;
}

/* The first signal is noted; from then on this thread lets them kill. */
static void *watch(void *unused)
{
    sigset_t awaited = stopping_set();
    int number = 0;

    if (sigwait(&awaited, &number) != 0)
        return unused;
    stop_signal = number;
    signal(SIGINT, SIG_DFL); /* shells have what they start with "&" ignore it */
    pthread_sigmask(SIG_UNBLOCK, &awaited, NULL);
    for (;;)
        pause();
}

int blocks_stop_watch(struct error *err)
{
    sigset_t blocked = stopping_set();
    pthread_attr_t attributes;
    pthread_t watcher;
    int result;

    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    result = pthread_attr_init(&attributes);
    if (result == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        result = pthread_create(&watcher, &attributes, watch, NULL);
        pthread_attr_destroy(&attributes);
    }
    if (result == 0)
        return 0;
    pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
    return error_set(err, -result, "cannot start a thread: %s", strerror(result));
}

bool blocks_stopped(void *unused)
{
    (void)unused;
    return stop_signal != 0;
}

int blocks_stop_exit(const char *command)
{
    int number = stop_signal;
    sigset_t set;

    if (number != 0) {
        /* What was printed by then is not lost. */
        fflush(stdout);
        sigemptyset(&set);
        sigaddset(&set, number);
        signal(number, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        raise(number);
    }
    return command_error(command, "interrupted");
}
