/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov recover`: every journal whose process is gone. */
#include "migrate/recover.h"

#include <errno.h>

struct recovery {
    const struct config *config;
    const struct migrate_recover_options *options;
    size_t matched;
};

static void tell(const struct recovery *recovery, const struct uuid *vm,
                 const struct journal *journal, enum migrate_recovered result, const char *text,
                 const struct vm_lines *left)
{
    static const struct vm_lines nothing;
    struct migrate_recover_event event = {
        .vm_name = "", .result = result, .text = text, .left = left != NULL ? left : &nothing};

    uuid_format(vm, event.uuid);
    if (journal != NULL) {
        event.vm_name = journal->vm_name;
        event.destination = journal->host != NULL ? journal->host : journal->uri;
        event.phase = migrate_phase_name(journal->phase);
        event.begun_s = journal->made_s;
    }
    if (recovery->options->event != NULL)
        recovery->options->event(recovery->options->context, &event);
}

/* `journal` may be NULL: it cannot be read. */
static bool is_meant(const struct recovery *recovery, const struct uuid *vm,
                     const struct journal *journal)
{
    const char *wish = recovery->options->vm;
    struct uuid uuid;

    if (wish == NULL || (journal != NULL && strcmp(journal->vm_name, wish) == 0))
        return true;
    return uuid_parse(wish, &uuid) == 0 && memcmp(uuid.bytes, vm->bytes, sizeof(vm->bytes)) == 0;
}

static void recover_locked(const struct recovery *recovery, const struct uuid *vm,
                           struct journal *journal)
{
    const struct migrate_recover_options *options = recovery->options;
    struct vm_lines left = {NULL, 0, 0};
    enum migrate_recovered result = MIGRATE_RECOVERED_WAITS;
    char text[512];

    if (options->list)
        string_format(text, sizeof(text),
                      "its migration to %.200s was left while %s, and waits for setmov recover",
                      journal->host != NULL ? journal->host : journal->uri,
                      migrate_phase_name(journal->phase));
    else
        result = migrate_recover_one(recovery->config, journal, options->stopped, options->context,
                                     &left, text);
    tell(recovery, vm, journal, result, text, &left);
    vm_lines_release(&left);
}

static void tell_busy(const struct recovery *recovery, const struct uuid *vm,
                      const struct journal *journal)
{
    char text[512];

    string_format(text, sizeof(text), "process %llu is at work on its migration to %.200s (%s)",
                  (unsigned long long)journal->pid,
                  journal->host != NULL ? journal->host : journal->uri,
                  migrate_phase_name(journal->phase));
    tell(recovery, vm, journal, MIGRATE_RECOVERED_WAITS, text, NULL);
}

/* With its lock, unless somebody has that. A journal that went meanwhile needs nobody. */
static void recover_vm(struct recovery *recovery, const struct uuid *vm)
{
    const char *state = recovery->config->setmov.state;
    struct journal_lock lock = JOURNAL_LOCK_NONE;
    struct journal journal = {.vm_name = NULL};
    struct error err = {""}, why = {""};
    int locked = journal_lock(state, vm, &lock, &why);
    int rc = journal_load(state, vm, &journal, &err);

    if (rc == 0 || rc == -ENOENT ? rc == 0 && is_meant(recovery, vm, &journal)
                                 : is_meant(recovery, vm, NULL)) {
        recovery->matched++;
        if (rc < 0)
            tell(recovery, vm, NULL, MIGRATE_RECOVERED_FAILED, err.text, NULL);
        else if (locked == -EBUSY)
            tell_busy(recovery, vm, &journal);
        else if (locked < 0)
            tell(recovery, vm, &journal, MIGRATE_RECOVERED_FAILED, why.text, NULL);
        else
            recover_locked(recovery, vm, &journal);
    }
    journal_release(&journal);
    journal_unlock(&lock);
}

int migrate_recover(const struct config *config, const struct migrate_recover_options *options,
                    struct error *err)
{
    struct recovery recovery = {.config = config, .options = options};
    struct journal_list list = {NULL, 0, 0};
    int rc = journal_list(config->setmov.state, &list, err);

    for (size_t i = 0; i < list.count && rc == 0; i++) {
        if (options->stopped != NULL && options->stopped(options->context))
            rc = error_set(err, -ECANCELED, "stopped");
        else
            recover_vm(&recovery, &list.vms[i]);
    }
    journal_list_release(&list);
    if (rc < 0)
        return rc;
    if (!options->list)
        migrate_recover_sweep(config->setmov.state);
    if (options->vm != NULL && recovery.matched == 0)
        return error_set(err, -ENOENT, "no migration of %s waits", options->vm);
    return 0;
}
