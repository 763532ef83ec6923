/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many tasks at once, each with a time limit, by the threads of workers.h. */
#include "setmov/vm_peer.h"
#include "vm/workers.h"

#include <errno.h>

#define AT_ONCE 16
/* How often the caller is asked whether to stop. */
#define ASK_S 0.1
/* How long threads that are done may take to end. */
#define LEAVE_S 1.0

/* One task under way. It outlives the caller's if that gives it up. */
struct task_job {
    struct job job;
    int (*run)(void *context, struct error *err);
    void (*release)(void *context);
    void *context;
    int result;
    struct error error;
};

struct slot {
    struct task_job *job; /* NULL: free */
    struct vm_task *task;
    double until_s;
};

struct crew {
    struct workers *workers;
    struct slot *slots;
    size_t slot_count, busy;
    double timeout_s;
};

/* ---- in the thread ------------------------------------------------------------- */

static void task_run(struct job *base)
{
    struct task_job *job = (struct task_job *)base;

    job->result = job->run(job->context, &job->error);
}

static void task_free(struct job *base)
{
    struct task_job *job = (struct task_job *)base;

    if (job->release && job->context)
        job->release(job->context);
    free(job);
}

/* ---- one task ---------------------------------------------------------------------- */

static int begin(struct crew *crew, struct slot *slot, struct vm_task *task)
{
    struct task_job *job = calloc(1, sizeof(*job));
    int r;

    if (!job)
        return -ENOMEM;
    job->job.run = task_run;
    job->job.free = task_free;
    job->run = task->run;
    job->release = task->release;
    job->context = task->context;
    r = workers_submit(crew->workers, &job->job);
    if (r < 0) {
        free(job);
        return r;
    }
    *slot = (struct slot){job, task, clock_monotonic_s() + crew->timeout_s};
    crew->busy++;
    return 0;
}

static void finish(struct crew *crew, struct slot *slot)
{
    slot->task->result = slot->job->result;
    slot->task->error = slot->job->error;
    free(slot->job);
    slot->job = NULL;
    crew->busy--;
}

/* The context is the thread's from here on. */
static void abandon(struct crew *crew, struct slot *slot)
{
    slot->task->context = NULL;
    workers_abandon(crew->workers, &slot->job->job);
    slot->job = NULL;
    crew->busy--;
}

static void fail(struct vm_task *task, int code)
{
    task->result = error_set(&task->error, code, "%s",
                             code == -ENOMEM ? "out of memory" : "no thread to be had");
}

/* ---- all of them ------------------------------------------------------------------- */

/* Takes what is done, gives up what is late. */
static void look(struct crew *crew)
{
    double now_s = clock_monotonic_s();

    for (size_t i = 0; i < crew->slot_count; i++) {
        struct slot *slot = &crew->slots[i];

        if (!slot->job)
            continue;
        if (workers_wait(crew->workers, &slot->job->job, 0)) {
            finish(crew, slot);
        } else if (now_s >= slot->until_s) {
            slot->task->result =
                error_set(&slot->task->error, -ETIMEDOUT, "no answer within %g s", crew->timeout_s);
            abandon(crew, slot);
        }
    }
}

/* Begins tasks while there is room for them. Returns how many of `count` it has dealt with. */
static size_t fill(struct crew *crew, struct vm_task *tasks, size_t count)
{
    size_t taken = 0;

    for (size_t i = 0; i < crew->slot_count && taken < count; i++) {
        int r;

        if (crew->slots[i].job)
            continue;
        r = begin(crew, &crew->slots[i], &tasks[taken]);
        if (r < 0 && crew->busy > 0)
            break; /* when another is done, there may be a thread for it */
        if (r < 0)
            fail(&tasks[taken], r);
        taken++;
    }
    return taken;
}

static void cancel(struct crew *crew, struct vm_task *waiting, size_t waiting_count)
{
    for (size_t i = 0; i < crew->slot_count; i++) {
        struct slot *slot = &crew->slots[i];

        if (!slot->job)
            continue;
        slot->task->result = error_set(&slot->task->error, -ECANCELED, "stopped");
        abandon(crew, slot);
    }
    for (size_t i = 0; i < waiting_count; i++)
        waiting[i].result = error_set(&waiting[i].error, -ECANCELED, "stopped");
}

/* When the next thing has to be done that no task's end tells of. */
static double next_look_s(const struct crew *crew)
{
    double at_s = clock_monotonic_s() + ASK_S;

    for (size_t i = 0; i < crew->slot_count; i++)
        if (crew->slots[i].job && crew->slots[i].until_s < at_s)
            at_s = crew->slots[i].until_s;
    return at_s;
}

static void run_all(struct crew *crew, struct vm_task *tasks, size_t count,
                    bool (*stopped)(void *context), void *context)
{
    uint64_t finished = 0;
    size_t begun = 0;

    for (;;) {
        if (stopped && stopped(context)) {
            look(crew); /* what is done is done */
            cancel(crew, tasks + begun, count - begun);
            return;
        }
        begun += fill(crew, tasks + begun, count - begun);
        if (crew->busy == 0 && begun == count)
            return;
        workers_wait_any(crew->workers, &finished, next_look_s(crew));
        look(crew);
    }
}

int vm_tasks_run(struct vm_task *tasks, size_t count, unsigned at_once, double timeout_s,
                 bool (*stopped)(void *context), void *context, struct error *err)
{
    struct crew crew = {.timeout_s = timeout_s};

    crew.slot_count = at_once ? at_once : AT_ONCE;
    if (crew.slot_count > count)
        crew.slot_count = count;
    if (count == 0)
        return 0;
    crew.slots = calloc(crew.slot_count, sizeof(*crew.slots));
    if (!crew.slots || workers_new(&crew.workers) < 0) {
        free(crew.slots);
        return error_set(err, -ENOMEM, "out of memory");
    }
    run_all(&crew, tasks, count, stopped, context);
    workers_free(crew.workers, workers_stuck(crew.workers) > 0 ? 0 : LEAVE_S);
    free(crew.slots);
    return 0;
}
