/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage config/: the text of setmov.conf to a struct config. setmov.conf(5) is
 * the format's description; src/config/keys.c has the table of all keys, from
 * which parsing, defaults and the check of that page come.
 *
 * Everything here is pure but config_read(). A struct config owns all its
 * strings, is not changed after it was made, and may be read by several
 * threads. Strings are never empty: what is not configured and has no default
 * is NULL. Numbers that are not configured are 0, which then says "no limit"
 * or "not known", as the comment at the member has it.
 */
#ifndef SETMOV_CONFIG_H
#define SETMOV_CONFIG_H

#include "setmov/base.h"

#define CONFIG_PATH            "/etc/setmov/setmov.conf"
#define CONFIG_MAX_BYTES       ((size_t)1 << 20)
#define CONFIG_MAX_BLOCK_SIZES 8

struct config_list {
    char **items;
    size_t count, capacity;
};

/* The words of the table in keys.c stand in the order of these. */
enum config_digest { CONFIG_DIGEST_SHA256, CONFIG_DIGEST_MD5, CONFIG_DIGEST_KEYED };
enum config_policy { CONFIG_ADVISE, CONFIG_ENFORCE, CONFIG_REDIRECT, CONFIG_OFF };
enum config_unknown { CONFIG_PASS, CONFIG_REFUSE };
enum config_old_image { CONFIG_KEEP, CONFIG_REMOVE };

struct config_block_sizes {
    uint32_t bytes[CONFIG_MAX_BLOCK_SIZES]; /* powers of two, each once, as they were given */
    size_t count;                           /* at least 1 */
};

/* Ways that may be combined: words, and one path. None of them: all false and NULL. */
struct config_log {
    bool syslog, journal;
    char *file; /* absolute path or NULL */
};

struct config_override {
    bool metadata;   /* an element in the domain's metadata */
    char *directory; /* absolute path or NULL: a file there, named by the domain's UUID or name */
};

/* By how much a host must be better; both have to be exceeded. */
struct config_margin {
    uint64_t bytes;
    double percent; /* 0 to 100, of what a move to the worse host sends */
};

/* [host NAME]: a host that VMs move to and from. What [setmov] says is filled in. */
struct config_host {
    char *name;
    char *uri;                     /* libvirt's, as this host reaches it */
    char *sync_uri;                /* the same for `setmov sync`, whose rights may be smaller */
    char *migrate_uri;             /* where QEMU's own connection goes; NULL: libvirt decides */
    char *pool;                    /* libvirt pool of disk images */
    char *setmov_pool;             /* libvirt pool whose directory is that host's index */
    char *incoming_pool;           /* libvirt pool that takes plans and parts */
    char *trust_domain;            /* only hosts of one domain learn of each other's blocks */
    uint64_t bandwidth_bits_per_s; /* of the line there; 0: not known */
    bool maintenance;              /* takes in no VMs */
    unsigned line;                 /* where it stands */
};

/* [group NAME]: VMs that should not be on one host. */
struct config_group {
    char *name;
    struct config_list vms; /* names or UUIDs, as they were given */
    unsigned line;
};

struct config {
    char *path; /* for messages: what config_parse() was told */

    /* [setmov]: this host. What its own [host] section says, if there is one, is filled in. */
    struct {
        char *name;
        char *connect; /* libvirt URI */
        char *pool, *setmov_pool, *trust_domain;
        uint64_t bandwidth_bits_per_s; /* default of all lines; 0: not known */
        char *index;                   /* directory of the fingerprints */
        struct config_block_sizes block_sizes;
        enum config_digest digest;
        char *key_file; /* there for CONFIG_DIGEST_KEYED, else NULL */
        char *state;    /* directory: leases of images, requests that were carried out, journals */
        char *incoming; /* directory of plans and parts that arrive */
        char *incoming_pool; /* libvirt pool on it */
        struct config_log log;
    } setmov;

    struct {
        char *cache;            /* directory of the peers' sketches */
        uint64_t timeout_s;     /* for one peer */
        uint64_t max_age_s;     /* what is older is read from the peer again */
        uint64_t budget_bytes;  /* read from one peer in one run; 0: no limit */
        uint64_t load_window_s; /* over which a host's load is taken */
    } sync;

    struct {
        double weight_bytes, weight_cpu, weight_memory, weight_space; /* their sum is 1 */
        double max_cpu_percent;                                       /* busier hosts are out */
        uint64_t memory_reserve_bytes, space_reserve_bytes;           /* stay free */
        uint64_t confirm;       /* how many of the best hosts are compared exactly */
        uint64_t confirm_bytes; /* read from peers for that, at most */
        char *history;          /* directory of collectd's RRD files; NULL: none */
    } choose;

    struct {
        enum config_policy policy;
        enum config_unknown unknown;
        uint64_t max_age_s; /* a catalog that is older knows nothing */
        struct config_margin margin;
        struct config_override override;
        struct config_list directories; /* where disks may lie: no trailing slash, at least one */
        uint64_t request_expiry_s;
        struct config_log log;
    } hook;

    struct {
        uint64_t bandwidth_bits_per_s; /* limit of all that a migration sends; 0: none */
        uint64_t level;                /* of zstd, 1 to 22; 0: as the line wants it */
        uint64_t attempts;             /* 1: what does not fit the first plan fails */
        uint64_t parts_expiry_s;       /* parts of packs that a failed try left */
        enum config_old_image old_images;
        uint64_t old_images_quota_bytes; /* 0: no limit */
        uint64_t old_images_expiry_s;    /* 0: never */
    } migrate;

    struct config_host *hosts; /* by name, ascending (strcmp); this host may be among them */
    size_t host_count, host_capacity;
    struct config_group *groups; /* by name, ascending */
    size_t group_count, group_capacity;
};

/*
 * Parses `length` bytes of text. `path` is for messages only: an error is
 * "PATH:LINE: what is wrong", of the first line that is wrong. `own_name` is
 * what the kernel calls this host, used where [setmov] has no `name`; NULL:
 * `name` must be there. No text at all gives the defaults. On failure
 * nothing is made. -EINVAL, -EFBIG, -ENOMEM.
 */
int config_parse(const char *text, size_t length, const char *path, const char *own_name,
                 struct config *ret_config, struct error *err);

/*
 * Reads a configuration file, with the host name as own_name. (Effects: reads
 * a file, asks for the host's name.) Also -ENOENT, -EACCES ... with a message
 * that begins with the path.
 */
int config_read(const char *path, struct config *ret_config, struct error *err);

/*
 * The same, and with NULL the file at CONFIG_PATH, which may be missing: then
 * all is as if it were there and empty.
 */
int config_read_or_default(const char *path, struct config *ret_config, struct error *err);

void config_release(struct config *config);

/*
 * Can that be the name of a host or a group? Letters, digits, '.', '_' and '-',
 * with a letter or digit first, at most 255: it may be part of a path.
 */
bool config_is_name(const char *name);

/* "100M", "100Mbit" or "100Mbit/s" in bits a second, as the keys take it. -EINVAL, -ERANGE. */
int config_parse_bandwidth(const char *text, uint64_t *ret_bits_per_s);

/* The host of that name, or NULL. */
const struct config_host *config_host_find(const struct config *config, const char *name);

/* ---- the table of keys -------------------------------------------------------- */

/* What a key is, as text: for help, and for the check of the manual page. */
struct config_key {
    const char *section; /* "setmov", "host", ... */
    const char *name;
    const char *default_text; /* NULL: none */
    const char *help;         /* one sentence */
    char value[200]; /* what it takes: "a duration such as 90s, 15min, ... from 1s to 1h" */
};

/* The key at `index` of the table, in the order of the manual page; false behind the last. */
bool config_key(size_t index, struct config_key *ret_key);

#endif
