/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says what a host has of a VM that migrates, and cleans up after it. */
#include "vm/migrate_inside.h"

#include "setmov/vm_incoming.h"

#include <errno.h>
#include <libvirt/virterror.h>

/* ---- where it is -------------------------------------------------------------------------- */

enum job { JOB_NONE, JOB_IN, JOB_OUT, JOB_OTHER };

static int job_of_error(virDomainPtr domain, enum job *ret_job, struct error *err)
{
    switch (virGetLastErrorCode()) {
    case VIR_ERR_OPERATION_UNSUPPORTED:
        *ret_job = JOB_IN;
        return 0;
    case VIR_ERR_OPERATION_INVALID: /* it is off */
    case VIR_ERR_NO_SUPPORT:
        *ret_job = JOB_NONE;
        return 0;
    default:
        return domain_error(err, domain, "whether a job of it runs cannot be told");
    }
}

/* An incoming one tells nothing of itself, but that it is one: the call has another error then. */
static int read_job(virDomainPtr domain, enum job *ret_job, struct error *err)
{
    CLEANUP(migrate_parameters_release) struct migrate_parameters parameters = {NULL, 0, 0};
    int type = VIR_DOMAIN_JOB_NONE, operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

    if (virDomainGetJobStats(domain, &type, &parameters.list, &parameters.count, 0) < 0)
        return job_of_error(domain, ret_job, err);
    virTypedParamsGetInt(parameters.list, parameters.count, VIR_DOMAIN_JOB_OPERATION, &operation);
    if (type != VIR_DOMAIN_JOB_BOUNDED && type != VIR_DOMAIN_JOB_UNBOUNDED)
        *ret_job = JOB_NONE;
    else if (operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN)
        *ret_job = JOB_IN;
    else
        *ret_job = operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT ? JOB_OUT : JOB_OTHER;
    return 0;
}

static bool is_of_migration(int reason)
{
    return reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_POSTCOPY ||
           reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED;
}

static enum vm_place place_of(int state, int reason, enum job job)
{
    switch (state) {
    case VIR_DOMAIN_SHUTOFF:
        return job == JOB_IN ? VM_INCOMING : VM_OFF;
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        return VM_RUNNING;
    case VIR_DOMAIN_PAUSED:
        if (job == JOB_IN)
            return VM_INCOMING;
        return is_of_migration(reason) ? VM_OUTGOING : VM_PAUSED;
    default:
        return VM_OTHER;
    }
}

static const char *name_of_pause(int reason)
{
    switch (reason) {
    case VIR_DOMAIN_PAUSED_USER:
        return "paused (by an operator)";
    case VIR_DOMAIN_PAUSED_MIGRATION:
        return "paused (migration)";
    case VIR_DOMAIN_PAUSED_IOERROR:
        return "paused (I/O error)";
    case VIR_DOMAIN_PAUSED_POSTCOPY:
        return "paused (post-copy)";
    case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
        return "paused (post-copy failed)";
    case VIR_DOMAIN_PAUSED_STARTING_UP:
        return "paused (starting up)";
    default:
        return "paused";
    }
}

static const char *name_of(int state, int reason)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        return reason == VIR_DOMAIN_RUNNING_POSTCOPY ? "running (post-copy)" : "running";
    case VIR_DOMAIN_PAUSED:
        return name_of_pause(reason);
    case VIR_DOMAIN_SHUTDOWN:
        return "shutting down";
    case VIR_DOMAIN_SHUTOFF:
        return "off";
    case VIR_DOMAIN_CRASHED:
        return "crashed";
    case VIR_DOMAIN_PMSUSPENDED:
        return "suspended by its guest";
    default:
        return "in a state that is not known";
    }
}

static const char *name_of_job(enum job job)
{
    switch (job) {
    case JOB_IN:
        return ", a migration to there is under way";
    case JOB_OUT:
        return ", a migration from there is under way";
    default:
        return "";
    }
}

/* -ENOENT: it is gone by now. */
static int look(virDomainPtr domain, struct vm_where *ret_where, struct error *err)
{
    int state = 0, reason = 0, persistent, autostart = 0;
    enum job job = JOB_NONE;
    int r = read_job(domain, &job, err);

    if (r < 0)
        return r;
    persistent = virDomainIsPersistent(domain);
    if (persistent < 0 || virDomainGetState(domain, &state, &reason, 0) < 0 ||
        (persistent == 1 && virDomainGetAutostart(domain, &autostart) < 0))
        return domain_error(err, domain, NULL);
    *ret_where = (struct vm_where){.place = place_of(state, reason, job),
                                   .persistent = persistent == 1,
                                   .autostart = autostart == 1,
                                   .has_job = job == JOB_IN || job == JOB_OUT};
    string_format(ret_where->state, sizeof(ret_where->state), "%s%s", name_of(state, reason),
                  name_of_job(job));
    return 0;
}

int vm_where(struct vm_peer *peer, const struct uuid *uuid, struct vm_where *ret_where,
             struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r == 0)
        r = look(domain, ret_where, err);
    if (r == -ENOENT) {
        *ret_where = (struct vm_where){.place = VM_ABSENT, .state = "not known there"};
        return 0;
    }
    return r;
}

/* What changes nothing, its title set to what it is, takes what a change takes. */
bool vm_is_held(struct vm_peer *peer, const struct uuid *uuid)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    CLEANUP(cleanup_free) char *title = NULL;

    if (migrate_domain(peer, uuid, &domain, NULL) < 0 || virDomainIsActive(domain) != 0)
        return false;
    title = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_TITLE, NULL, VIR_DOMAIN_AFFECT_CONFIG);
    if (!title && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN_METADATA)
        return false;
    return virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_TITLE, title, NULL, NULL,
                                VIR_DOMAIN_AFFECT_CONFIG) < 0 &&
           virGetLastErrorCode() == VIR_ERR_OPERATION_TIMEOUT;
}

/* ---- afterwards ----------------------------------------------------------------------------- */

int vm_resume(struct vm_peer *peer, const struct uuid *uuid, struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r == 0 && virDomainResume(domain) < 0)
        r = domain_error(err, domain, "it cannot be resumed");
    return r;
}

int vm_set_autostart(struct vm_peer *peer, const struct uuid *uuid, struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r == 0 && virDomainSetAutostart(domain, 1) < 0)
        r = domain_error(err, domain, NULL);
    return r;
}

static bool is_gone(void)
{
    return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
}

/* What belongs to it beside its disks, firmware variables and a TPM, stays: it may be all there is. */
int vm_discard(struct vm_peer *peer, const struct uuid *uuid, bool undefine, struct error *err)
{
    const unsigned flags = VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM |
                           VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                           VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                           VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (virDomainIsActive(domain) == 1 && virDomainDestroy(domain) < 0 && !is_gone() &&
        virDomainIsActive(domain) == 1)
        return domain_error(err, domain, "it cannot be ended");
    if (!undefine || virDomainIsPersistent(domain) != 1)
        return 0;
    if (virDomainUndefineFlags(domain, flags) < 0 && !is_gone())
        return domain_error(err, domain, "it cannot be undefined");
    return 0;
}

/* ---- the plan ------------------------------------------------------------------------------- */

/* The element of ours in the metadata of one of the two; NULL: there is none. */
static int read_ours(virDomainPtr domain, unsigned which, char **ret_element, struct error *err)
{
    *ret_element =
        virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, VM_INCOMING_NAMESPACE, which);
    if (*ret_element || virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_METADATA)
        return 0;
    return domain_error(err, domain, "its metadata");
}

static bool is_plan(const char *element)
{
    return strncmp(element, "<plan", strlen("<plan")) == 0 || strstr(element, ":plan ") != NULL;
}

static int forget(virDomainPtr domain, unsigned which, struct error *err)
{
    CLEANUP(cleanup_free) char *element = NULL;
    int r = read_ours(domain, which, &element, err);

    if (r < 0 || !element || !is_plan(element))
        return r;
    if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, NULL, NULL, VM_INCOMING_NAMESPACE,
                             which) < 0)
        return domain_error(err, domain, "the plan in its metadata cannot be removed");
    return 0;
}

int vm_forget_plan(struct vm_peer *peer, const struct uuid *uuid, struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err);

    if (r == 0 && virDomainIsActive(domain) == 1)
        r = forget(domain, VIR_DOMAIN_AFFECT_LIVE, err);
    if (r == 0 && virDomainIsPersistent(domain) == 1)
        r = forget(domain, VIR_DOMAIN_AFFECT_CONFIG, err);
    return r;
}
