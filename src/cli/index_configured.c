/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov index` as setmov.conf has it: this host's libvirt, and an index that its peers can read. */
#include "index.h"
#include "setmov/peers.h"

#include <errno.h>

bool index_is_configured(const struct index_options *options)
{
    return options->operand_count == 0 && !options->connect && !options->directory;
}

static int take_digest(struct index_options *options, const struct config *config)
{
    static const struct command_syntax syntax = {.name = INDEX_COMMAND};

    switch (config->setmov.digest) {
    case CONFIG_DIGEST_SHA256:
        options->blocks.kind = DIGEST_SHA256;
        break;
    case CONFIG_DIGEST_MD5:
        options->blocks.kind = DIGEST_MD5;
        break;
    case CONFIG_DIGEST_KEYED:
        options->blocks.kind = DIGEST_KEYED_SHA256;
        return blocks_option(&syntax, BLOCKS_OPTION_KEY_FILE, config->setmov.key_file,
                             &options->blocks);
    }
    return STATUS_OK;
}

int index_configure(struct index_options *options, const struct config *config)
{
    struct blocks_settings *blocks = &options->blocks;

    options->directory = config->setmov.index;
    if (options->list)
        return STATUS_OK;
    options->offers = config;
    options->connect = true;
    options->uri = config->setmov.connect;
    blocks->block_size_count = config->setmov.block_sizes.count;
    for (size_t i = 0; i < blocks->block_size_count && i < BLOCKS_MAX_WISHES; i++)
        blocks->block_sizes[i] = config->setmov.block_sizes.bytes[i];
    return take_digest(options, config);
}

void index_look_around(const struct index_options *options)
{
    struct error err = {""};

    /* An upload that is under way, say, keeps a pool from being refreshed: the next run sees it. */
    if (peers_refresh_own(options->offers, NULL, NULL, &err) < 0)
        fprintf(stderr, "setmov " INDEX_COMMAND ": note: %s\n", err.text);
}

void index_offer(const struct index_options *options, struct index_report *report)
{
    struct peers_offering offering = {0};
    struct error err = {""};
    int rc = peers_offer(options->offers, blocks_stopped, NULL, &offering, &err);

    if (rc == -ECANCELED)
        return;
    if (rc < 0)
        index_report_problem(report, err.text);
    for (size_t i = 0; i < offering.problem_count; i++)
        index_report_problem(report, offering.problems[i]);
    if (rc == 0)
        index_report_offering(report, &offering);
    peers_offering_release(&offering);
}
