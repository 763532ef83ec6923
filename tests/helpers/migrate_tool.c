/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A migration's steps by libvirt, for scripts:
 *
 *   chains|where|abort|post-copy|suspend|resume|forget URI UUID
 *   freeze URI UUID 0|1 [TARGET OVERLAY]...    1: quiesce
 *   thaw URI UUID TARGET OVERLAY [POLLS]       stopped after so many
 *   thaw-off URI UUID TARGET OVERLAY
 *   progress URI UUID 0|1                      1: of the one that ended
 *   discard URI UUID 0|1                       1: undefine
 *   migrate URI UUID DESTINATION [KEY=VALUE]...
 *   xml FILE [KEY=VALUE]...                    keys: plan, disk
 *   volumes URI POOL PREFIX
 *   send URI POOL VOLUME FILE RATE [BYTES]     ended by the callback after so many
 *   volume-delete URI POOL VOLUME
 *   file-delete URI PATH
 *
 * A disk: TARGET,FORMAT:PATH[,FORMAT:PATH]..., top layer first.
 */
#include "setmov/vm_migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define MOST_DISKS  8
#define MOST_LAYERS 8

struct call {
    struct vm_peer *peer;
    struct uuid uuid;
    char **words; /* behind the UUID, NULL at the end */
    int count;
};

static int usage(struct error *err)
{
    return error_set(err, -EINVAL, "see the head of migrate_tool.c");
}

/* ---- disks and options ---------------------------------------------------------------------- */

struct disks {
    struct vm_migrate_disk list[MOST_DISKS];
    struct vm_layer layers[MOST_DISKS][MOST_LAYERS];
    size_t count;
};

/* Cuts the text into pieces. */
static int take_disk(char *text, struct disks *disks)
{
    char *rest = NULL, *word = strtok_r(text, ",", &rest);
    struct vm_migrate_disk *disk = &disks->list[disks->count];
    struct vm_layer *layers = disks->layers[disks->count];

    if (!word || disks->count == MOST_DISKS)
        return -EINVAL;
    *disk = (struct vm_migrate_disk){.target = word, .layers = layers};
    for (word = strtok_r(NULL, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        char *colon = strchr(word, ':');

        if (!colon || disk->count == MOST_LAYERS)
            return -EINVAL;
        *colon = '\0';
        layers[disk->count++] = (struct vm_layer){.path = colon + 1, .format = word};
    }
    disks->count++;
    return 0;
}

static const uint8_t plan_sha256[32] = {0xab, 1, 2, 3};

static int take_option(char *word, struct vm_migrate_options *options, struct disks *disks)
{
    char *value = strchr(word, '=');
    const struct {
        const char *name;
        const char **text;
        uint64_t *number;
        bool *flag;
    } known[] = {
        {"uri", &options->migrate_uri, NULL, NULL},
        {"disks-uri", &options->disks_uri, NULL, NULL},
        {"listen", &options->listen_address, NULL, NULL},
        {"plan", &options->plan_name, NULL, NULL},
        {"bandwidth", NULL, &options->bandwidth_bits_per_s, NULL},
        {"downtime", NULL, &options->downtime_ms, NULL},
        {"tls", NULL, NULL, &options->tls},
        {"auto-converge", NULL, NULL, &options->auto_converge},
        {"post-copy", NULL, NULL, &options->post_copy},
        {"paused", NULL, NULL, &options->paused},
        {"offline", NULL, NULL, &options->offline},
        {"persistent", NULL, NULL, &options->persistent},
    };
    uint64_t number = 0;

    if (!value)
        return -EINVAL;
    *value++ = '\0';
    if (strcmp(word, "disk") == 0)
        return take_disk(value, disks);
    if (strcmp(word, "port") == 0 && parse_u64(value, &number) == 0) {
        options->disks_port = (unsigned)number;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        if (strcmp(word, known[i].name) != 0)
            continue;
        if (known[i].text)
            *known[i].text = value;
        if (known[i].flag)
            *known[i].flag = strcmp(value, "1") == 0;
        return known[i].number ? parse_u64(value, known[i].number) : 0;
    }
    return -EINVAL;
}

static int take_options(char **words, int count, struct vm_migrate_options *options,
                        struct disks *disks, struct error *err)
{
    disks->count = 0;
    for (int i = 0; i < count; i++)
        if (take_option(words[i], options, disks) < 0)
            return usage(err);
    options->disks = disks->list;
    options->disk_count = disks->count;
    options->plan_sha256 = plan_sha256;
    return 0;
}

/* ---- freezing -------------------------------------------------------------------------------- */

static int run_chains(const struct call *call, struct error *err)
{
    struct vm_chains chains = {NULL, 0, 0};
    int r = vm_chains_read(call->peer, &call->uuid, &chains, err);

    for (size_t i = 0; i < chains.count; i++) {
        printf("%s", chains.chains[i].target);
        for (size_t j = 0; j < chains.chains[i].count; j++)
            printf(" %s:%s", chains.chains[i].layers[j].format, chains.chains[i].layers[j].path);
        printf("\n");
    }
    vm_chains_release(&chains);
    return r;
}

static int run_freeze(const struct call *call, struct error *err)
{
    struct vm_freeze_disk disks[MOST_DISKS];
    size_t count = 0;

    for (int i = 1; i + 1 < call->count && count < MOST_DISKS; i += 2)
        disks[count++] =
            (struct vm_freeze_disk){.target = call->words[i], .overlay = call->words[i + 1]};
    return vm_freeze(call->peer, &call->uuid, disks, count, strcmp(call->words[0], "1") == 0, err);
}

static bool count_down(void *context)
{
    uint64_t *left = context;

    return *left == 0 || --*left == 0;
}

static int run_thaw(const struct call *call, struct error *err)
{
    const struct vm_freeze_disk disk = {.target = call->words[0], .overlay = call->words[1]};
    uint64_t polls = 0;

    if (call->count == 2)
        return vm_thaw(call->peer, &call->uuid, &disk, NULL, NULL, err);
    if (parse_u64(call->words[2], &polls) < 0)
        return usage(err);
    return vm_thaw(call->peer, &call->uuid, &disk, count_down, &polls, err);
}

static int run_thaw_off(const struct call *call, struct error *err)
{
    const struct vm_freeze_disk disk = {.target = call->words[0], .overlay = call->words[1]};

    return vm_thaw_off(call->peer, &call->uuid, &disk, err);
}

/* ---- migrating -------------------------------------------------------------------------------- */

static int run_migrate(const struct call *call, struct error *err)
{
    struct vm_migrate_options options = {.destination_uri = call->words[0]};
    struct disks disks;
    int r = take_options(call->words + 1, call->count - 1, &options, &disks, err);

    return r < 0 ? r : vm_migrate(call->peer, &call->uuid, &options, err);
}

static int run_progress(const struct call *call, struct error *err)
{
    struct vm_migrate_progress now;
    int r =
        vm_migrate_progress(call->peer, &call->uuid, strcmp(call->words[0], "1") == 0, &now, err);

    if (r == 0)
        printf("active %d memory %llu %llu %llu disk %llu %llu %llu downtime %llu iterations "
               "%llu\n",
               now.active, (unsigned long long)now.memory_total,
               (unsigned long long)now.memory_sent, (unsigned long long)now.memory_remaining,
               (unsigned long long)now.disk_total, (unsigned long long)now.disk_sent,
               (unsigned long long)now.disk_remaining, (unsigned long long)now.downtime_ms,
               (unsigned long long)now.iterations);
    return r;
}

static int run_where(const struct call *call, struct error *err)
{
    static const char *const names[] = {"absent",   "off",      "running", "paused",
                                        "incoming", "outgoing", "other"};
    struct vm_where where;
    int r = vm_where(call->peer, &call->uuid, &where, err);

    if (r == 0)
        printf("%s persistent %d job %d: %s\n", names[where.place], where.persistent, where.has_job,
               where.state);
    return r;
}

static int run_abort(const struct call *call, struct error *err)
{
    return vm_migrate_abort(call->peer, &call->uuid, err);
}

static int run_post_copy(const struct call *call, struct error *err)
{
    return vm_migrate_post_copy(call->peer, &call->uuid, err);
}

static int run_suspend(const struct call *call, struct error *err)
{
    return vm_migrate_suspend(call->peer, &call->uuid, err);
}

static int run_resume(const struct call *call, struct error *err)
{
    return vm_resume(call->peer, &call->uuid, err);
}

static int run_forget(const struct call *call, struct error *err)
{
    return vm_forget_plan(call->peer, &call->uuid, err);
}

static int run_discard(const struct call *call, struct error *err)
{
    return vm_discard(call->peer, &call->uuid, strcmp(call->words[0], "1") == 0, err);
}

/* ---- files -------------------------------------------------------------------------------------- */

static int run_volumes(const struct call *call, struct error *err)
{
    struct vm_volumes volumes = {NULL, 0, 0};
    int r = vm_volumes_list(call->peer, call->words[0], call->words[1], &volumes, err);

    for (size_t i = 0; i < volumes.count; i++)
        printf("%s %llu\n", volumes.volumes[i].name, (unsigned long long)volumes.volumes[i].bytes);
    vm_volumes_release(&volumes);
    return r;
}

struct sent {
    uint64_t most, calls, last;
};

static int see_sent(void *context, uint64_t bytes)
{
    struct sent *sent = context;

    sent->calls++;
    sent->last = bytes;
    return sent->most > 0 && bytes >= sent->most ? -ECANCELED : 0;
}

static int run_send(const struct call *call, struct error *err)
{
    struct file_buffer file = {NULL, 0, 0};
    struct sent sent = {0, 0, 0};
    uint64_t rate = 0;
    int r = file_read(AT_FDCWD, call->words[2], &file);

    if (r < 0 || parse_u64(call->words[3], &rate) < 0 ||
        (call->count > 4 && parse_u64(call->words[4], &sent.most) < 0))
        r = usage(err);
    if (r == 0)
        r = vm_volume_send(call->peer, call->words[0], call->words[1], file.bytes, file.length,
                           rate, see_sent, &sent, err);
    printf("calls %llu last %llu\n", (unsigned long long)sent.calls, (unsigned long long)sent.last);
    file_buffer_release(&file);
    return r;
}

static int run_volume_delete(const struct call *call, struct error *err)
{
    return vm_volume_delete(call->peer, call->words[0], call->words[1], err);
}

static int run_file_delete(const struct call *call, struct error *err)
{
    return vm_file_delete(call->peer, call->words[0], err);
}

static int run_xml(char **words, int count, struct error *err)
{
    struct vm_migrate_options options = {.plan_name = NULL};
    struct file_buffer file = {NULL, 0, 0};
    char *xml = NULL;
    struct disks disks;
    int r = file_read(AT_FDCWD, words[0], &file);

    if (r == 0)
        r = take_options(words + 1, count - 1, &options, &disks, err);
    if (r == 0)
        r = vm_migrate_xml(text_of(file.bytes, file.length), options.disks, options.disk_count,
                           options.plan_name, options.plan_sha256, &xml, err);
    if (r == 0)
        printf("%s\n", xml);
    free(xml);
    file_buffer_release(&file);
    return r;
}

/* ---- which one ----------------------------------------------------------------------------------- */

static const struct command {
    const char *name;
    bool of_vm; /* its third word is a UUID */
    int least;  /* words behind that */
    int (*run)(const struct call *call, struct error *err);
} commands[] = {
    {"chains", true, 0, run_chains},
    {"freeze", true, 1, run_freeze},
    {"thaw", true, 2, run_thaw},
    {"thaw-off", true, 2, run_thaw_off},
    {"migrate", true, 1, run_migrate},
    {"progress", true, 1, run_progress},
    {"abort", true, 0, run_abort},
    {"post-copy", true, 0, run_post_copy},
    {"suspend", true, 0, run_suspend},
    {"where", true, 0, run_where},
    {"resume", true, 0, run_resume},
    {"discard", true, 1, run_discard},
    {"forget", true, 0, run_forget},
    {"volumes", false, 2, run_volumes},
    {"send", false, 4, run_send},
    {"volume-delete", false, 2, run_volume_delete},
    {"file-delete", false, 1, run_file_delete},
};

static int run(int argc, char **argv, struct error *err)
{
    struct call call = {.words = argv + 3, .count = argc - 3};
    const struct command *command = NULL;
    int r;

    if (argc >= 3 && strcmp(argv[1], "xml") == 0)
        return run_xml(argv + 2, argc - 2, err);
    for (size_t i = 0; argc >= 3 && i < ARRAY_LENGTH(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            command = &commands[i];
    if (!command || call.count < command->least + command->of_vm)
        return usage(err);
    if (command->of_vm) {
        if (uuid_parse(call.words[0], &call.uuid) < 0)
            return usage(err);
        call.words++;
        call.count--;
    }
    r = vm_peer_open(argv[2], &call.peer, err);
    if (r == 0)
        r = command->run(&call, err);
    vm_peer_close(call.peer);
    return r;
}

int main(int argc, char **argv)
{
    struct error err = {""};
    int r;

    vm_peer_prepare();
    r = run(argc, argv, &err);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", strerrorname_np(-r), err.text);
    return r < 0 ? 1 : 0;
}
