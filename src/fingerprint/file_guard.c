/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mapped file that somebody cuts short raises SIGBUS where it is read. The
 * handler here puts a page of zeroes there and remembers that it did. It may
 * interrupt anything, so it takes no lock: the list of mappings only grows, by
 * groups whose slots are used again, and a slot is read before it is believed.
 */

#include "fingerprint/file.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define GROUP_SLOTS 64

struct file_guard {
    atomic_uintptr_t base; /* 0: nobody's */
    atomic_size_t length;
    atomic_bool lost;
    bool taken; /* under the lock */
};

struct group {
    struct file_guard slots[GROUP_SLOTS];
    struct group *next; /* older; never changes */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct group *) groups;
static atomic_bool installed;
static atomic_size_t page_bytes; /* sysconf() is not for handlers */

size_t file_guard_page_bytes(void)
{
    size_t known = atomic_load(&page_bytes);

    if (known == 0) {
        known = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store(&page_bytes, known);
    }
    return known;
}

static struct file_guard *find_free(void)
{
    for (struct group *group = atomic_load(&groups); group != NULL; group = group->next) {
        for (size_t i = 0; i < GROUP_SLOTS; i++) {
            if (!group->slots[i].taken)
                return &group->slots[i];
        }
    }
    return NULL;
}

static struct file_guard *add_group(void)
{
    struct group *group = calloc(1, sizeof(*group));

    if (group == NULL)
        return NULL;
    group->next = atomic_load(&groups);
    atomic_store(&groups, group);
    return &group->slots[0];
}

struct file_guard *file_guard_add(const void *base, size_t length)
{
    struct file_guard *guard;

    pthread_mutex_lock(&lock);
    guard = find_free();
    if (guard == NULL)
        guard = add_group();
    if (guard != NULL) {
        guard->taken = true;
        atomic_store(&guard->lost, false);
        atomic_store(&guard->length, length);
        atomic_store(&guard->base, (uintptr_t)base);
    }
    pthread_mutex_unlock(&lock);
    return guard;
}

void file_guard_remove(struct file_guard *guard)
{
    if (guard == NULL)
        return;
    pthread_mutex_lock(&lock);
    atomic_store(&guard->base, 0);
    guard->taken = false;
    pthread_mutex_unlock(&lock);
}

bool file_guard_lost(const struct file_guard *guard)
{
    return atomic_load(&guard->lost);
}

bool file_guard_is_installed(void)
{
    return atomic_load(&installed);
}

/* ---- in the handler: only atomics and system calls ---- */

static struct file_guard *find_mapping(uintptr_t address)
{
    for (struct group *group = atomic_load(&groups); group != NULL; group = group->next) {
        for (size_t i = 0; i < GROUP_SLOTS; i++) {
            struct file_guard *guard = &group->slots[i];
            uintptr_t base = atomic_load(&guard->base);
            size_t length = atomic_load(&guard->length);

            /* Somebody may be giving the slot to another mapping just now: base is set last. */
            if (base != 0 && address >= base && address - base < length &&
                atomic_load(&guard->base) == base)
                return guard;
        }
    }
    return NULL;
}

static bool put_zeroes(uintptr_t address)
{
    size_t page = atomic_load(&page_bytes);
    void *at = (void *)(address / page * page);

    return mmap(at, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at;
}

static void on_bus_error(int signal_number, siginfo_t *information, void *context)
{
    uintptr_t address = (uintptr_t)information->si_addr;
    struct file_guard *guard = NULL;
    int saved_errno = errno;

    (void)context;
    if (information->si_code > 0) /* not sent by a process */
        guard = find_mapping(address);
    if (guard != NULL && put_zeroes(address)) {
        atomic_store(&guard->lost, true);
        errno = saved_errno;
        return;
    }
    /* Not ours: what would have happened without us, as soon as the handler returns. */
    signal(signal_number, SIG_DFL);
    if (information->si_code <= 0)
        raise(signal_number);
    errno = saved_errno;
}

int fingerprint_file_guard_install(struct error *err)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

    file_guard_page_bytes();
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, NULL) < 0)
        return error_set(err, -errno, "cannot watch for files that are cut short: %s",
                         strerror(errno));
    atomic_store(&installed, true);
    return 0;
}
