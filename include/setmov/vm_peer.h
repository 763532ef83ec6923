/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to the libvirt of this or another host, for who reads and writes
 * small files in its pools and asks for its facts. Stage vm/, owner of libvirt.
 *
 * Every call may hang as long as the other side likes: whoever must go on makes
 * them in a task (below), which can be abandoned. A struct vm_peer is used by
 * one thread at a time. What comes from there is hostile: it is checked here as
 * far as libvirt's types go, and no further.
 */
#ifndef SETMOV_VM_PEER_H
#define SETMOV_VM_PEER_H

#include "setmov/base.h"

struct vm_peer;

/*
 * A program calls this first of all, before it has threads. SIGPIPE is ignored:
 * libvirt writes to an ssh that may have ended. And its library writes nothing
 * to stderr by itself (of a certificate that does not fit, say), beside the
 * error that the call gives back; what the user has set in LIBVIRT_DEBUG or
 * LIBVIRT_LOG_OUTPUTS stays.
 */
void vm_peer_prepare(void);

/*
 * Ends the child processes of this one that were not there when it called
 * vm_peer_prepare(): an ssh whose other side hangs would outlive the task that
 * was given up, and us. A program calls this last of all. True: threads are
 * left in calls that were given up; the program then flushes its output and
 * ends by _exit(), for at exit() libraries (OpenSSL) free what a thread that
 * ends meanwhile frees as well.
 */
bool vm_peer_leave(void);

/*
 * Connects; keep-alive is on where the driver has it, so that a dead line ends
 * calls (a minute). -EIO with libvirt's message, made one line; -EACCES where it
 * says that the identity is not let in, or lacks a right (of all calls here).
 * ssh does not ask for passwords.
 */
int vm_peer_open(const char *uri, struct vm_peer **ret_peer, struct error *err);
void vm_peer_close(struct vm_peer *peer); /* NULL is fine */

/* ---- volumes of a pool ---------------------------------------------------------- */

/*
 * At most `size` bytes from `offset` of a volume (a file in a directory pool);
 * fewer where it ends. -ENOENT: no such pool or volume; -EIO.
 */
int vm_peer_read(struct vm_peer *peer, const char *pool, const char *volume, uint64_t offset,
                 void *ret_bytes, size_t size, size_t *ret_length, struct error *err);

/* Makes a volume of these bytes; one of that name is replaced. -EIO. */
int vm_peer_write(struct vm_peer *peer, const char *pool, const char *volume, const void *bytes,
                  size_t length, struct error *err);

int vm_peer_refresh(struct vm_peer *peer, const char *pool, struct error *err);

/*
 * Is there an active directory pool of that name on that directory? Else it is
 * defined, made to start with libvirtd, and started. -EEXIST: the name is taken
 * by a pool that is on something else (the message says on what).
 */
int vm_peer_pool_ensure(struct vm_peer *peer, const char *name, const char *directory,
                        struct error *err);

/* ---- facts about the host --------------------------------------------------------- */

struct vm_peer_facts {
    char uuid[37]; /* of the host; "" where it does not say */
    uint64_t cpus;
    uint64_t busy_ns, total_ns; /* of all CPUs since the start; UNKNOWN_U64; see catalog_load.h */
    uint64_t memory_bytes, memory_free_bytes; /* free: what a new VM can have (buffers and caches
                                                 count as free); UNKNOWN_U64 */
    uint64_t pool_free_bytes; /* when its host last refreshed the pool; with what is kept for root;
                                 UNKNOWN_U64: the pool does not say, or there is none */
    char pool_problem[256];   /* why not; "" */
};

/* `pool`: where disks would be made. A fact that cannot be had is unknown, not an error. */
int vm_peer_facts(struct vm_peer *peer, const char *pool, struct vm_peer_facts *ret_facts,
                  struct error *err);

/* ---- tasks: many at once, each with a time limit ------------------------------------ */

/*
 * One task a peer. `run` is called in a thread of its own and touches only its
 * context. One that is not done in time is abandoned: the context is its
 * thread's from then on, which calls `release` when it returns at last (or the
 * process ends before).
 */
struct vm_task {
    int (*run)(void *context, struct error *err);
    void (*release)(void *context); /* of abandoned ones only */
    void *context;                  /* NULL after it was abandoned */
    int result;                     /* what run returned; -ETIMEDOUT; -ECANCELED */
    struct error error;
};

/*
 * Runs `count` tasks, at most `at_once` (0: 16) at a time, each for at most
 * `timeout_s`, counted from when it begins; a task that hangs makes room for
 * the next. `stopped` is asked about ten times a second (may be NULL): true
 * abandons all that is left with -ECANCELED (those that never began keep their
 * contexts). Returns 0 or -ENOMEM, and then no task has begun.
 */
int vm_tasks_run(struct vm_task *tasks, size_t count, unsigned at_once, double timeout_s,
                 bool (*stopped)(void *context), void *context, struct error *err);

#endif
