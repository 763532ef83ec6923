/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which RRD files of a subject make up one of its graphs. */
#include "setmov/history.h"

#include <errno.h>
#include <math.h>

static void series_release(struct graph_series *series)
{
    free(series->path);
    free(series->device);
}

void graph_plan_release(struct graph_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->count; i++)
        series_release(&plan->series[i]);
    free(plan->series);
    *plan = (struct graph_plan){0};
}

static bool has_metric(const struct history_subject *subject, const char *metric)
{
    size_t low = 0, high = subject->metrics.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(metric, subject->metrics.items[middle]);

        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static int add_series(struct graph_plan *plan, const char *metric, const struct graph_row *row,
                      const char *device)
{
    struct graph_series *series;

    if (array_reserve(&plan->series, &plan->capacity, plan->count + 1, sizeof(*series)) < 0)
        return -ENOMEM;
    series = &plan->series[plan->count];
    *series = (struct graph_series){.row = row, .extremes = true, .weight = NAN};
    if (asprintf(&series->path, "%s/%s.rrd", plan->subject->directory, metric) < 0)
        return -ENOMEM;
    if (device) {
        series->device = strdup(device);
        if (!series->device) {
            free(series->path);
            return -ENOMEM;
        }
    }
    plan->count++;
    return 0;
}

int graph_plan_make(const struct graph_kind *kind, const struct history_subject *subject,
                    struct graph_plan *plan)
{
    size_t length = kind->pair ? strlen(kind->pair->metric_prefix) : 0;
    int code = 0;

    plan->kind = kind;
    plan->subject = subject;
    for (size_t i = 0; i < kind->row_count && code == 0; i++)
        if (has_metric(subject, kind->rows[i].metric))
            code = add_series(plan, kind->rows[i].metric, &kind->rows[i], NULL);
    for (size_t i = 0; length && i < subject->metrics.count && code == 0; i++) {
        const char *metric = subject->metrics.items[i];

        if (strncmp(metric, kind->pair->metric_prefix, length) == 0 && metric[length] != '\0')
            code = add_series(plan, metric, NULL, metric + length);
    }
    return code;
}

void graph_plan_drop(struct graph_plan *plan, size_t index)
{
    series_release(&plan->series[index]);
    plan->count--;
    memmove(&plan->series[index], &plan->series[index + 1],
            (plan->count - index) * sizeof(*plan->series));
}

static bool is_total(const struct graph_kind *kind, const struct graph_series *series)
{
    return kind->pair->total && strcmp(series->device, kind->pair->total) == 0;
}

/* Heaviest first, unknown last; in order of name among equals. */
static int compare_weights(const void *left, const void *right)
{
    const struct graph_series *a = left, *b = right;

    if (isnan(a->weight) != isnan(b->weight))
        return isnan(a->weight) ? 1 : -1;
    if (!isnan(a->weight) && a->weight != b->weight)
        return a->weight < b->weight ? 1 : -1;
    return strcmp(a->device, b->device);
}

void graph_plan_trim(struct graph_plan *plan)
{
    size_t totals = 0, most = GRAPH_DEVICES_MAX;

    if (!plan->kind->pair)
        return;
    for (size_t i = 0; i < plan->count; i++) {
        if (is_total(plan->kind, &plan->series[i])) {
            struct graph_series total = plan->series[i];

            memmove(&plan->series[1], &plan->series[0], i * sizeof(total));
            plan->series[0] = total;
            totals = 1;
        }
    }
    plan->complete = true;
    most += totals;
    if (plan->count <= most)
        return;
    qsort(plan->series + totals, plan->count - totals, sizeof(*plan->series), compare_weights);
    plan->left_out = plan->count - most;
    plan->complete = plan->kind->additive && plan->count <= GRAPH_SUMMED_MAX;
    for (size_t i = most; plan->complete && i < plan->count; i++)
        plan->series[i].hidden = true;
    while (!plan->complete && plan->count > most)
        graph_plan_drop(plan, plan->count - 1);
}
