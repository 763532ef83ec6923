/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SIGINT and SIGTERM of `setmov stat` (see stat_stop.h). */
#include "stat_stop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

/* Wakes our threads; nobody is hurt when it comes from outside, it is ignored by default. */
#define WAKE SIGURG

/* The main thread is woken again and again: once could fall just before it goes to sleep. */
static const struct timespec wake_pause = {0, 20000000};

static struct {
    atomic_bool stopped, ending;
    bool watching;
    pthread_t main_thread, watcher;
    sigset_t waiting;
    struct vm_source *source;
} stop;

static sigset_t set_of(int first, int second)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, first);
    sigaddset(&set, second);
    return set;
}

static void wake(int signal_number)
{
    (void)signal_number;
}

void stat_stop_prepare(void)
{
    struct sigaction action = {.sa_handler = wake}; /* without SA_RESTART: calls end with EINTR */
    sigset_t blocked = set_of(SIGINT, SIGTERM);

    stop.main_thread = pthread_self();
    sigaddset(&blocked, WAKE);
    pthread_sigmask(SIG_BLOCK, &blocked, &stop.waiting);
    sigaddset(&stop.waiting, SIGINT);
    sigaddset(&stop.waiting, SIGTERM);
    sigdelset(&stop.waiting, WAKE);
    sigaction(WAKE, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* From now on a signal kills: the default, and this thread is the one that takes it. */
static void let_signals_kill(void)
{
    sigset_t fatal = set_of(SIGINT, SIGTERM);

    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &fatal, NULL);
}

static void *watch(void *unused)
{
    sigset_t awaited = set_of(SIGINT, SIGTERM), woken = set_of(WAKE, WAKE);
    int number = WAKE;

    sigaddset(&awaited, WAKE);
    while (number == WAKE && !stop.ending)
        sigwait(&awaited, &number);
    if (stop.ending)
        return unused;
    stop.stopped = true;
    if (stop.source)
        vm_source_cancel(stop.source);
    let_signals_kill();
    while (!stop.ending) {
        pthread_kill(stop.main_thread, WAKE);
        sigtimedwait(&woken, NULL, &wake_pause);
    }
    return unused;
}

int stat_stop_watch(struct vm_source *source, struct error *err)
{
    stop.source = source;
    int result = pthread_create(&stop.watcher, NULL, watch, NULL);
    if (result != 0)
        return error_set(err, -result, "cannot start a thread: %s", strerror(result));
    stop.watching = true;
    return 0;
}

bool stat_stopped(void)
{
    return stop.stopped;
}

const sigset_t *stat_stop_mask(void)
{
    return &stop.waiting;
}

void stat_stop_release(void)
{
    if (!stop.watching)
        return;
    stop.ending = true;
    pthread_kill(stop.watcher, WAKE);
    pthread_join(stop.watcher, NULL);
    stop.watching = false;
    if (stop.stopped)
        let_signals_kill();
}
