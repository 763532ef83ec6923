/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of all keys of setmov.conf: where each stands and goes, what it takes, its default. A
 * key is added here and in docs/setmov.conf.5 and etc/setmov.conf; a test compares the three.
 */
#include "internal.h"

const struct section_info config_sections[SECTION_COUNT] = {
    [SECTION_SETMOV] = {"setmov", false},   [SECTION_HOST] = {"host", true},
    [SECTION_SYNC] = {"sync", false},       [SECTION_CHOOSE] = {"choose", false},
    [SECTION_GROUP] = {"group", true},      [SECTION_HOOK] = {"hook", false},
    [SECTION_MIGRATE] = {"migrate", false},
};

/* In the order of the enums in config.h. */
static const char *const digests[] = {"sha256", "md5", "keyed", NULL};
static const char *const policies[] = {"advise", "enforce", "redirect", "off", NULL};
static const char *const unknowns[] = {"pass", "refuse", NULL};
static const char *const old_images[] = {"keep", "remove", NULL};
/* In the order of the members of struct config_log and config_override. */
static const char *const logs[] = {"syslog", "journal", NULL};
static const char *const overrides[] = {"metadata", NULL};

#define SETMOV(member)  SECTION_SETMOV, .offset = offsetof(struct config, setmov.member)
#define HOST(member)    SECTION_HOST, .offset = offsetof(struct config_host, member)
#define SYNC(member)    SECTION_SYNC, .offset = offsetof(struct config, sync.member)
#define CHOOSE(member)  SECTION_CHOOSE, .offset = offsetof(struct config, choose.member)
#define GROUP(member)   SECTION_GROUP, .offset = offsetof(struct config_group, member)
#define HOOK(member)    SECTION_HOOK, .offset = offsetof(struct config, hook.member)
#define MIGRATE(member) SECTION_MIGRATE, .offset = offsetof(struct config, migrate.member)
#define FROM(a, b)      .minimum = (a), .maximum = (b)
#define WEIGHT          .kind = &value_weight, FROM("0", "1000")

const struct key config_keys[] = {
    /* ---- [setmov] ---- */
    {SETMOV(name), .name = "name", .kind = &value_name,
     .help = "The name of this host in the tables, and its own [host] section if it has one."},
    {SETMOV(connect), .name = "connect", .kind = &value_uri, .default_text = "qemu:///system",
     .help = "The libvirt URI of this host."},
    {SETMOV(pool), .name = "pool", .kind = &value_label, .default_text = "default",
     .help = "The libvirt pool in which disk images are made, where a [host] section says nothing "
             "else."},
    {SETMOV(setmov_pool), .name = "setmov-pool", .kind = &value_label, .default_text = "setmov",
     .help = "The libvirt pool whose directory is a host's index, where a [host] section says "
             "nothing else."},
    {SETMOV(trust_domain), .name = "trust-domain", .kind = &value_label, .default_text = "default",
     .help = "The trust domain of this host, and of every [host] that does not say another."},
    {SETMOV(bandwidth_bits_per_s), .name = "bandwidth", .kind = &value_bandwidth,
     FROM("64k", "10T"),
     .help = "The bandwidth of the lines between the hosts, for estimates of time, where a [host] "
             "section says nothing else."},
    {SETMOV(index), .name = "index", .kind = &value_path, .default_text = "/var/lib/setmov/index",
     .help = "The directory of this host's fingerprints, also the one of its pool setmov-pool."},
    {SETMOV(block_sizes), .name = "block-sizes", .kind = &value_block_sizes, .default_text = "4096",
     .help = "The block sizes of the fingerprints; the same on all hosts, or they do not compare."},
    {SETMOV(digest), .name = "digest", .kind = &value_choice, .choices = digests,
     .default_text = "sha256",
     .help = "The digest of the blocks; the same on all hosts, or they do not compare."},
    {SETMOV(key_file), .name = "key-file", .kind = &value_path,
     .help = "The file with the key for digest = keyed: 32 bytes, or 64 hexadecimal digits in a "
             "line."},
    {SETMOV(state), .name = "state", .kind = &value_path, .default_text = "/var/lib/setmov",
     .help = "The directory below which setmov notes what is under way on this host."},
    {SETMOV(incoming), .name = "incoming", .kind = &value_path,
     .default_text = "/var/lib/setmov/incoming",
     .help = "The directory that takes the missing blocks of VMs that come to this host, also the "
             "one of its pool incoming-pool."},
    {SETMOV(incoming_pool), .name = "incoming-pool", .kind = &value_label,
     .default_text = "setmov-incoming",
     .help = "The libvirt pool that takes the missing blocks of VMs that come to a host, where a "
             "[host] section says nothing else."},
    {SETMOV(log), .name = "log", .kind = &value_log, .choices = logs, .default_text = "syslog",
     .help = "Where the commands that a timer starts say what they did."},

    /* ---- [host NAME] ---- */
    {HOST(uri), .name = "uri", .kind = &value_uri, .required = true,
     .help = "The libvirt URI by which the host is reached from this one."},
    {HOST(sync_uri), .name = "sync-uri", .kind = &value_uri,
     .help = "The libvirt URI by which setmov sync reads from the host, with an identity that may "
             "do no more than that."},
    {HOST(migrate_uri), .name = "migrate-uri", .kind = &value_uri,
     .help = "The address at which the host takes in the stream of a migration, if libvirt's own "
             "choice is not the right one."},
    {HOST(pool), .name = "pool", .kind = &value_label,
     .help = "The host's libvirt pool in which disk images are made."},
    {HOST(setmov_pool), .name = "setmov-pool", .kind = &value_label,
     .help = "The host's libvirt pool whose directory is its index."},
    {HOST(incoming_pool), .name = "incoming-pool", .kind = &value_label,
     .help = "The host's libvirt pool that takes the missing blocks of VMs that come to it."},
    {HOST(trust_domain), .name = "trust-domain", .kind = &value_label,
     .help = "The host's trust domain: VMs move, and sketches are read, only within one."},
    {HOST(bandwidth_bits_per_s), .name = "bandwidth", .kind = &value_bandwidth, FROM("64k", "10T"),
     .help = "The bandwidth of the line to the host, for estimates of time."},
    {HOST(maintenance), .name = "maintenance", .kind = &value_boolean, .default_text = "no",
     .help = "Whether the host takes in no VMs for now; its own can still leave."},

    /* ---- [sync] ---- */
    {SYNC(cache), .name = "cache", .kind = &value_path, .default_text = "/var/lib/setmov/peers",
     .help = "The directory in which this host keeps the sketches of its peers."},
    {SYNC(timeout_s), .name = "timeout", .kind = &value_duration, .default_text = "30s",
     FROM("1s", "1h"), .help = "How long one peer may take to answer."},
    {SYNC(max_age_s), .name = "max-age", .kind = &value_duration, .default_text = "15min",
     FROM("0", "30d"),
     .help = "The age from which a command reads a peer's sketches again, instead of those in the "
             "cache."},
    {SYNC(budget_bytes), .name = "budget", .kind = &value_size, .default_text = "256M",
     FROM("64K", "1T"), .zero = "none", .help = "How much is read from one peer in one run."},
    {SYNC(load_window_s), .name = "load-window", .kind = &value_duration, .default_text = "10min",
     FROM("10s", "1d"), .help = "The time over which the load of a host is taken."},

    /* ---- [choose] ---- */
    {CHOOSE(weight_bytes), .name = "weight-bytes", WEIGHT, .default_text = "1",
     .help = "The weight of the bytes that a move sends."},
    {CHOOSE(weight_cpu), .name = "weight-cpu", WEIGHT, .default_text = "0.2",
     .help = "The weight of the idle CPU of a host."},
    {CHOOSE(weight_memory), .name = "weight-memory", WEIGHT, .default_text = "0.2",
     .help = "The weight of the free memory of a host."},
    {CHOOSE(weight_space), .name = "weight-space", WEIGHT, .default_text = "0.1",
     .help = "The weight of the free space in a host's pool."},
    {CHOOSE(max_cpu_percent), .name = "max-cpu-percent", .kind = &value_percent,
     .default_text = "80%", FROM("1%", "100%"),
     .help = "The load, over load-window, above which a host is out."},
    {CHOOSE(memory_reserve_bytes), .name = "memory-reserve", .kind = &value_size,
     .default_text = "512M", FROM("0", "16T"),
     .help = "The memory that must stay free on a host beside the VM's."},
    {CHOOSE(space_reserve_bytes), .name = "space-reserve", .kind = &value_size,
     .default_text = "1G", FROM("0", "1024T"),
     .help = "The space that must stay free in a host's pool beside the VM's disks."},
    {CHOOSE(confirm), .name = "confirm", .kind = &value_whole, .default_text = "3",
     FROM("0", "100"),
     .help = "How many of the best hosts are compared exactly, after all were by their sketches."},
    {CHOOSE(confirm_bytes), .name = "confirm-bytes", .kind = &value_size, .default_text = "64M",
     FROM("0", "1T"), .help = "How much may be read from peers for that, all together."},
    {CHOOSE(history), .name = "history", .kind = &value_path,
     .help = "A directory of collectd's RRD files, from which the load of hosts is taken instead."},

    /* ---- [group NAME] ---- */
    {GROUP(vms), .name = "vms", .kind = &value_labels, .required = true,
     .help = "The VMs, by name or UUID, no two of which should be on one host."},

    /* ---- [hook] ---- */
    {HOOK(policy), .name = "policy", .kind = &value_choice, .choices = policies,
     .default_text = "advise",
     .help = "What happens to a migration to this host when another host has more of the VM's "
             "blocks."},
    {HOOK(unknown), .name = "unknown", .kind = &value_choice, .choices = unknowns,
     .default_text = "pass",
     .help = "What happens to a migration of a VM of which the catalog knows nothing, or nothing "
             "recent."},
    {HOOK(max_age_s), .name = "max-age", .kind = &value_duration, .default_text = "1d",
     FROM("1min", "365d"), .help = "The age from which what the catalog knows counts as nothing."},
    {HOOK(margin), .name = "margin", .kind = &value_margin, .default_text = "64M 10%",
     .help = "How much less another host must need to be the better one."},
    {HOOK(override), .name = "override", .kind = &value_override, .choices = overrides,
     .default_text = "metadata", .help = "How a user lets one VM pass, whatever the policy says."},
    {HOOK(directories), .name = "directories", .kind = &value_paths,
     .default_text = "/var/lib/libvirt/images",
     .help = "The directories in which the disks of an incoming VM may lie."},
    {HOOK(request_expiry_s), .name = "request-expiry", .kind = &value_duration,
     .default_text = "15min", FROM("1min", "7d"),
     .help = "How long a request to move the VM elsewhere is good for, with policy = redirect."},
    {HOOK(log), .name = "log", .kind = &value_log, .choices = logs,
     .help = "Where the hook says what it decided, and on what figures."},

    /* ---- [migrate] ---- */
    {MIGRATE(bandwidth_bits_per_s), .name = "bandwidth", .kind = &value_bandwidth,
     .default_text = "none", FROM("64k", "10T"), .zero = "none",
     .help = "The limit of what a migration sends: the missing blocks, the mirror and the memory."},
    {MIGRATE(level), .name = "level", .kind = &value_whole, .default_text = "auto", FROM("1", "22"),
     .zero = "auto",
     .help = "The level of zstd for the missing blocks, or the one that suits the line."},
    {MIGRATE(attempts), .name = "attempts", .kind = &value_whole, .default_text = "3",
     FROM("1", "20"),
     .help = "How often a migration is tried when blocks at the destination turn out to be other "
             "ones."},
    {MIGRATE(parts_expiry_s), .name = "parts-expiry", .kind = &value_duration, .default_text = "1d",
     FROM("1min", "365d"),
     .help = "How long the blocks that a failed migration sent are kept for the next one."},
    {MIGRATE(old_images), .name = "old-images", .kind = &value_choice, .choices = old_images,
     .default_text = "keep",
     .help = "Whether the images of a VM that left stay, renamed, so that it can return with "
             "little to send."},
    {MIGRATE(old_images_quota_bytes), .name = "old-images-quota", .kind = &value_size,
     .default_text = "100G", FROM("1M", "1024T"), .zero = "none",
     .help = "How much space such images may take; the oldest go first."},
    {MIGRATE(old_images_expiry_s), .name = "old-images-expiry", .kind = &value_duration,
     .default_text = "30d", FROM("1h", "3650d"), .zero = "never",
     .help = "How long such images stay."},
};

_Static_assert(ARRAY_LENGTH(config_keys) == KEY_COUNT, "KEY_COUNT is the length of the table");

bool config_key(size_t index, struct config_key *ret_key)
{
    if (index >= KEY_COUNT)
        return false;
    *ret_key = (struct config_key){
        .section = config_sections[config_keys[index].section].name,
        .name = config_keys[index].name,
        .default_text = config_keys[index].default_text,
        .help = config_keys[index].help,
    };
    value_describe(&config_keys[index], ret_key->value, sizeof(ret_key->value));
    return true;
}
