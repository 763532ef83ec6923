/* SPDX-License-Identifier: GPL-2.0-or-later */
/* setmov.conf: what each kind of value may be, what is filled in, and what is said of mistakes. */
#include "setmov/config.h"
#include "setmov/digest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static int parse_bytes(const char *text, size_t length, struct config *config, struct error *err)
{
    return config_parse(text, length, "c", "here", config, err);
}

static int parse(const char *text, struct config *config, struct error *err)
{
    return parse_bytes(text, strlen(text), config, err);
}

/* A configuration that must be understood; the caller releases it. */
static struct config taken(const char *text)
{
    struct config config;
    struct error err = {""};

    if (parse(text, &config, &err) < 0)
        fail_msg("'%s' is refused: %s", text, err.text);
    return config;
}

static void refused(const char *text, size_t length, const char *message)
{
    struct config config = {.path = NULL}, untouched = {.path = NULL};
    struct error err = {""};

    if (parse_bytes(text, length, &config, &err) != -EINVAL)
        fail_msg("'%s' is taken", text);
    assert_string_equal(err.text, message);
    assert_memory_equal(&config, &untouched, sizeof(config));
}

/* ---- defaults -------------------------------------------------------------------- */

static void nothing_gives_the_defaults(void **state)
{
    struct config config = taken("");

    (void)state;
    assert_string_equal(config.path, "c");
    assert_string_equal(config.setmov.name, "here");
    assert_string_equal(config.setmov.connect, "qemu:///system");
    assert_string_equal(config.setmov.pool, "default");
    assert_string_equal(config.setmov.setmov_pool, "setmov");
    assert_string_equal(config.setmov.trust_domain, "default");
    assert_int_equal(config.setmov.bandwidth_bits_per_s, 0);
    assert_string_equal(config.setmov.index, "/var/lib/setmov/index");
    assert_int_equal(config.setmov.block_sizes.count, 1);
    assert_int_equal(config.setmov.block_sizes.bytes[0], 4096);
    assert_int_equal(config.setmov.digest, CONFIG_DIGEST_SHA256);
    assert_null(config.setmov.key_file);
    assert_string_equal(config.setmov.state, "/var/lib/setmov");
    assert_string_equal(config.setmov.incoming, "/var/lib/setmov/incoming");
    assert_string_equal(config.setmov.incoming_pool, "setmov-incoming");
    assert_true(config.setmov.log.syslog && !config.setmov.log.journal);
    assert_null(config.setmov.log.file);
    assert_string_equal(config.sync.cache, "/var/lib/setmov/peers");
    assert_int_equal(config.sync.timeout_s, 30);
    assert_int_equal(config.sync.max_age_s, 900);
    assert_int_equal(config.sync.budget_bytes, 256 * MIB);
    assert_int_equal(config.sync.load_window_s, 600);
    assert_true(config.choose.max_cpu_percent == 80);
    assert_int_equal(config.choose.memory_reserve_bytes, 512 * MIB);
    assert_int_equal(config.choose.space_reserve_bytes, GIB);
    assert_int_equal(config.choose.confirm, 3);
    assert_int_equal(config.choose.confirm_bytes, 64 * MIB);
    assert_null(config.choose.history);
    assert_int_equal(config.host_count, 0);
    assert_int_equal(config.group_count, 0);
    assert_null(config_host_find(&config, "here"));
    config_release(&config);
    config_release(&config);
    config_release(NULL);
}

static void the_hook_is_careful_by_default(void **state)
{
    struct config config = taken("# nothing\n");

    (void)state;
    assert_int_equal(config.hook.policy, CONFIG_ADVISE);
    assert_int_equal(config.hook.unknown, CONFIG_PASS);
    assert_int_equal(config.hook.max_age_s, 86400);
    assert_int_equal(config.hook.margin.bytes, 64 * MIB);
    assert_true(config.hook.margin.percent == 10);
    assert_true(config.hook.override.metadata);
    assert_null(config.hook.override.directory);
    assert_int_equal(config.hook.directories.count, 1);
    assert_string_equal(config.hook.directories.items[0], "/var/lib/libvirt/images");
    assert_int_equal(config.hook.request_expiry_s, 900);
    assert_true(config.hook.log.syslog);
    assert_int_equal(config.migrate.bandwidth_bits_per_s, 0);
    assert_int_equal(config.migrate.level, 0);
    assert_int_equal(config.migrate.attempts, 3);
    assert_int_equal(config.migrate.parts_expiry_s, 86400);
    assert_int_equal(config.migrate.old_images, CONFIG_KEEP);
    assert_int_equal(config.migrate.old_images_quota_bytes, 100 * GIB);
    assert_int_equal(config.migrate.old_images_expiry_s, 30 * 86400);
    config_release(&config);
}

static void weights_are_normalised(void **state)
{
    struct config config = taken("[choose]\nweight-bytes = 5\nweight-cpu=3\nweight-memory=1.5\n"
                                 "weight-space=0.5\n");

    (void)state;
    assert_true(config.choose.weight_bytes == 0.5);
    assert_true(config.choose.weight_cpu == 0.3);
    assert_true(config.choose.weight_memory == 0.15);
    assert_true(config.choose.weight_space == 0.05);
    config_release(&config);
}

/* ---- hosts and groups ------------------------------------------------------------- */

static void hosts_take_from_setmov_what_they_do_not_say(void **state)
{
    struct config config = taken("[host zeta]\nuri = qemu+tls://z/system\nbandwidth = 10G\n"
                                 "pool = \"vm images\"\ntrust-domain = lab\nmaintenance = yes\n"
                                 "migrate-uri = tcp://192.0.2.1\nsync-uri = qemu+ssh://s@z/system\n"
                                 "incoming-pool = \"vm parts\"\n"
                                 "[host beta.example.org]\nuri = qemu+tcp://b/system\n"
                                 "[setmov]\npool = images\nsetmov-pool = sm\nbandwidth = 1G\n"
                                 "incoming-pool = parts\ntrust-domain = production\n");
    const struct config_host *beta = config_host_find(&config, "beta.example.org");
    const struct config_host *zeta = config_host_find(&config, "zeta");

    (void)state;
    assert_int_equal(config.host_count, 2);
    assert_ptr_equal(beta, &config.hosts[0]);
    assert_string_equal(beta->uri, "qemu+tcp://b/system");
    assert_string_equal(beta->sync_uri, "qemu+tcp://b/system");
    assert_null(beta->migrate_uri);
    assert_string_equal(beta->pool, "images");
    assert_string_equal(beta->setmov_pool, "sm");
    assert_string_equal(beta->trust_domain, "production");
    assert_int_equal(beta->bandwidth_bits_per_s, 1000000000);
    assert_false(beta->maintenance);
    assert_string_equal(beta->incoming_pool, "parts");
    assert_int_equal(beta->line, 10);
    assert_string_equal(zeta->uri, "qemu+tls://z/system");
    assert_string_equal(zeta->sync_uri, "qemu+ssh://s@z/system");
    assert_string_equal(zeta->migrate_uri, "tcp://192.0.2.1");
    assert_string_equal(zeta->pool, "vm images");
    assert_string_equal(zeta->setmov_pool, "sm");
    assert_string_equal(zeta->incoming_pool, "vm parts");
    assert_string_equal(zeta->trust_domain, "lab");
    assert_int_equal(zeta->bandwidth_bits_per_s, UINT64_C(10000000000));
    assert_true(zeta->maintenance);
    assert_null(config_host_find(&config, "beta"));
    assert_string_equal(config.setmov.trust_domain, "production");
    config_release(&config);
}

static void this_hosts_own_section_is_about_this_host(void **state)
{
    struct config config = taken("[host here]\nuri = q://h\ntrust-domain = lab\npool = p\n"
                                 "setmov-pool = s\nincoming-pool = i\nbandwidth = 1M\n"
                                 "[host other]\nuri = q://o\n");

    (void)state;
    assert_string_equal(config.setmov.trust_domain, "lab");
    assert_string_equal(config.setmov.pool, "p");
    assert_string_equal(config.setmov.setmov_pool, "s");
    assert_string_equal(config.setmov.incoming_pool, "i");
    assert_string_equal(config_host_find(&config, "other")->incoming_pool, "setmov-incoming");
    assert_string_equal(config_host_find(&config, "other")->trust_domain, "default");
    assert_int_equal(config_host_find(&config, "other")->bandwidth_bits_per_s, 0);
    config_release(&config);
}

static void many_hosts_are_found(void **state)
{
    static char text[64 * 1000];
    size_t used = 0;
    struct config config;

    (void)state;
    for (int i = 999; i >= 0; i--) {
        string_format(text + used, sizeof(text) - used, "[host h%d]\nuri = test://h%d\n", i, i);
        used += strlen(text + used);
    }
    config = taken(text);
    assert_int_equal(config.host_count, 1000);
    for (int i = 0; i < 1000; i++) {
        char name[16], uri[32];

        string_format(name, sizeof(name), "h%d", i);
        string_format(uri, sizeof(uri), "test://h%d", i);
        assert_string_equal(config_host_find(&config, name)->uri, uri);
    }
    config_release(&config);
}

static void groups_have_vms(void **state)
{
    struct config config = taken(
        "[group web]\nvms = web1,web2\t5f0c0d4e-0000-4000-8000-000000000001 , \"my vm, old\"\n"
        "[group db]\nvms = db1\n");

    (void)state;
    assert_int_equal(config.group_count, 2);
    assert_string_equal(config.groups[0].name, "db");
    assert_int_equal(config.groups[0].vms.count, 1);
    assert_string_equal(config.groups[1].name, "web");
    assert_int_equal(config.groups[1].line, 1);
    assert_int_equal(config.groups[1].vms.count, 4);
    assert_string_equal(config.groups[1].vms.items[0], "web1");
    assert_string_equal(config.groups[1].vms.items[2], "5f0c0d4e-0000-4000-8000-000000000001");
    assert_string_equal(config.groups[1].vms.items[3], "my vm, old");
    config_release(&config);
}

static void the_host_may_have_to_be_named(void **state)
{
    static const char named[] = "[setmov]\nname = alpha\n";
    struct config config;
    struct error err = {""};

    (void)state;
    assert_int_equal(config_parse("", 0, "c", NULL, &config, &err), -EINVAL);
    assert_string_equal(err.text, "c: [setmov] has no 'name', and this host's own '' does not do");
    assert_int_equal(config_parse("", 0, "c", "../x", &config, &err), -EINVAL);
    assert_int_equal(config_parse(named, strlen(named), "c", "../x", &config, &err), 0);
    assert_string_equal(config.setmov.name, "alpha");
    config_release(&config);
}

/* ---- kinds of values --------------------------------------------------------------- */

static void the_shape_of_the_text_matters_little(void **state)
{
    static const char text[] = "\xef\xbb\xbf\r\n  [hook]  \r\n; x = y\r\n\t# [nothing]\r\n"
                               "\tpolicy=\"redirect\"\t\r\n  unknown   =   refuse";
    struct config config = taken(text);

    (void)state;
    assert_int_equal(config.hook.policy, CONFIG_REDIRECT);
    assert_int_equal(config.hook.unknown, CONFIG_REFUSE);
    config_release(&config);
    /* A comment may be in whatever encoding; nothing is read from it. */
    config = taken("# \xe4\xff\x01\n[hook]\nrequest-expiry = 1h\n");
    assert_int_equal(config.hook.request_expiry_s, 3600);
    config_release(&config);
    config = taken("[ host  b ]\nuri = a://b?c=d=e\n");
    assert_string_equal(config_host_find(&config, "b")->uri, "a://b?c=d=e");
    config_release(&config);
}

#define WRONG UINT64_MAX

struct row {
    const char *value;
    uint64_t number; /* WRONG: refused */
};

typedef uint64_t member(const struct config *config);

/* Each value by itself, as `format` puts it into a section. */
static void check_rows(const char *format, member *get, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct config config;
        struct error err = {""};
        char text[256];
        int rc;

        string_format(text, sizeof(text), format, rows[i].value);
        rc = parse(text, &config, &err);
        if (rc != (rows[i].number == WRONG ? -EINVAL : 0))
            fail_msg("'%s': %d %s", rows[i].value, rc, err.text);
        if (rc < 0)
            continue;
        if (get(&config) != rows[i].number)
            fail_msg("'%s' is %llu", rows[i].value, (unsigned long long)get(&config));
        config_release(&config);
    }
}

static uint64_t timeout_of(const struct config *config)
{
    return config->sync.timeout_s;
}

static uint64_t budget_of(const struct config *config)
{
    return config->sync.budget_bytes;
}

static uint64_t bandwidth_of(const struct config *config)
{
    return config->migrate.bandwidth_bits_per_s;
}

static uint64_t level_of(const struct config *config)
{
    return config->migrate.level;
}

static uint64_t maintenance_of(const struct config *config)
{
    return config->hosts[0].maintenance;
}

static uint64_t cpu_of(const struct config *config)
{
    return (uint64_t)(config->choose.max_cpu_percent * 10);
}

static void durations(void **state)
{
    static const struct row rows[] = {
        {"1", 1},
        {"90s", 90},
        {"15min", 900},
        {"1h", 3600},
        {"2 min", 120},
        {"60MIN", 3600},
        {"3600", 3600},
        {"3601", WRONG},
        {"61min", WRONG},
        {"0", WRONG},
        {"0s", WRONG},
        {"1m", WRONG},
        {"1h30", WRONG},
        {"min", WRONG},
        {"-1s", WRONG},
        {"1.5h", WRONG},
        {"1d", WRONG},
        {"1 h 3", WRONG},
        {"0x10", WRONG},
        {"never", WRONG},
        {"\"1h\"", 3600},
        {"\"1h", WRONG},
        {"1h\"", WRONG},
        {"\"\"", WRONG},
        {"1hh", WRONG},
        {"18446744073709551616", WRONG},
        {"18446744073709551615w", WRONG},
        {"000000000000000000000000001", WRONG},
    };

    (void)state;
    check_rows("[sync]\ntimeout = %s\n", timeout_of, rows, ARRAY_LENGTH(rows));
}

static void sizes(void **state)
{
    static const struct row rows[] = {
        {"65536", 65536},
        {"64K", 65536},
        {"64k", 65536},
        {"3 M", 3 * MIB},
        {"2g", 2 * GIB},
        {"1T", 1024 * GIB},
        {"none", 0},
        {"NONE", 0},
        {"0", WRONG},
        {"63K", WRONG},
        {"2T", WRONG},
        {"64KB", WRONG},
        {"1.5G", WRONG},
        {"K", WRONG},
        {"64 K x", WRONG},
        {"64,000", WRONG},
        {"18014398509482084K", WRONG}, /* 100K beyond 64 bits */
        {"16777216T", WRONG},
    };

    (void)state;
    check_rows("[sync]\nbudget = %s\n", budget_of, rows, ARRAY_LENGTH(rows));
}

static void bandwidths(void **state)
{
    static const struct row rows[] = {
        {"100M", 100000000},
        {"64000", 64000},
        {"800k", 800000},
        {"10G", UINT64_C(10000000000)},
        {"100Mbit", 100000000},
        {"100 Mbit/s", 100000000},
        {"64000bit/s", 64000},
        {"1t", UINT64_C(1000000000000)},
        {"none", 0},
        {"100", WRONG},
        {"100MB", WRONG},
        {"100M/s", WRONG},
        {"bit", WRONG},
        {"bit/s", WRONG},
        {"100bitM", WRONG},
        {"11T", WRONG},
        {"0", WRONG},
    };

    (void)state;
    check_rows("[migrate]\nbandwidth = %s\n", bandwidth_of, rows, ARRAY_LENGTH(rows));
}

static void other_numbers(void **state)
{
    static const struct row levels[] = {
        {"auto", 0}, {"1", 1}, {"22", 22}, {"0", WRONG}, {"23", WRONG}, {"3K", WRONG},
    };
    static const struct row percents[] = {
        {"80%", 800}, {"80", 800},  {"12.5 %", 125}, {"100", 1000},  {"101%", WRONG},
        {"0", WRONG}, {"%", WRONG}, {"80%%", WRONG}, {"nan", WRONG}, {"1e1", 100},
    };
    static const struct row booleans[] = {
        {"yes", 1}, {"no", 0},    {"True", 1},      {"off", 0},        {"1", 1},
        {"0", 0},   {"2", WRONG}, {"maybe", WRONG}, {"yes no", WRONG},
    };

    (void)state;
    check_rows("[migrate]\nlevel = %s\n", level_of, levels, ARRAY_LENGTH(levels));
    check_rows("[choose]\nmax-cpu-percent = %s\n", cpu_of, percents, ARRAY_LENGTH(percents));
    check_rows("[host a]\nuri=t://a\nmaintenance = %s\n", maintenance_of, booleans,
               ARRAY_LENGTH(booleans));
}

static uint64_t hosts_of(const struct config *config)
{
    return config->host_count;
}

static uint64_t directories_of(const struct config *config)
{
    return config->hook.directories.count;
}

static uint64_t pool_length_of(const struct config *config)
{
    return strlen(config->setmov.pool);
}

static void uris_names_and_paths(void **state)
{
    static const struct row uris[] = {
        {"qemu:///system", 1}, {"qemu+tls://[2001:db8::1]:16514/system?no_verify=1", 1},
        {"alpha", WRONG},      {"alpha:16509", WRONG},
        {"/run/x", WRONG},     {"://x", WRONG},
        {"qemu://", WRONG},    {"qemu://a b", WRONG},
        {"1q://x", WRONG},     {"qe mu://x", WRONG},
    };
    static const struct row names[] = {
        {"alpha", 1},   {"a.b-c_d9", 1}, {"9", 1},       {"../x", WRONG},       {".", WRONG},
        {"a/b", WRONG}, {"-a", WRONG},   {"a b", WRONG}, {"b\xc3\xa4r", WRONG}, {"\"a\"", 1},
    };
    static const struct row labels[] = {
        {"default", 7}, {"\"a b\"", 3}, {"b\xc3\xa4r", 4}, {"a/b", WRONG},
        {"..", WRONG},  {".", WRONG},   {"...", 3},
    };
    static const struct row paths[] = {
        {"/a", 1},           {"/a /b,/c", 3},    {"\"/a b\", /c", 2}, {"a", WRONG},
        {"/", WRONG},        {"//", WRONG},      {"/a/../b", WRONG},  {"/..", WRONG},
        {"/a/./b", WRONG},   {"/a/..b/...", 1},  {"/a b", WRONG},     {",", WRONG},
        {"\"/a\"/b", WRONG}, {"/a\"b\"", WRONG}, {"\"/a", WRONG},     {"\"\"", WRONG},
    };

    (void)state;
    check_rows("[host a]\nuri = %s\n", hosts_of, uris, ARRAY_LENGTH(uris));
    check_rows("[host %s]\nuri = q://x\n", hosts_of, names, ARRAY_LENGTH(names));
    check_rows("[setmov]\npool = %s\n", pool_length_of, labels, ARRAY_LENGTH(labels));
    check_rows("[hook]\ndirectories = %s\n", directories_of, paths, ARRAY_LENGTH(paths));
}

static void paths_are_made_plain(void **state)
{
    struct config config =
        taken("[setmov]\nindex = //srv///index//\n[hook]\ndirectories = /a/ /b//c\n");

    (void)state;
    assert_string_equal(config.setmov.index, "/srv/index");
    assert_string_equal(config.hook.directories.items[0], "/a");
    assert_string_equal(config.hook.directories.items[1], "/b/c");
    config_release(&config);
}

static void block_sizes_are_those_of_the_digests(void **state)
{
    struct config config = taken("[setmov]\nblock-sizes = 64K, 512 4096 512\n");

    (void)state;
    assert_int_equal(config.setmov.block_sizes.count, 3);
    assert_int_equal(config.setmov.block_sizes.bytes[0], DIGEST_BLOCK_MAX);
    assert_int_equal(config.setmov.block_sizes.bytes[1], DIGEST_BLOCK_MIN);
    assert_int_equal(config.setmov.block_sizes.bytes[2], 4096);
    config_release(&config);
    config = taken("[setmov]\nblock-sizes = 512,1K,2K,4K,8K,16K,32K,64K,512,1K,64K\n");
    assert_int_equal(config.setmov.block_sizes.count, CONFIG_MAX_BLOCK_SIZES);
    config_release(&config);
}

static void margins_are_bytes_percent_or_both(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        double percent;
    } rows[] = {{"1G", GIB, 0}, {"25%", 0, 25}, {"5%, 1M", MIB, 5}, {"0", 0, 0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct config config;
        char text[64];

        string_format(text, sizeof(text), "[hook]\nmargin = %s\n", rows[i].text);
        config = taken(text);
        assert_int_equal(config.hook.margin.bytes, rows[i].bytes);
        assert_true(config.hook.margin.percent == rows[i].percent);
        config_release(&config);
    }
}

static void logs_and_overrides_combine(void **state)
{
    struct config config = taken("[setmov]\nlog = journal /var/log/s\n[hook]\noverride = /run/s\n");

    (void)state;
    assert_true(config.setmov.log.journal && !config.setmov.log.syslog);
    assert_string_equal(config.setmov.log.file, "/var/log/s");
    assert_true(config.hook.log.journal && !config.hook.log.syslog);
    assert_string_equal(config.hook.log.file, "/var/log/s");
    assert_ptr_not_equal(config.hook.log.file, config.setmov.log.file);
    assert_false(config.hook.override.metadata);
    assert_string_equal(config.hook.override.directory, "/run/s");
    config_release(&config);
    config = taken("[setmov]\nlog = syslog,journal\n[hook]\nlog = none\noverride = none\n");
    assert_true(config.setmov.log.journal && config.setmov.log.syslog);
    assert_false(config.hook.log.journal || config.hook.log.syslog || config.hook.log.file);
    assert_false(config.hook.override.metadata || config.hook.override.directory);
    config_release(&config);
}

static void keyed_digests_have_a_key(void **state)
{
    struct config config = taken("[setmov]\nkey-file = /etc/setmov/key\ndigest = keyed\n");

    (void)state;
    assert_int_equal(config.setmov.digest, CONFIG_DIGEST_KEYED);
    assert_string_equal(config.setmov.key_file, "/etc/setmov/key");
    config_release(&config);
}

/* ---- mistakes ---------------------------------------------------------------------- */

static void mistakes_are_named_with_their_line(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"x = 1\n", "c:1: 'x' stands before the first [section]"},
        {"\n\n[hook]\npolicy\n", "c:4: 'policy' is neither [section] nor key = value"},
        {"[hook\n", "c:1: '[hook' does not end with ]"},
        {"[hook] # x\n", "c:1: '[hook] # x' does not end with ]"},
        {"[hooks]\n", "c:1: there is no section [hooks]; [hook]?"},
        {"[hots a]\n", "c:1: there is no section [hots]; [host NAME]?"},
        {"[plugin]\n", "c:1: there is no section [plugin]; there are setmov, host NAME, sync, "
                       "choose, group NAME, hook and migrate"},
        {"[]\n", "c:1: there is no section []; there are setmov, host NAME, sync, choose, group "
                 "NAME, hook and migrate"},
        {"[host]\n", "c:1: [host] needs a name: [host NAME]"},
        {"[hook x]\n", "c:1: [hook] takes no name"},
        {"[host a/b]\n", "c:1: [host a/b]: the name of a host is of letters, digits, '.', '_' and "
                         "'-', with a letter or digit first"},
        {"[hook]\n[sync]\n[hook]\n", "c:3: there is a [hook] already, in line 1"},
        {"[host a]\nuri=q://a\n[host b]\nuri=q://b\n[host a]\nuri=q://c\n",
         "c:5: there is a [host a] already, in line 1"},
        {"[group a]\nvms=a\n\n[group a]\nvms=b\n", "c:4: there is a [group a] already, in line 1"},
        {"[host a]\npool = x\n[sync]\n", "c:1: this [host] has no 'uri'"},
        {"[host a]\nuri=q://a\n[host b]\n", "c:3: this [host] has no 'uri'"},
        {"[group a]", "c:1: this [group] has no 'vms'"},
        {"[choose]\nwieght-cpu = 1\n", "c:2: [choose] has no key 'wieght-cpu'; 'weight-cpu'?"},
        {"[host a]\nrui = q://a\n", "c:2: [host] has no key 'rui'; 'uri'?"},
        {"[hook]\nPolicy = off\n", "c:2: [hook] has no key 'Policy'; 'policy'?"},
        {"[hook]\ncache = /x\n", "c:2: [hook] has no key 'cache'; it is one of [sync]"},
        {"[hook]\nfrobnicate = 1\n", "c:2: [hook] has no key 'frobnicate'"},
        {"[hook]\n= 1\n", "c:2: [hook] has no key ''"},
        {"[hook]\npolicy = off\n\npolicy = off\n", "c:4: policy stands in line 2 already"},
        {"[hook]\npolicy =\n", "c:2: policy has no value; without the line it has its default"},
        {"[hook]\npolicy = of\n", "c:2: policy: 'of' is not one of advise, enforce, redirect, off"},
        {"[hook]\npolicy = off # x\n", "c:2: policy: 'off # x' is not one of advise, enforce, "
                                       "redirect, off (comments stand in lines of their own)"},
        {"[sync]\ntimeout = 2h\n", "c:2: timeout: '2h' is not a duration such as 90s, 15min, 1h, "
                                   "1d or 2w, from 1s to 1h"},
        {"[migrate]\nlevel = 30\n", "c:2: level: '30' is not auto or a whole number, from 1 to 22"},
        {"[setmov]\npool = a\"b\n", "c:2: pool: quotes may only stand around the whole value"},
        {"[setmov]\nblock-sizes = 4096 5000\n", "c:2: block-sizes: '4096 5000' is not a list of "
                                                "powers of two from 512 to 65536"},
        {"[setmov]\nlog = none syslog\n", "c:2: log: 'none syslog' is not none, or one or several "
                                          "of syslog, journal and an absolute path"},
        {"[hook]\nmargin = 1M 2M\n",
         "c:2: margin: '1M 2M' is not a size, a percentage with %, or both"},
        {"[setmov]\ndigest = keyed\n", "c:2: digest = keyed needs a key-file"},
        {"[setmov]\nkey-file = /k\n", "c:2: key-file goes with digest = keyed only"},
        {"[choose]\nweight-bytes=0\nweight-cpu=0\nweight-memory=0\nweight-space=0\n",
         "c:5: one of the weights must be above 0"},
        {"[choose]\nweight-cpu = -1\n", "c:2: weight-cpu: '-1' is not a number, from 0 to 1000"},
        {"[setmov]\nindex = /s\n[sync]\ncache = /s/peers\n",
         "c:4: cache /s/peers and index /s may not be one, nor lie in each other"},
        {"[setmov]\nindex = /var/lib/setmov/peers/\n",
         "c:2: cache /var/lib/setmov/peers and index /var/lib/setmov/peers may not be one, nor lie "
         "in each other"},
        {"[setmov]\nindex = /s\nstate = /s/t\n",
         "c:3: state /s/t may not be the index /s, nor lie in it"},
        {"[setmov]\nindex = /s\nincoming = /s/t\n",
         "c:3: incoming /s/t and index /s may not be one, nor lie in each other"},
        {"[setmov]\nindex = /var/lib/setmov/incoming/x\n",
         "c:2: incoming /var/lib/setmov/incoming and index /var/lib/setmov/incoming/x may not be "
         "one, nor lie in each other"},
        {"[sync]\ncache = /var/lib/setmov/incoming\n",
         "c:2: incoming /var/lib/setmov/incoming and cache /var/lib/setmov/incoming may not be "
         "one, nor lie in each other"},
        {"[setmov]\nstate = /s/t\nincoming = /s\n",
         "c:3: state /s/t may not be incoming /s, nor lie in it"},
        {"[setmov]\nstate = /s\nincoming = /s/\n",
         "c:3: state /s may not be incoming /s, nor lie in it"},
        {"[setmov]\nincoming-pool = setmov\n",
         "c:2: incoming-pool and setmov-pool may not be one: setmov"},
        {"[setmov]\nsetmov-pool = setmov-incoming\n",
         "c:2: incoming-pool and setmov-pool may not be one: setmov-incoming"},
        {"[host b]\nuri = q://b\nincoming-pool = setmov\n",
         "c:1: incoming-pool and setmov-pool may not be one: setmov"},
        {"[setmov]\nindex = /var/lib\n",
         "c:2: state /var/lib/setmov may not be the index /var/lib, nor lie in it"},
        {"[setmov]\npool = \xff\n", "c:2: not UTF-8 text"},
        {"[setmov]\npool = a\x1b[0m\n", "c:2: a control character, or one that is not seen"},
        {"[setmov]\npool = a\xe2\x80\xae\n", "c:2: a control character, or one that is not seen"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        refused(rows[i].text, strlen(rows[i].text), rows[i].message);
    refused("[setmov]\npool = a\0b\n", 20, "c:2: a NUL character");
}

static void long_mistakes_are_told_shortly(void **state)
{
    static char text[70000];
    struct config config;
    struct error err = {""};

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(parse(text, &config, &err), -EINVAL);
    assert_non_null(strstr(err.text, "' is neither [section] nor key = value"));
    memcpy(text, "[hook]\n", 7);
    text[6000] = '=';
    assert_int_equal(parse(text, &config, &err), -EINVAL);
    assert_int_equal(strncmp(err.text, "c:2: [hook] has no key 'xxx", 27), 0);
    memcpy(text, "[hook]\npolicy=", 14);
    assert_int_equal(parse(text, &config, &err), -EINVAL);
    assert_non_null(strstr(err.text, "' is not one of advise"));
}

static void long_lists_are_whole(void **state)
{
    static char text[64 * 1000];
    size_t used;
    struct config config;

    (void)state;
    string_format(text, sizeof(text), "[group big]\nvms =");
    used = strlen(text);
    for (int i = 0; i < 2000; i++) {
        string_format(text + used, sizeof(text) - used, " vm-with-a-long-name-%d", i);
        used += strlen(text + used);
    }
    config = taken(text);
    assert_int_equal(config.groups[0].vms.count, 2000);
    assert_string_equal(config.groups[0].vms.items[1999], "vm-with-a-long-name-1999");
    config_release(&config);
}

static void huge_texts_are_refused(void **state)
{
    char *text = malloc(CONFIG_MAX_BYTES + 1);
    struct config config;
    struct error err = {""};

    (void)state;
    assert_non_null(text);
    memset(text, '\n', CONFIG_MAX_BYTES + 1);
    assert_int_equal(parse_bytes(text, CONFIG_MAX_BYTES, &config, &err), 0);
    config_release(&config);
    assert_int_equal(parse_bytes(text, CONFIG_MAX_BYTES + 1, &config, &err), -EFBIG);
    assert_string_equal(err.text, "c: is longer than 1048576 bytes");
    free(text);
}

/* ---- files -------------------------------------------------------------------------- */

static void files_are_read(void **state)
{
    char path[] = "/tmp/setmov-config-XXXXXX", name[256] = "", message[128];
    struct config config;
    struct error err = {""};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[hook]\npolicy = off\n", 20), 20);
    assert_int_equal(config_read(path, &config, &err), 0);
    assert_int_equal(config.hook.policy, CONFIG_OFF);
    assert_string_equal(config.path, path);
    assert_int_equal(gethostname(name, sizeof(name) - 1), 0);
    assert_string_equal(config.setmov.name, name);
    config_release(&config);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(config_read(path, &config, &err), -EINVAL);
    string_format(message, sizeof(message), "%s:3: 'x' is neither [section] nor key = value", path);
    assert_string_equal(err.text, message);
    close(fd);
    unlink(path);

    assert_int_equal(config_read(path, &config, &err), -ENOENT);
    string_format(message, sizeof(message), "%s: No such file or directory", path);
    assert_string_equal(err.text, message);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(config_read(path, &config, &err), -EINVAL);
    string_format(message, sizeof(message), "%s: is not a regular file", path);
    assert_string_equal(err.text, message);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_gives_the_defaults),
        cmocka_unit_test(the_hook_is_careful_by_default),
        cmocka_unit_test(weights_are_normalised),
        cmocka_unit_test(hosts_take_from_setmov_what_they_do_not_say),
        cmocka_unit_test(this_hosts_own_section_is_about_this_host),
        cmocka_unit_test(many_hosts_are_found),
        cmocka_unit_test(groups_have_vms),
        cmocka_unit_test(the_host_may_have_to_be_named),
        cmocka_unit_test(the_shape_of_the_text_matters_little),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(bandwidths),
        cmocka_unit_test(other_numbers),
        cmocka_unit_test(uris_names_and_paths),
        cmocka_unit_test(paths_are_made_plain),
        cmocka_unit_test(block_sizes_are_those_of_the_digests),
        cmocka_unit_test(margins_are_bytes_percent_or_both),
        cmocka_unit_test(logs_and_overrides_combine),
        cmocka_unit_test(keyed_digests_have_a_key),
        cmocka_unit_test(mistakes_are_named_with_their_line),
        cmocka_unit_test(long_mistakes_are_told_shortly),
        cmocka_unit_test(long_lists_are_whole),
        cmocka_unit_test(huge_texts_are_refused),
        cmocka_unit_test(files_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
