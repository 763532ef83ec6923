/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's lifecycle events, kept until the sampler asks. */
#include "vm/lifecycle.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <signal.h>

/* Stops, and changes of devices, between two cycles that can be told apart. */
#define REMEMBERED 256

struct lifecycle {
    pthread_mutex_t lock;
    unsigned references;
    struct {
        char uuid[VM_UUID_TEXT_BYTES];
        enum vm_stop_cause cause;
    } stops[REMEMBERED];
    unsigned next;
    char changed[REMEMBERED][VM_UUID_TEXT_BYTES];
    unsigned changed_count;
    bool changed_all; /* more than could be kept */
};

static void ignore_error(void *context, virErrorPtr error)
{
    (void)context;
    (void)error;
}

static void *event_loop(void *argument)
{
    (void)argument;
    for (;;)
        if (virEventRunDefaultImpl() < 0)
            nanosleep(&(struct timespec){0, 100000000}, NULL);
    return NULL;
}

static void ignore_timeout(int timer, void *context)
{
    (void)timer;
    (void)context;
}

static void start_event_loop(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;

    virSetErrorFunc(NULL, ignore_error);
    /* Does nothing where another plugin of this process has registered it already. */
    virEventRegisterDefaultImpl();
    /* The loop sleeps for good without any source; connections add theirs while it runs. */
    virEventAddTimeout(1000, ignore_timeout, NULL, NULL);
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&thread, &attributes, event_loop, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

void lifecycle_start_event_loop(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start_event_loop);
}

int lifecycle_new(struct lifecycle **ret_lifecycle)
{
    struct lifecycle *lifecycle = calloc(1, sizeof(*lifecycle));

    if (!lifecycle)
        return -ENOMEM;
    pthread_mutex_init(&lifecycle->lock, NULL);
    lifecycle->references = 1;
    *ret_lifecycle = lifecycle;
    return 0;
}

struct lifecycle *lifecycle_ref(struct lifecycle *lifecycle)
{
    pthread_mutex_lock(&lifecycle->lock);
    lifecycle->references++;
    pthread_mutex_unlock(&lifecycle->lock);
    return lifecycle;
}

void lifecycle_unref(struct lifecycle *lifecycle)
{
    bool last;

    if (!lifecycle)
        return;
    pthread_mutex_lock(&lifecycle->lock);
    last = --lifecycle->references == 0;
    pthread_mutex_unlock(&lifecycle->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&lifecycle->lock);
    free(lifecycle);
}

static void free_callback_data(void *lifecycle)
{
    lifecycle_unref(lifecycle);
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                        void *context)
{
    struct lifecycle *lifecycle = context;
    char uuid[VIR_UUID_STRING_BUFLEN];
    enum vm_stop_cause cause;

    (void)connection;
    if (event != VIR_DOMAIN_EVENT_STOPPED || virDomainGetUUIDString(domain, uuid) < 0)
        return 0;
    cause = detail == VIR_DOMAIN_EVENT_STOPPED_CRASHED || detail == VIR_DOMAIN_EVENT_STOPPED_FAILED
                ? VM_STOP_CRASHED
            : detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED ? VM_STOP_MIGRATED
                                                          : VM_STOP_SHUTDOWN;
    pthread_mutex_lock(&lifecycle->lock);
    string_copy(lifecycle->stops[lifecycle->next].uuid, VM_UUID_TEXT_BYTES, uuid);
    lifecycle->stops[lifecycle->next].cause = cause;
    lifecycle->next = (lifecycle->next + 1) % REMEMBERED;
    pthread_mutex_unlock(&lifecycle->lock);
    return 0;
}

/* Both "device added" and "device removed". */
static void on_device(virConnectPtr connection, virDomainPtr domain, const char *alias,
                      void *context)
{
    struct lifecycle *lifecycle = context;
    char uuid[VIR_UUID_STRING_BUFLEN];

    (void)connection;
    (void)alias;
    if (virDomainGetUUIDString(domain, uuid) < 0)
        return;
    pthread_mutex_lock(&lifecycle->lock);
    if (lifecycle->changed_count < REMEMBERED)
        string_copy(lifecycle->changed[lifecycle->changed_count++], VM_UUID_TEXT_BYTES, uuid);
    else
        lifecycle->changed_all = true;
    pthread_mutex_unlock(&lifecycle->lock);
}

bool lifecycle_listen(struct lifecycle *lifecycle, virConnectPtr connection,
                      int ret_ids[LIFECYCLE_CALLBACKS])
{
    const struct {
        int event;
        virConnectDomainEventGenericCallback callback;
    } table[LIFECYCLE_CALLBACKS] = {
        {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
    };

    for (size_t i = 0; i < LIFECYCLE_CALLBACKS; i++) {
        ret_ids[i] =
            virConnectDomainEventRegisterAny(connection, NULL, table[i].event, table[i].callback,
                                             lifecycle_ref(lifecycle), free_callback_data);
        if (ret_ids[i] < 0)
            lifecycle_unref(lifecycle); /* libvirt frees the data only of what it registered */
    }
    return ret_ids[1] >= 0 && ret_ids[2] >= 0;
}

bool lifecycle_next_changed(struct lifecycle *lifecycle, char ret_uuid[VM_UUID_TEXT_BYTES],
                            bool *ret_all)
{
    bool any;

    pthread_mutex_lock(&lifecycle->lock);
    *ret_all = lifecycle->changed_all;
    lifecycle->changed_all = false;
    any = lifecycle->changed_count > 0;
    if (any)
        string_copy(ret_uuid, VM_UUID_TEXT_BYTES, lifecycle->changed[--lifecycle->changed_count]);
    pthread_mutex_unlock(&lifecycle->lock);
    return any;
}

enum vm_stop_cause lifecycle_cause(const char *uuid, void *context)
{
    struct lifecycle *lifecycle = context;
    enum vm_stop_cause cause = VM_STOP_UNKNOWN;

    pthread_mutex_lock(&lifecycle->lock);
    for (unsigned back = 1; back <= REMEMBERED; back++) {
        unsigned at = (lifecycle->next + REMEMBERED - back) % REMEMBERED;

        if (strcmp(lifecycle->stops[at].uuid, uuid) != 0)
            continue;
        if (cause == VM_STOP_UNKNOWN)
            cause = lifecycle->stops[at].cause;
        lifecycle->stops[at].uuid[0] = '\0';
    }
    pthread_mutex_unlock(&lifecycle->lock);
    return cause;
}
