/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov choose --merged FILE`: the facts of all hosts from one merged index. */
#include "choose.h"
#include "setmov/catalog_merged_file.h"

#include <errno.h>

static int add_problem(void *context, size_t host, const char *path, const struct error *error)
{
    struct choose_hosts *hosts = context;

    return choose_host_add_problem(&hosts->hosts[host], path, error);
}

static bool stopped(void *unused)
{
    (void)unused;
    return blocks_stopped(NULL);
}

/* Nothing of what is there counts: why? Where there is nothing it is a host, too. */
static int explain_nothing(struct choose_host *host, const struct catalog_merged_state *state,
                           const struct fingerprint_view *image)
{
    char why[128];

    if (state->problems)
        return host->problem_count > 0
                   ? choose_host_unusable_by_problem(host)
                   : choose_host_set_unusable(host, "nothing of what it holds can be used");
    if (state->other_kinds) {
        string_format(why, sizeof(why), "its index has no %s digests of %u bytes%s",
                      blocks_digest_name(image->kind), image->block_size,
                      image->kind == DIGEST_KEYED_SHA256 ? " with this key" : "");
        return choose_host_set_unusable(host, why);
    }
    if (state->images_only)
        return choose_host_set_unusable(host, "its directory has no fingerprints; images are not "
                                              "read for a merged index");
    return 0;
}

static int take_state(struct choose_host *host, const struct catalog_merged_state *state,
                      const struct fingerprint_view *image)
{
    int rc = 0;

    host->facts.images = state->images;
    if (state->code < 0)
        return choose_host_set_unreadable(host, state->code);
    if (state->images == 0)
        return explain_nothing(host, state, image);
    if (state->problems)
        rc = choose_host_add_note(host, "some of what its index holds could not be used");
    if (rc == 0 && state->provisional)
        rc = choose_host_add_note(host, "some of its images " CHOOSE_PROVISIONAL);
    return rc;
}

static int ask(struct choose_hosts *hosts, const struct catalog_merged_file *file,
               const struct fingerprint_view *image, struct error *err)
{
    CLEANUP(cleanup_free)
    struct similarity_estimate *all = calloc(hosts->count + 1, sizeof(*all));
    int rc = all != NULL ? catalog_merged_file_query(file, image, all, err) : -ENOMEM;

    for (size_t i = 0; rc == 0 && i < hosts->count; i++) {
        struct catalog_merged_state state = catalog_merged_file_state(file, i);

        hosts->hosts[i].facts.all = all[i];
        rc = take_state(&hosts->hosts[i], &state, image);
    }
    return rc;
}

int choose_merged(struct choose_hosts *hosts, const char *path, const struct choose_query *query,
                  struct error *err)
{
    CLEANUP(cleanup_free)
    struct catalog_merged_source *sources = calloc(hosts->count + 1, sizeof(*sources));
    struct catalog_merged_options options = {
        .temporary = query->settings->build.temporary,
        .stopped = stopped,
        .problem = add_problem,
        .context = hosts,
    };
    struct catalog_kind kind = choose_kind_of(&query->image->view);
    struct catalog_merged_file *file = NULL;
    int rc;

    if (sources == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < hosts->count; i++)
        sources[i] =
            (struct catalog_merged_source){hosts->hosts[i].name, hosts->hosts[i].directory};
    rc = catalog_merged_file_open(path, sources, hosts->count, &kind, &options, &file, err);
    if (rc == 0)
        rc = ask(hosts, file, &query->image->view, err);
    catalog_merged_file_close(file);
    return rc;
}
