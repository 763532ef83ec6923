/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests that came in, one after the other: dropped, forwarded, carried out. */
#include "peers/requests.h"
#include "setmov/catalog_known.h"
#include "setmov/vm_peer.h"

#include <errno.h>

/* For all that is asked of this host's own libvirt. */
#define LOOK_TIMEOUT_S 60.0
/* A move that takes longer hangs, or its guest never rests; others wait for it. */
#define MOVE_TIMEOUT_S 86400.0
/* How often, while a move goes on, it is looked what came in. */
#define MEANWHILE_S 5.0
/* Moves come and go; a run ends all the same. */
#define MAX_ROUNDS 100

/* A request that is to be carried out, or sent on. */
struct item {
    char *name;
    struct catalog_request request;
    struct requests_verdict verdict;
};

struct items {
    struct item *items;
    size_t count, capacity;
};

struct run {
    const struct config *config;
    const struct peers_requests_options *options;
    struct requests_state state;
    struct requests_names kept; /* they were dealt with, and are still there */
    double looked_s;            /* when it was last looked what came in */
};

static void item_release(struct item *item)
{
    free(item->name);
    catalog_request_release(&item->request);
}

static void items_release(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        item_release(&items->items[i]);
    free(items->items);
    *items = (struct items){NULL, 0, 0};
}

static int items_add(struct items *items, const struct item *item)
{
    if (array_reserve(&items->items, &items->capacity, items->count + 1, sizeof(*items->items)) < 0)
        return -ENOMEM;
    items->items[items->count++] = *item;
    return 0;
}

static bool is_stopped(const struct run *run)
{
    return run->options->stopped != NULL && run->options->stopped(run->options->context);
}

static bool ask_stopped(void *context)
{
    return is_stopped(context);
}

/* ---- saying what became of one ------------------------------------------------------- */

static bool was_kept(const struct run *run, const char *name)
{
    for (size_t i = 0; i < run->kept.count; i++) {
        if (strcmp(run->kept.names[i], name) == 0)
            return true;
    }
    return false;
}

/* It is not looked at again in this run. Without memory it may be, which does no harm. */
static void keep(struct run *run, const char *name)
{
    char *copy;

    if (array_reserve(&run->kept.names, &run->kept.capacity, run->kept.count + 1,
                      sizeof(*run->kept.names)) < 0)
        return;
    copy = strdup(name);
    if (copy != NULL)
        run->kept.names[run->kept.count++] = copy;
}

static void drop(struct run *run, const char *name, const struct catalog_request *request,
                 const char *reason)
{
    struct error why = {""};

    if (requests_remove(run->config->setmov.index, name, &why) < 0) {
        keep(run, name);
        requests_report(run->options, name, request, PEERS_REQUEST_FAILED, "dropped: %s; but %s",
                        reason, why.text);
    } else {
        requests_report(run->options, name, request, PEERS_REQUEST_DROPPED, "dropped: %s", reason);
    }
}

/* ---- looking at them ------------------------------------------------------------------- */

/* What a peer is still writing looks damaged for a while. */
static void take_damaged(struct run *run, const char *name, int64_t age_s, const struct error *why)
{
    if (age_s > REQUESTS_DAMAGED_S || age_s < -REQUESTS_CLOCK_S)
        drop(run, name, NULL, why->text);
}

static int take(struct run *run, const char *name, struct items *forwards, struct items *moves)
{
    struct item item = {.name = NULL};
    struct requests_facts facts;
    struct error why = {""};
    int64_t age_s;
    int rc = requests_read(run->config->setmov.index, name, &item.request, &age_s, &why);

    if (rc == -ENOMEM)
        return rc;
    if (rc == -EISDIR) {
        keep(run, name);
        requests_report(run->options, name, NULL, PEERS_REQUEST_DROPPED, "passed over: %s",
                        why.text);
        return 0;
    }
    if (rc < 0) {
        if (rc != -ENOENT)
            take_damaged(run, name, age_s, &why);
        return 0;
    }
    facts = requests_facts_of(run->config, &run->state, &item.request);
    requests_judge(&item.request, name, &facts, &item.verdict);
    if (item.verdict.action == REQUESTS_DROP) {
        drop(run, name, &item.request, item.verdict.reason);
        item_release(&item);
        return 0;
    }
    item.name = strdup(name);
    rc = item.name != NULL
             ? items_add(item.verdict.action == REQUESTS_MOVE ? moves : forwards, &item)
             : -ENOMEM;
    if (rc < 0)
        item_release(&item);
    return rc;
}

/* ---- forwarding -------------------------------------------------------------------------- */

static struct requests_visit *letter(const struct run *run, const struct item *item,
                                     struct error *err)
{
    CLEANUP(cleanup_free) char *text = NULL;
    struct catalog_request request = item->request;
    struct requests_visit *visit;
    size_t length;

    /* Where this host was thought to have the VM, another one is now. */
    request.holder = item->verdict.host->name;
    if (catalog_request_encode(&request, &text, &length, err) < 0)
        return NULL;
    visit = requests_visit_new(REQUESTS_VISIT_SEND, run->config, item->verdict.host, &request.vm);
    if (visit != NULL && requests_visit_text(visit, item->name, text, length) == 0)
        return visit;
    requests_visit_free(visit);
    error_set(err, -ENOMEM, "out of memory");
    return NULL;
}

static void conclude_forward(struct run *run, const struct item *item, const struct vm_task *task)
{
    const char *host = item->verdict.host->name;
    struct error why = {""};

    if (task->result == -ECANCELED)
        return;
    if (task->result < 0) {
        keep(run, item->name);
        requests_report(run->options, item->name, &item->request, PEERS_REQUEST_KEPT,
                        "kept until it expires: it is for %s, which cannot be reached: %s", host,
                        task->error.text);
    } else if (requests_remove(run->config->setmov.index, item->name, &why) < 0) {
        keep(run, item->name);
        requests_report(run->options, item->name, &item->request, PEERS_REQUEST_FAILED,
                        "forwarded to %s, but %s", host, why.text);
    } else {
        requests_report(run->options, item->name, &item->request, PEERS_REQUEST_FORWARDED,
                        "forwarded to %s, which has the VM: %s refused it and names %s", host,
                        item->request.refuser, item->request.target);
    }
}

/* All at once: a host that does not answer costs its own. */
static int forward(struct run *run, const struct items *items, struct error *err)
{
    CLEANUP(cleanup_free) struct vm_task *tasks = calloc(items->count + 1, sizeof(*tasks));
    int rc = 0;

    if (tasks == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < items->count && rc == 0; i++) {
        tasks[i] = (struct vm_task){.run = requests_visit_run,
                                    .release = requests_visit_free,
                                    .context = letter(run, &items->items[i], err)};
        if (tasks[i].context == NULL)
            rc = -ENOMEM;
    }
    if (rc == 0)
        rc = vm_tasks_run(tasks, items->count, 0, (double)run->config->sync.timeout_s, ask_stopped,
                          run, err);
    for (size_t i = 0; i < items->count; i++) {
        if (rc == 0)
            conclude_forward(run, &items->items[i], &tasks[i]);
        requests_visit_free(tasks[i].context);
    }
    return rc;
}

/* ---- one round ------------------------------------------------------------------------------ */

/* `moves` may be NULL: they stay for later. */
static int look_round(struct run *run, struct items *moves, struct error *err)
{
    CLEANUP(requests_names_release) struct requests_names names = {NULL, 0, 0};
    CLEANUP(items_release) struct items forwards = {NULL, 0, 0}, later = {NULL, 0, 0};
    int rc = requests_list(run->config->setmov.index, &names, err);

    run->looked_s = clock_monotonic_s();
    for (size_t i = 0; i < names.count && rc == 0; i++) {
        if (was_kept(run, names.names[i]))
            continue;
        rc = take(run, names.names[i], &forwards, moves != NULL ? moves : &later);
        if (rc < 0)
            error_set(err, rc, "out of memory");
    }
    return rc == 0 && forwards.count > 0 ? forward(run, &forwards, err) : rc;
}

/* ---- carrying out --------------------------------------------------------------------------- */

/* Asked while a move goes on, which can take hours: others' requests must not expire meanwhile. */
static bool meanwhile(void *context)
{
    struct run *run = context;

    if (!is_stopped(run) && clock_monotonic_s() - run->looked_s >= MEANWHILE_S)
        (void)look_round(run, NULL, NULL);
    return is_stopped(run);
}

/* Runs one visit; it is freed, unless its thread has it, or given back in `ret_visit`. */
static int pay_visit(struct run *run, const struct item *item, enum requests_visit_kind kind,
                     double timeout_s, struct requests_visit **ret_visit, struct error *err)
{
    struct vm_task task = {.run = requests_visit_run, .release = requests_visit_free};
    struct requests_visit *visit =
        requests_visit_new(kind, run->config, item->verdict.host, &item->request.vm);
    int rc;

    if (visit == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    task.context = visit;
    rc = vm_tasks_run(&task, 1, 1, timeout_s, kind == REQUESTS_VISIT_MOVE ? meanwhile : ask_stopped,
                      run, err);
    if (rc == 0 && task.result < 0)
        rc = error_set(err, task.result, "%s", task.error.text);
    if (rc == 0 && ret_visit != NULL)
        *ret_visit = visit;
    else
        requests_visit_free(task.context);
    return rc;
}

/* Who has it now, as `setmov sync` knows; the caller frees. NULL: nobody that is known. */
static char *find_holder(const struct run *run, const struct uuid *uuid)
{
    struct catalog_known_vm *vms = NULL;
    struct catalog_known *known = NULL;
    char *holder = NULL;
    size_t count = 0;

    if (catalog_known_open(run->config->sync.cache, &known, NULL) < 0)
        return NULL;
    if (catalog_known_find(known, uuid, &vms, &count, NULL) == 0) {
        for (size_t i = 0; i < count && holder == NULL; i++) {
            const char *name = catalog_known_host(known, vms[i].host)->name;

            if (vms[i].active && requests_partner(run->config, name) != NULL)
                holder = strdup(name);
        }
        catalog_known_vms_free(vms, count);
    }
    catalog_known_close(known);
    return holder;
}

static int follow(struct run *run, struct item *item, struct error *err)
{
    CLEANUP(cleanup_free) char *holder = find_holder(run, &item->request.vm);
    struct requests_facts facts = requests_facts_of(run->config, &run->state, &item->request);
    const struct items one = {item, 1, 1};
    int rc;

    requests_judge_gone(&item->request, holder, &facts, &item->verdict);
    if (item->verdict.action == REQUESTS_DROP) {
        drop(run, item->name, &item->request, item->verdict.reason);
        return 0;
    }
    rc = requests_note(&run->state, &item->request.vm, REQUESTS_FORWARDED_SUFFIX,
                       item->verdict.host->name, err);
    return rc < 0 ? rc : forward(run, &one, err);
}

/* Noted before it begins: what is noted is not begun a second time, whatever becomes of this run. */
static int begin(struct run *run, const struct item *item, struct error *err)
{
    char text[1024];
    int rc;

    string_format(text, sizeof(text), "a move to %s was begun, as %s asked",
                  item->verdict.host->name, item->request.refuser);
    rc = requests_note(&run->state, &item->request.vm, REQUESTS_DONE_SUFFIX, text, err);
    return rc < 0 ? rc : requests_remove(run->config->setmov.index, item->name, err);
}

static void fail(struct run *run, const struct item *item, const char *reason)
{
    char text[1024];

    string_format(text, sizeof(text), "not moved to %s, as %s asked: %s", item->verdict.host->name,
                  item->request.refuser, reason);
    text_make_one_line(text);
    (void)requests_note(&run->state, &item->request.vm, REQUESTS_DONE_SUFFIX, text, NULL);
    requests_report(run->options, item->name, &item->request, PEERS_REQUEST_FAILED, "%s", text);
}

static int move(struct run *run, const struct item *item, struct error *err)
{
    const struct requests_move how = {
        .vm = &item->request.vm, .host = item->verdict.host, .timeout_s = MOVE_TIMEOUT_S};
    double began_s = clock_monotonic_s();
    struct error why = {""};
    char text[1024], about[400] = "";
    int rc = begin(run, item, err);

    if (rc < 0)
        return rc;
    rc = -EPROTONOSUPPORT;
    if (run->options->move != NULL)
        rc = requests_move(run->options, &how, meanwhile, run, about, sizeof(about), &why);
    if (rc == -EPROTONOSUPPORT)
        rc = pay_visit(run, item, REQUESTS_VISIT_MOVE, MOVE_TIMEOUT_S, NULL, &why);
    if (rc == -ECANCELED)
        return error_set(err, rc, "stopped while %s was moved to %s", item->request.vm_name,
                         item->verdict.host->name);
    if (rc < 0) {
        fail(run, item, why.text);
        return 0;
    }
    string_format(text, sizeof(text), "moved to %s, as %s asked, in %.0f s%s%s",
                  item->verdict.host->name, item->request.refuser, clock_monotonic_s() - began_s,
                  about[0] != '\0' ? ": " : "", about);
    (void)requests_note(&run->state, &item->request.vm, REQUESTS_DONE_SUFFIX, text, NULL);
    requests_report(run->options, item->name, &item->request, PEERS_REQUEST_MOVED, "%s", text);
    return 0;
}

static int carry_out(struct run *run, struct item *item, struct error *err)
{
    struct requests_facts facts = requests_facts_of(run->config, &run->state, &item->request);
    struct requests_visit *visit = NULL;
    struct error why = {""};
    int rc;

    /* Others came first: time has gone by. */
    requests_judge(&item->request, item->name, &facts, &item->verdict);
    if (item->verdict.action != REQUESTS_MOVE) {
        drop(run, item->name, &item->request, item->verdict.reason);
        return 0;
    }
    rc = pay_visit(run, item, REQUESTS_VISIT_LOOK, LOOK_TIMEOUT_S, &visit, &why);
    if (rc == -ECANCELED || rc == -ENOMEM)
        return error_set(err, rc, "%s", why.text);
    if (rc < 0) {
        keep(run, item->name);
        requests_report(run->options, item->name, &item->request, PEERS_REQUEST_KEPT,
                        "kept until it expires: libvirt on this host: %s", why.text);
        return 0;
    }
    switch (requests_visit_found(visit)) {
    case REQUESTS_GONE:
        rc = follow(run, item, err);
        break;
    case REQUESTS_OFF:
        drop(run, item->name, &item->request, "the VM does not run");
        break;
    case REQUESTS_BUSY:
        keep(run, item->name);
        requests_report(run->options, item->name, &item->request, PEERS_REQUEST_KEPT,
                        "kept until it expires: %s", requests_visit_obstacle(visit));
        break;
    case REQUESTS_STUCK:
        rc = begin(run, item, err);
        if (rc == 0)
            fail(run, item, requests_visit_obstacle(visit));
        break;
    default:
        rc = move(run, item, err);
        break;
    }
    requests_visit_free(visit);
    return rc;
}

static int run_rounds(struct run *run, struct error *err)
{
    int rc = 0;

    for (int i = 0; i < MAX_ROUNDS && rc == 0; i++) {
        CLEANUP(items_release) struct items moves = {NULL, 0, 0};

        rc = look_round(run, &moves, err);
        for (size_t j = 0; j < moves.count && rc == 0; j++) {
            if (is_stopped(run))
                rc = error_set(err, -ECANCELED, "stopped");
            else
                rc = carry_out(run, &moves.items[j], err);
        }
        if (moves.count == 0)
            break;
    }
    return rc;
}

/* ---- the contract ------------------------------------------------------------------------------ */

int peers_requests(const struct config *config, const struct peers_requests_options *options,
                   struct error *err)
{
    struct run run = {.config = config, .options = options, .state = {NULL, -1}};
    int rc;

    if (options->list)
        return requests_list_all(config, options, err);
    rc = requests_state_open(config, &run.state, err);
    if (rc == 0) {
        requests_forget(&run.state, false);
        rc = run_rounds(&run, err);
    }
    requests_names_release(&run.kept);
    requests_state_release(&run.state);
    return rc;
}
