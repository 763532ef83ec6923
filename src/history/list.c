/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose figures a directory of collectd's RRD tree holds, and a list of them. */
#include "setmov/history.h"

#include <errno.h>
#include <search.h>

static void subject_release(struct history_subject *subject)
{
    free(subject->name);
    free(subject->host);
    free(subject->directory);
    free(subject->stem);
    history_strings_release(&subject->metrics);
}

void history_list_release(struct history_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        subject_release(&list->subjects[i]);
    free(list->subjects);
    *list = (struct history_list){0};
}

/* 8-4-4-4-12 hexadecimal digits. */
static bool is_uuid(const char *name)
{
    if (strlen(name) != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? name[i] != '-' : !strchr("0123456789abcdefABCDEF", name[i]))
            return false;
    }
    return true;
}

bool history_classify(const char *host, const char *plugin, bool has_host_metrics,
                      enum history_kind *ret_kind, const char **ret_name, const char **ret_host)
{
    static const char prefix[] = "setmov-";
    const char *instance;

    if (strcmp(plugin, "setmov") == 0) {
        *ret_kind = HISTORY_VM;
        *ret_name = host;
        *ret_host = NULL;
        return true;
    }
    if (strncmp(plugin, prefix, strlen(prefix)) != 0)
        return false;
    instance = plugin + strlen(prefix);
    if (*instance == '\0' || strcmp(instance, "self") == 0)
        return false;
    if (strcmp(instance, "host") == 0) {
        *ret_kind = HISTORY_HOST;
        *ret_name = host;
        *ret_host = NULL;
        return true;
    }
    *ret_kind = HISTORY_VM;
    if (is_uuid(instance) && !has_host_metrics) {
        *ret_name = host;
        *ret_host = NULL;
    } else {
        *ret_name = instance;
        *ret_host = host;
    }
    return true;
}

static int compare_subjects(const void *left, const void *right)
{
    const struct history_subject *a = left, *b = right;
    int order = (a->kind > b->kind) - (a->kind < b->kind);

    if (order == 0)
        order = strcmp(a->name, b->name);
    if (order == 0)
        order = strcmp(a->host ? a->host : "", b->host ? b->host : "");
    return order ? order : strcmp(a->directory, b->directory);
}

static int compare_strings(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static int compare_keys(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void keep_key(void *key)
{
    (void)key; /* the tree's keys are the subjects' stems */
}

/*
 * The stem alone where it is free; else with the host before or "-vm" behind
 * it; else with the first number that makes it differ.
 */
static int give_stem(struct history_subject *subject, void **taken)
{
    CLEANUP(cleanup_free) char *plain = history_safe_stem(subject->name);
    CLEANUP(cleanup_free) char *host = history_safe_stem(subject->host ? subject->host : "");

    if (!plain || !host)
        return -ENOMEM;
    for (unsigned attempt = 0;; attempt++) {
        char *stem = NULL;
        int length;
        void *node;

        if (attempt == 0)
            length = asprintf(&stem, "%s", plain);
        else if (attempt == 1 && subject->host && strlen(plain) + strlen(host) < 200)
            length = asprintf(&stem, "%s-%s", host, plain);
        else if (attempt == 1 && subject->kind == HISTORY_VM)
            length = asprintf(&stem, "%s-vm", plain);
        else
            length = asprintf(&stem, "%s-%u", plain, attempt + (attempt == 1));
        if (length < 0)
            return -ENOMEM;
        node = tsearch(stem, taken, compare_keys);
        if (node && *(char **)node == stem) {
            subject->stem = stem;
            return 0;
        }
        free(stem);
        if (!node)
            return -ENOMEM;
    }
}

int history_list_finish(struct history_list *list)
{
    void *taken = NULL;
    int code = 0;

    if (list->count > 1)
        qsort(list->subjects, list->count, sizeof(*list->subjects), compare_subjects);
    for (size_t i = 0; i < list->count && code == 0; i++) {
        struct history_subject *subject = &list->subjects[i];

        if (subject->metrics.count > 1)
            qsort(subject->metrics.items, subject->metrics.count, sizeof(char *), compare_strings);
        code = give_stem(subject, &taken);
    }
    tdestroy(taken, keep_key);
    return code;
}
