/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose VM`: every candidate's libvirt is asked in a task of its own,
 * while this thread has the peers' catalogs read. Whoever hangs or fails costs
 * its own row.
 */
#include "choose_vm.h"
#include "setmov/peers.h"

#include <errno.h>
#include <pthread.h>

/* What a task works on; its own, all of it, since it may be left alone with it. */
struct question {
    char *uri, *pool;
    struct choose_vm_shared *shared;
    struct vm_peer_facts facts;
    struct vm_lines obstacles, unknown;
};

static void question_free(void *context)
{
    struct question *question = context;

    if (question == NULL)
        return;
    free(question->uri);
    free(question->pool);
    choose_vm_shared_drop(question->shared);
    vm_lines_release(&question->obstacles);
    vm_lines_release(&question->unknown);
    free(question);
}

static struct question *question_new(const struct choose_vm *vm, const struct config_host *host)
{
    struct question *question = calloc(1, sizeof(*question));

    if (question == NULL)
        return NULL;
    question->uri = strdup(host->uri);
    question->pool = strdup(host->pool);
    if (question->uri == NULL || question->pool == NULL) {
        question_free(question);
        return NULL;
    }
    question->shared = vm->shared;
    __atomic_add_fetch(&vm->shared->references, 1, __ATOMIC_ACQ_REL);
    return question;
}

static int ask(void *context, struct error *err)
{
    struct question *question = context;
    const struct choose_vm_shared *shared = question->shared;
    struct vm_peer *peer = NULL;
    int rc = vm_peer_open(question->uri, &peer, err);

    if (rc < 0)
        return rc;
    rc = vm_peer_facts(peer, question->pool, &question->facts, err);
    if (rc == 0 && shared->is_vm)
        rc = vm_move_ask(peer, &shared->move, shared->own_uuid, &question->obstacles,
                         &question->unknown, err);
    vm_peer_close(peer);
    return rc < 0 ? error_prefix(err, rc, "%s", question->uri) : 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

struct round {
    const struct choose_vm *vm;
    struct vm_task *tasks; /* a host each, of those that are asked */
    size_t *hosts;         /* their places among the hosts */
    size_t count;
    int result;
    struct error error;
};

static int round_make(struct round *round)
{
    const struct choose_vm *vm = round->vm;

    round->tasks = calloc(vm->host_count + 1, sizeof(*round->tasks));
    round->hosts = calloc(vm->host_count + 1, sizeof(*round->hosts));
    if (round->tasks == NULL || round->hosts == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < vm->host_count; i++) {
        struct question *question;

        if (vm->hosts[i].is_out)
            continue;
        question = question_new(vm, vm->hosts[i].config);
        if (question == NULL)
            return -ENOMEM;
        round->tasks[round->count] =
            (struct vm_task){.run = ask, .release = question_free, .context = question};
        round->hosts[round->count++] = i;
    }
    return 0;
}

static void round_release(struct round *round)
{
    for (size_t i = 0; i < round->count; i++)
        question_free(round->tasks[i].context);
    free(round->tasks);
    free(round->hosts);
}

static void *round_run(void *context)
{
    struct round *round = context;

    round->result = vm_tasks_run(round->tasks, round->count, PEERS_AT_ONCE,
                                 (double)round->vm->config->sync.timeout_s, blocks_stopped, NULL,
                                 &round->error);
    return NULL;
}

static int take_answer(struct choose_vm *vm, struct choose_vm_host *host,
                       const struct vm_task *task)
{
    struct question *question = task->context;
    const struct vm_peer_facts *facts;
    int rc = 0;

    if (task->result == -ETIMEDOUT)
        return choose_vm_host_unusable(host, "%s did not answer within %llu s", host->config->uri,
                                       (unsigned long long)vm->config->sync.timeout_s);
    if (task->result < 0)
        return choose_vm_host_unusable(host, "%s", task->error.text);
    facts = &question->facts;
    host->busy_ns = facts->busy_ns;
    host->total_ns = facts->total_ns;
    host->memory_free_bytes = facts->memory_free_bytes;
    host->pool_free_bytes = facts->pool_free_bytes;
    if (facts->pool_problem[0] != '\0')
        rc = vm_lines_add(&host->obstacles, "pool %s: %s", host->config->pool, facts->pool_problem);
    for (size_t i = 0; i < question->obstacles.count && rc == 0; i++)
        rc = vm_lines_add(&host->obstacles, "%s", question->obstacles.lines[i]);
    for (size_t i = 0; i < question->unknown.count && rc == 0; i++)
        rc = vm_lines_add(&host->notes, "cannot be told: %s", question->unknown.lines[i]);
    return rc;
}

/* ---- the peers' catalogs ----------------------------------------------------------------------- */

/* What came of it the cache knows, host by host; only what is this host's own fault is told here. */
static int sync_peers(struct choose_vm *vm, struct error *err)
{
    CLEANUP(cleanup_free)
    struct peers_result *results = calloc(vm->host_count + 1, sizeof(*results));
    struct peers_options options = {.max_age_s = vm->config->sync.max_age_s,
                                    .stopped = blocks_stopped};
    struct error why = {""};
    size_t count = 0;
    int rc;

    if (results == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = peers_sync(vm->config, &options, results, &count, &why);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < vm->host_count; j++) {
            if (strcmp(vm->hosts[j].config->name, results[i].name) == 0)
                vm->hosts[j].catalog_bytes = results[i].bytes_read;
        }
    }
    if (rc == -ECANCELED || rc == -ENOMEM)
        return error_set(err, rc, "%s", why.text);
    if (rc < 0 &&
        vm_lines_add(&vm->notes, "what is known of the hosts was not brought up to date: %s",
                     why.text) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

int choose_vm_ask(struct choose_vm *vm, struct error *err)
{
    CLEANUP(round_release) struct round round = {.vm = vm};
    pthread_t thread;
    int rc = round_make(&round), code;

    if (rc < 0)
        return error_set(err, rc, "out of memory");
    code = pthread_create(&thread, NULL, round_run, &round);
    if (code != 0)
        return error_set(err, -code, "cannot start a thread: %s", strerror(code));
    rc = sync_peers(vm, err);
    pthread_join(thread, NULL);
    if (rc == 0 && round.result < 0)
        rc = error_set(err, round.result, "%s", round.error.text);
    if (rc == 0 && blocks_stopped(NULL))
        rc = -ECANCELED;
    for (size_t i = 0; i < round.count && rc == 0; i++) {
        if (take_answer(vm, &vm->hosts[round.hosts[i]], &round.tasks[i]) < 0)
            rc = error_set(err, -ENOMEM, "out of memory");
    }
    return rc;
}
