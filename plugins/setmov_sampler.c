/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sampler thread.
 *
 * There are two host samples and two sets of VMs: each cycle reads into the
 * older one and compares it with the newer one, so that after a few cycles no
 * memory is allocated any more. While libvirt is away its last set is kept:
 * the first figures after it returns are then means over the time it was gone.
 */
#include "plugin.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "setmov_sampler.h"

#include "setmov_host_metrics.h"
#include "setmov_notify.h"
#include "setmov_ticks.h"
#include "setmov_vm_metrics.h"

#define NS_PER_S UINT64_C(1000000000)

/* How long libvirt's answers may keep the end waiting, beside the stop's own limit. */
#define SOURCE_FREE_TIMEOUT_S 0.5

struct sampler {
    const struct setmov_config *config;
    cdtime_t interval;
    struct ticks ticks;

    struct host_reader *reader; /* NULL: neither host metrics nor the kernel path wanted */
    struct host_sample hosts[2];
    unsigned latest_host; /* index of the one that was read last */
    bool host_failing;
    bool introduced;

    struct vm_source *source; /* NULL: no VMs wanted */
    struct vm_set sets[2];
    unsigned latest_set; /* index of the last one that was connected */

    struct emitter emitter;
    struct host_metrics host_metrics;
    struct vm_metrics vm_metrics;

    pthread_t thread;
    pthread_mutex_t mutex; /* of the three below */
    pthread_cond_t changed;
    bool started, stopping, finished;
};

static bool is_stopping(struct sampler *sampler)
{
    bool stopping;

    pthread_mutex_lock(&sampler->mutex);
    stopping = sampler->stopping;
    pthread_mutex_unlock(&sampler->mutex);
    return stopping;
}

/* ---- one cycle -------------------------------------------------------------------- */

/* One line when readings begin to fail and one when they are good again, not one a second. */
static void log_host_reading(struct sampler *sampler, const struct error *err)
{
    bool failing = err->text[0] != '\0';

    if (failing && !sampler->host_failing)
        WARNING(PLUGIN_NAME " plugin: %s", err->text);
    if (!failing && sampler->host_failing)
        NOTICE(PLUGIN_NAME " plugin: the host's readings are complete again");
    sampler->host_failing = failing;
}

static void introduce(struct sampler *sampler, const struct host_sample *host)
{
    const struct setmov_config *config = sampler->config;

    if (sampler->introduced)
        return;
    sampler->introduced = true;
    INFO(PLUGIN_NAME " plugin: host `%s', address %s, every %.15g s, VMs of %s", host->host_name,
         host->address[0] != '\0' ? host->address : "unknown",
         CDTIME_T_TO_DOUBLE(sampler->interval),
         !config->collect_vms         ? "no connection"
         : config->connection == NULL ? "libvirt's default connection"
                                      : config->connection);
}

/* Returns the interfaces of this moment, or NULL. */
static const struct host_interfaces *cycle_host(struct sampler *sampler, bool dispatch)
{
    struct host_sample *before = &sampler->hosts[sampler->latest_host];
    struct host_sample *after = &sampler->hosts[1 - sampler->latest_host];
    struct error err = {""};
    bool fresh_interfaces;
    int status = host_reader_read(sampler->reader, after, &err);

    log_host_reading(sampler, &err);
    if (status < 0)
        return NULL;
    introduce(sampler, after);
    if (dispatch && sampler->config->collect_host &&
        host_metrics_dispatch(&sampler->host_metrics, &sampler->emitter, before, after) < 0)
        ERROR(PLUGIN_NAME " plugin: out of memory, the host's values of a cycle are lost");
    sampler->latest_host = 1 - sampler->latest_host;
    fresh_interfaces = !isnan(after->interfaces.time_s);
    usage_host_keep(before, after);
    return fresh_interfaces ? &after->interfaces : NULL;
}

static void cycle_vms(struct sampler *sampler, const struct host_interfaces *interfaces,
                      bool dispatch, struct self_metrics *self)
{
    struct vm_set *before = &sampler->sets[sampler->latest_set];
    struct vm_set *after = &sampler->sets[1 - sampler->latest_set];
    struct vm_metrics *metrics = &sampler->vm_metrics;

    /* A set that could not be filled is as good as none. */
    if (vm_source_sample(sampler->source, interfaces, after) < 0 ||
        vm_metrics_update(metrics, after) < 0) {
        ERROR(PLUGIN_NAME " plugin: out of memory, the VMs' values of a cycle are lost");
        return;
    }
    if (is_stopping(sampler))
        return; /* a cycle that was cancelled tells nothing true */
    self->up = after->connected && !after->lost;
    self->silent_vms = after->silent_count;
    self->rpc_count = after->rpc_count;
    if (dispatch) {
        host_metrics_dispatch_vm_counts(&sampler->emitter, metrics->vms, metrics->vms_running);
        if (vm_metrics_dispatch(metrics, &sampler->emitter, before, after) < 0)
            ERROR(PLUGIN_NAME " plugin: out of memory, VMs' values of a cycle are lost");
    }
    notify_events(after, metrics, sampler->emitter.list.time);
    if (after->connected)
        sampler->latest_set = 1 - sampler->latest_set;
}

void sampler_cycle(struct sampler *sampler, uint64_t tick_ns, bool dispatch)
{
    const struct host_interfaces *interfaces = NULL;
    struct self_metrics self = {
        .collects_vms = sampler->source != NULL,
        .missed_cycles = sampler->ticks.missed,
        .started_s = clock_monotonic_s(),
    };

    emitter_begin(&sampler->emitter, NS_TO_CDTIME_T(tick_ns), sampler->interval);
    if (sampler->reader != NULL)
        interfaces = cycle_host(sampler, dispatch);
    if (sampler->source != NULL)
        cycle_vms(sampler, interfaces, dispatch, &self);
    if (dispatch && !is_stopping(sampler))
        host_metrics_dispatch_self(&sampler->emitter, &self);
}

/* ---- the thread ----------------------------------------------------------------------- */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/*
 * Waits for the next tick or the stop; true for the stop. The wait itself is
 * on the monotonic clock: a step of the realtime clock during it is seen at
 * its end, an interval later at most.
 */
static bool wait_for_tick(struct sampler *sampler)
{
    uint64_t until_ns =
        clock_ns(CLOCK_MONOTONIC) + ticks_wait_ns(&sampler->ticks, clock_ns(CLOCK_REALTIME));
    const struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    bool stopping;
    int status = 0;

    pthread_mutex_lock(&sampler->mutex);
    while (!sampler->stopping && status == 0)
        status = pthread_cond_timedwait(&sampler->changed, &sampler->mutex, &until);
    stopping = sampler->stopping;
    pthread_mutex_unlock(&sampler->mutex);
    return stopping;
}

static void *sampler_main(void *argument)
{
    struct sampler *sampler = argument;
    sigset_t all;

    /* Signals are for collectd's main thread, whose sleep they are to end. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);

    while (!wait_for_tick(sampler)) {
        uint64_t tick_ns;
        enum tick_verdict verdict =
            ticks_take(&sampler->ticks, clock_ns(CLOCK_REALTIME), clock_monotonic_s(), &tick_ns);

        if (verdict != TICK_EARLY)
            sampler_cycle(sampler, tick_ns, verdict == TICK_DUE);
    }

    pthread_mutex_lock(&sampler->mutex);
    sampler->finished = true;
    pthread_cond_broadcast(&sampler->changed);
    pthread_mutex_unlock(&sampler->mutex);
    return NULL;
}

/* ---- the contract ------------------------------------------------------------------------- */

static int open_sources(struct sampler *sampler, struct error *err)
{
    const struct setmov_config *config = sampler->config;
    int status;

    if (config->collect_host || config->kernel_path) {
        status = host_reader_new(config->proc_path, config->sys_path, &sampler->reader, err);
        if (status < 0)
            return error_prefix(err, status, "option `ProcPath': '%s'",
                                config->proc_path != NULL ? config->proc_path : "/proc");
    }
    if (config->collect_vms) {
        const struct vm_source_options options = {
            .uri = config->connection,
            .proc_root = config->proc_path,
            .sys_root = config->sys_path,
            .kernel_path = config->kernel_path,
            .deadline_s = config->deadline_s,
            .balloon_period_s = (unsigned)config->balloon_period_s,
        };

        status = vm_source_new(&options, &sampler->source, err);
        if (status < 0)
            return error_prefix(err, status, "option `Connection': '%s'",
                                config->connection != NULL ? config->connection : "");
    }
    return 0;
}

int sampler_new(const struct setmov_config *config, cdtime_t interval, struct sampler **ret_sampler,
                struct error *err)
{
    struct sampler *sampler = calloc(1, sizeof(*sampler));
    pthread_condattr_t attributes;
    int status;

    if (sampler == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    sampler->config = config;
    sampler->interval = interval;
    sampler->ticks.interval_ns = CDTIME_T_TO_NS(interval);
    sampler->host_metrics.config = config;
    sampler->vm_metrics.config = config;
    pthread_mutex_init(&sampler->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&sampler->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    status = open_sources(sampler, err);
    if (status < 0) {
        sampler_free(sampler);
        return status;
    }
    *ret_sampler = sampler;
    return 0;
}

int sampler_start(struct sampler *sampler, struct error *err)
{
    int status = plugin_thread_create(&sampler->thread, sampler_main, sampler, PLUGIN_NAME);

    if (status != 0)
        return error_set(err, -EAGAIN, "cannot start a thread: %s", strerror(status));
    sampler->started = true;
    return 0;
}

bool sampler_stop(struct sampler *sampler, double timeout_s)
{
    uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(timeout_s * 1e9);
    const struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    bool finished;
    int status = 0;

    if (!sampler->started)
        return true;
    pthread_mutex_lock(&sampler->mutex);
    sampler->stopping = true;
    if (sampler->source != NULL)
        vm_source_cancel(sampler->source);
    pthread_cond_broadcast(&sampler->changed);
    while (!sampler->finished && status == 0)
        status = pthread_cond_timedwait(&sampler->changed, &sampler->mutex, &until);
    finished = sampler->finished;
    pthread_mutex_unlock(&sampler->mutex);
    if (!finished) {
        pthread_detach(sampler->thread);
        return false;
    }
    pthread_join(sampler->thread, NULL);
    sampler->started = false;
    return true;
}

void sampler_free(struct sampler *sampler)
{
    if (sampler == NULL)
        return;
    if (sampler->source != NULL)
        vm_source_free(sampler->source, SOURCE_FREE_TIMEOUT_S);
    if (sampler->reader != NULL)
        host_reader_free(sampler->reader);
    for (size_t i = 0; i < ARRAY_LENGTH(sampler->hosts); i++)
        host_sample_release(&sampler->hosts[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(sampler->sets); i++)
        vm_set_release(&sampler->sets[i]);
    host_metrics_release(&sampler->host_metrics);
    vm_metrics_release(&sampler->vm_metrics);
    pthread_cond_destroy(&sampler->changed);
    pthread_mutex_destroy(&sampler->mutex);
    free(sampler);
}
