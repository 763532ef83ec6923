/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stand-in for the collectd daemon, for programs that link the plugin's
 * objects: what it is given to dispatch it keeps, so that a test can look at it.
 * To be included by one file of a program, before other headers of the project.
 */
#ifndef SETMOV_TESTS_COLLECTD_STUB_H
#define SETMOV_TESTS_COLLECTD_STUB_H

#include "plugin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STUB_VALUES_MAX        4096
#define STUB_NOTIFICATIONS_MAX 64

static struct stub_values {
    char name[5 * DATA_MAX_NAME_LEN]; /* HOST/PLUGIN[-INSTANCE]/TYPE[-INSTANCE] */
    cdtime_t time, interval;
    size_t count;
    value_t values[2];
    meta_data_t *meta; /* still the caller's */
} stub_values[STUB_VALUES_MAX];
static size_t stub_value_count;
static bool stub_discards; /* count, but keep nothing */

static notification_t stub_notifications[STUB_NOTIFICATIONS_MAX]; /* without their meta data */
static char stub_notification_meta[STUB_NOTIFICATIONS_MAX][256];  /* "name=value " each */
static size_t stub_notification_count;

static char stub_log[65536]; /* "SEVERITY text\n" each */

char *hostname_g = (char *)"node1";

struct meta_data_s {
    char key[64], value[256];
};

static void stub_reset(void)
{
    stub_value_count = 0;
    stub_notification_count = 0;
    stub_log[0] = '\0';
}

/* The values of that name of the latest cycle, or NULL. */
static inline const struct stub_values *stub_find(const char *name)
{
    for (size_t i = 0; i < stub_value_count && i < STUB_VALUES_MAX; i++) {
        if (strcmp(stub_values[i].name, name) == 0)
            return &stub_values[i];
    }
    return NULL;
}

int plugin_dispatch_values(value_list_t const *list)
{
    struct stub_values *kept = &stub_values[stub_value_count % STUB_VALUES_MAX];

    stub_value_count++;
    if (stub_discards)
        return 0;
    snprintf(kept->name, sizeof(kept->name), "%s/%s%s%s/%s%s%s", list->host, list->plugin,
             list->plugin_instance[0] ? "-" : "", list->plugin_instance, list->type,
             list->type_instance[0] ? "-" : "", list->type_instance);
    kept->time = list->time;
    kept->interval = list->interval;
    kept->count = list->values_len;
    memcpy(kept->values, list->values, list->values_len * sizeof(*list->values));
    kept->meta = list->meta;
    return 0;
}

int plugin_dispatch_notification(const notification_t *notification)
{
    size_t at = stub_notification_count++ % STUB_NOTIFICATIONS_MAX;
    char *text = stub_notification_meta[at];
    size_t size = sizeof(stub_notification_meta[at]);

    stub_notifications[at] = *notification;
    text[0] = '\0';
    for (const notification_meta_t *meta = notification->meta; meta != NULL; meta = meta->next) {
        size_t used = strlen(text);

        snprintf(text + used, size - used, "%s=%s ", meta->name, meta->nm_value.nm_string);
    }
    return 0;
}

int plugin_notification_meta_add_string(notification_t *notification, const char *name,
                                        const char *value)
{
    notification_meta_t **end = &notification->meta;

    while (*end != NULL)
        end = &(*end)->next;
    *end = calloc(1, sizeof(**end));
    if (*end == NULL)
        return -1;
    snprintf((*end)->name, sizeof((*end)->name), "%s", name);
    (*end)->type = NM_TYPE_STRING;
    (*end)->nm_value.nm_string = strdup(value);
    return 0;
}

int plugin_notification_meta_free(notification_meta_t *meta)
{
    while (meta != NULL) {
        notification_meta_t *next = meta->next;

        free((void *)meta->nm_value.nm_string);
        free(meta);
        meta = next;
    }
    return 0;
}

void plugin_log(int level, const char *format, ...)
{
    size_t used = strlen(stub_log);
    va_list arguments;

    snprintf(stub_log + used, sizeof(stub_log) - used, "%d ", level);
    used = strlen(stub_log);
    va_start(arguments, format);
    vsnprintf(stub_log + used, sizeof(stub_log) - used, format, arguments);
    va_end(arguments);
    used = strlen(stub_log);
    snprintf(stub_log + used, sizeof(stub_log) - used, "\n");
}

meta_data_t *meta_data_create(void)
{
    return calloc(1, sizeof(meta_data_t));
}

void meta_data_destroy(meta_data_t *meta)
{
    free(meta);
}

int meta_data_add_string(meta_data_t *meta, const char *key, const char *value)
{
    snprintf(meta->key, sizeof(meta->key), "%s", key);
    snprintf(meta->value, sizeof(meta->value), "%s", value);
    return 0;
}

int plugin_thread_create(pthread_t *thread, void *(*start_routine)(void *), void *argument,
                         char const *name)
{
    (void)name;
    return pthread_create(thread, NULL, start_routine, argument);
}

#endif
