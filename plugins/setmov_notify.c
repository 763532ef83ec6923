/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turns events into collectd notifications and log lines: see setmov_notify.h. */
#include "setmov_notify.h"

struct event_class {
    int severity;     /* of the notification; 0: a log line instead */
    const char *name; /* meta data "event"; also what a script can go by */
};

/*
 * FAILURE: the VM is of no use and nobody asked for it. WARNING: it does not
 * run, perhaps because somebody wanted so. OKAY: it runs, here or elsewhere.
 */
static const struct event_class classes[] = {
    [VM_EVENT_STARTED] = {NOTIF_OKAY, "started"},
    [VM_EVENT_STOPPED] = {NOTIF_WARNING, "stopped"},
    [VM_EVENT_CRASHED] = {NOTIF_FAILURE, "crashed"},
    [VM_EVENT_PAUSED] = {NOTIF_WARNING, "paused"},
    [VM_EVENT_RESUMED] = {NOTIF_OKAY, "resumed"},
    [VM_EVENT_MIGRATED_IN] = {NOTIF_OKAY, "migrated-in"},
    [VM_EVENT_MIGRATED_OUT] = {NOTIF_OKAY, "migrated-out"},
    [VM_EVENT_NOT_ANSWERING] = {NOTIF_FAILURE, "not-answering"},
    [VM_EVENT_ANSWERING] = {NOTIF_OKAY, "answering"},
};

static void notify_vm(const struct vm_event *event, const struct event_class *class,
                      const struct identity *identity, cdtime_t time)
{
    notification_t notification = {.severity = class->severity, .time = time};

    string_copy(notification.message, sizeof(notification.message), event->text);
    string_copy(notification.host, sizeof(notification.host), identity->host);
    string_copy(notification.plugin, sizeof(notification.plugin), PLUGIN_NAME);
    string_copy(notification.plugin_instance, sizeof(notification.plugin_instance),
                identity->plugin_instance);
    string_copy(notification.type, sizeof(notification.type), "domain_state");
    plugin_notification_meta_add_string(&notification, "event", class->name);
    plugin_notification_meta_add_string(&notification, "uuid", event->uuid);
    plugin_dispatch_notification(&notification);
    if (notification.meta != NULL)
        plugin_notification_meta_free(notification.meta);
}

void notify_events(const struct vm_set *set, const struct vm_metrics *metrics, cdtime_t time)
{
    for (size_t i = 0; i < set->event_count; i++) {
        const struct vm_event *event = &set->events[i];
        struct identity identity;

        if (event->kind == VM_EVENT_SOURCE_LOST || event->kind == VM_EVENT_BALLOON_REFUSED)
            WARNING(PLUGIN_NAME " plugin: %s", event->text);
        else if (event->kind == VM_EVENT_SOURCE_RETURNED)
            NOTICE(PLUGIN_NAME " plugin: %s", event->text);
        else if ((size_t)event->kind < ARRAY_LENGTH(classes) &&
                 vm_metrics_identity(metrics, event->name, event->uuid, &identity))
            notify_vm(event, &classes[event->kind], &identity, time);
    }
}
