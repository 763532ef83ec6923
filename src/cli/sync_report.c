/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `setmov sync` says of each host. */
#include "blocks.h"
#include "human.h"
#include "report_json.h"
#include "sync.h"

#include <errno.h>
#include <time.h>

#define COMMAND "sync"

struct sync_age sync_age(int64_t seconds)
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}};
    struct sync_age age = {""};

    if (seconds < 0)
        seconds = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        /* Two of a unit at least: "90 min" says more than "1 h". */
        if (seconds >= 2 * units[i].seconds) {
            string_format(age.text, sizeof(age.text), "%lld %s",
                          (long long)(seconds / units[i].seconds), units[i].unit);
            return age;
        }
    }
    string_format(age.text, sizeof(age.text), "%lld s", (long long)seconds);
    return age;
}

static bool is_whole(const struct peers_result *result)
{
    return result->code == 0 && result->damaged == 0 && !result->budget_ended;
}

static bool is_asked_for(const struct peers_result *result, const char *const *only)
{
    if (!only)
        return true;
    for (; *only; only++) {
        if (strcmp(*only, result->name) == 0)
            return true;
    }
    return false;
}

/* ---- lines -------------------------------------------------------------------------- */

static void print_failure(const struct peers_result *result, int64_t now_s)
{
    struct blocks_shown why = blocks_show(result->error.text);

    printf("not read: %s; ", why.text);
    if (result->read > 0)
        printf("%zu fingerprint%s read before that (%s); ", result->read,
               result->read == 1 ? "" : "s", human_memory(result->bytes_read).text);
    if (result->read_s > 0)
        printf("last read %s ago", sync_age(now_s - result->read_s).text);
    else
        printf("never read before");
}

static void print_success(const struct peers_result *result, bool is_self, int64_t now_s)
{
    printf("%zu fingerprint%s", result->fingerprints, result->fingerprints == 1 ? "" : "s");
    if (!is_self) {
        printf(", %zu read", result->read);
        if (result->dropped > 0)
            printf(", %zu dropped", result->dropped);
        printf(" (%s)", human_memory(result->bytes_read).text);
    }
    printf("; index %s old", sync_age(now_s - result->made_s).text);
    if (result->budget_ended)
        printf("; the budget ended before all were read: the next run goes on");
    if (result->damaged > 0)
        printf("; %zu could not be used: %s", result->damaged,
               blocks_show(result->error.text).text);
}

static void print_line(const struct config *config, const struct peers_result *result, int width,
                       int64_t now_s)
{
    bool is_self = strcmp(result->name, config->setmov.name) == 0;

    printf("%-*s  %s", width, result->name, is_self ? "this host: " : "");
    if (result->code == 0)
        print_success(result, is_self, now_s);
    else
        print_failure(result, now_s);
    putchar('\n');
}

/* ---- JSON --------------------------------------------------------------------------- */

static struct json_object *time_json(int64_t time_s)
{
    return time_s > 0 ? json_object_new_int64(time_s) : NULL;
}

static struct json_object *result_json(const struct config *config,
                                       const struct peers_result *result)
{
    struct json_object *object = json_object_new_object();
    const char *outcome = result->code == 0 ? "read" : "failed";

    report_json_add(object, "host", report_json_text(result->name));
    report_json_add(object, "self",
                    json_object_new_boolean(strcmp(result->name, config->setmov.name) == 0));
    report_json_add(object, "result", report_json_text(outcome));
    report_json_add(object, "error",
                    report_json_text(result->error.text[0] ? result->error.text : NULL));
    report_json_add(object, "bytes_read", json_object_new_uint64(result->bytes_read));
    report_json_add(object, "fingerprints", json_object_new_uint64(result->fingerprints));
    report_json_add(object, "read", json_object_new_uint64(result->read));
    report_json_add(object, "dropped", json_object_new_uint64(result->dropped));
    report_json_add(object, "damaged", json_object_new_uint64(result->damaged));
    report_json_add(object, "budget_ended", json_object_new_boolean(result->budget_ended));
    report_json_add(object, "index_made", time_json(result->made_s));
    report_json_add(object, "last_read", time_json(result->read_s));
    return object;
}

int sync_print(const struct config *config, const struct peers_result *results, size_t count,
               const char *const *only, bool json)
{
    struct json_object *root = json ? json_object_new_object() : NULL;
    struct json_object *hosts = json ? json_object_new_array() : NULL;
    int64_t now_s = time(NULL);
    int width = 0, status = STATUS_OK;

    for (size_t i = 0; i < count; i++) {
        if (is_asked_for(&results[i], only) && (int)strlen(results[i].name) > width)
            width = (int)strlen(results[i].name);
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_asked_for(&results[i], only))
            continue;
        if (!is_whole(&results[i]))
            status = STATUS_FAILED;
        if (json)
            report_json_append(hosts, result_json(config, &results[i]));
        else
            print_line(config, &results[i], width, now_s);
    }
    if (!json)
        return status;
    report_json_add(root, "cache", report_json_text(config->sync.cache));
    report_json_add(root, "hosts", hosts);
    return report_json_print(COMMAND, root) == STATUS_OK ? status : STATUS_FAILED;
}
