/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's options, one table of keys: see setmov_config.h. */
#include <errno.h>
#include <math.h>
#include <strings.h>

#include "setmov_config.h"

#include "setmov/usage.h"

/* A default deadline leaves a fifth of the interval for the dispatch, and ends a stop quickly. */
#define DEADLINE_SHARE     0.8
#define DEADLINE_DEFAULT_S 5.0

#define BALLOON_PERIOD_MAX_S 86400.0
#define PACKET_OVERHEAD_MAX  1000000.0
#define DEADLINE_MAX_S       86400.0
#define REFRESH_INTERVAL_MAX 1e9
#define CHOICES_MAX          3

struct key {
    const char *name;
    int (*set)(const struct key *key, const oconfig_item_t *item, struct setmov_config *config,
               struct error *err);
    size_t offset;        /* of the member that is set */
    const char *expected; /* "is not ..." */
    double minimum, maximum;
    const char *choices[CHOICES_MAX];
    bool repeats; /* may be given more than once */
};

static void *member(struct setmov_config *config, const struct key *key)
{
    return (char *)config + key->offset;
}

/* ---- messages -------------------------------------------------------------- */

static void value_text(const oconfig_value_t *value, char *text, size_t size)
{
    switch (value->type) {
    case OCONFIG_TYPE_STRING:
        string_copy(text, size, value->value.string);
        break;
    case OCONFIG_TYPE_NUMBER:
        string_format(text, size, "%.15g", value->value.number);
        break;
    default:
        string_copy(text, size, value->value.boolean ? "true" : "false");
    }
}

/* All values of the item as 'one' 'two'. */
static void item_text(const oconfig_item_t *item, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < item->values_num && used + 4 < size; i++) {
        char one[160];

        value_text(&item->values[i], one, sizeof(one));
        string_format(text + used, size - used, "%s'%s'", i > 0 ? " " : "", one);
        used += strlen(text + used);
    }
}

static int reject(const struct key *key, const oconfig_item_t *item, struct error *err)
{
    char values[320];

    item_text(item, values, sizeof(values));
    return error_set(err, -EINVAL, "option `%s': %s is not %s", key->name, values, key->expected);
}

static int check_one_value(const struct key *key, const oconfig_item_t *item, struct error *err)
{
    char values[320];

    if (item->values_num == 1)
        return 0;
    if (item->values_num == 0)
        return error_set(err, -EINVAL, "option `%s': has no value; it takes %s", key->name,
                         key->expected);
    item_text(item, values, sizeof(values));
    return error_set(err, -EINVAL, "option `%s': %s are %d values; it takes one", key->name, values,
                     item->values_num);
}

/* The one string of the item, or NULL where it is something else. */
static const char *string_of(const oconfig_item_t *item)
{
    return item->values[0].type == OCONFIG_TYPE_STRING ? item->values[0].value.string : NULL;
}

/* ---- one function a kind of value -------------------------------------------- */

static int set_string(const struct key *key, const oconfig_item_t *item,
                      struct setmov_config *config, struct error *err)
{
    const char *string;
    char *copy;
    int status = check_one_value(key, item, err);

    if (status < 0)
        return status;
    string = string_of(item);
    if (string == NULL || string[0] == '\0')
        return reject(key, item, err);
    copy = strdup(string);
    if (copy == NULL)
        return error_set(err, -ENOMEM, "option `%s': out of memory", key->name);
    *(char **)member(config, key) = copy;
    return 0;
}

/* collectd changes its working directory: a relative path would point somewhere else. */
static int set_path(const struct key *key, const oconfig_item_t *item, struct setmov_config *config,
                    struct error *err)
{
    int status = check_one_value(key, item, err);
    const char *string;

    if (status < 0)
        return status;
    string = string_of(item);
    if (string == NULL || string[0] != '/')
        return reject(key, item, err);
    return set_string(key, item, config, err);
}

/* Quoted booleans too: the virt plugin takes IgnoreSelected "true". */
static int set_boolean(const struct key *key, const oconfig_item_t *item,
                       struct setmov_config *config, struct error *err)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},
                 {"false", false}, {"no", false}, {"off", false}};
    int status = check_one_value(key, item, err);

    if (status < 0)
        return status;
    if (item->values[0].type == OCONFIG_TYPE_BOOLEAN) {
        *(bool *)member(config, key) = item->values[0].value.boolean != 0;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(words) && string_of(item) != NULL; i++) {
        if (strcasecmp(string_of(item), words[i].text) == 0) {
            *(bool *)member(config, key) = words[i].value;
            return 0;
        }
    }
    return reject(key, item, err);
}

static int set_number(const struct key *key, const oconfig_item_t *item,
                      struct setmov_config *config, struct error *err)
{
    int status = check_one_value(key, item, err);
    double number;

    if (status < 0)
        return status;
    if (item->values[0].type != OCONFIG_TYPE_NUMBER)
        return reject(key, item, err);
    number = item->values[0].value.number;
    if (!isfinite(number) || number < key->minimum || number > key->maximum)
        return reject(key, item, err);
    *(double *)member(config, key) = number;
    return 0;
}

static int set_whole_number(const struct key *key, const oconfig_item_t *item,
                            struct setmov_config *config, struct error *err)
{
    if (item->values_num == 1 && item->values[0].type == OCONFIG_TYPE_NUMBER &&
        item->values[0].value.number != floor(item->values[0].value.number))
        return reject(key, item, err);
    return set_number(key, item, config, err);
}

static int set_overhead(const struct key *key, const oconfig_item_t *item,
                        struct setmov_config *config, struct error *err)
{
    int status = check_one_value(key, item, err);

    if (status < 0)
        return status;
    if (string_of(item) == NULL)
        return set_number(key, item, config, err);
    if (strcasecmp(string_of(item), "paper") == 0)
        config->packet_overhead_bits = PACKET_OVERHEAD_PAPER_BITS;
    else if (strcasecmp(string_of(item), "wire") == 0)
        config->packet_overhead_bits = PACKET_OVERHEAD_WIRE_BITS;
    else
        return reject(key, item, err);
    return 0;
}

/* The value is the word's place among the choices. */
static int set_choice(const struct key *key, const oconfig_item_t *item,
                      struct setmov_config *config, struct error *err)
{
    int status = check_one_value(key, item, err);

    if (status < 0)
        return status;
    for (int i = 0; i < CHOICES_MAX && key->choices[i] != NULL && string_of(item) != NULL; i++) {
        if (strcasecmp(string_of(item), key->choices[i]) == 0) {
            *(int *)member(config, key) = i;
            return 0;
        }
    }
    return reject(key, item, err);
}

/* Adds the words of one string ("name uuid") to the format; false where one is not known. */
static bool add_fields(const struct key *key, const char *words, struct identity_format *format,
                       bool *none)
{
    struct text text = text_of(words, strlen(words)), word;

    while (text_next_word(&text, &word)) {
        int field = 0;

        if (text_equals(word, "none") && key->minimum < 1) {
            *none = true;
            continue;
        }
        while (field < CHOICES_MAX && key->choices[field] != NULL &&
               !text_equals(word, key->choices[field]))
            field++;
        if (field == CHOICES_MAX || key->choices[field] == NULL)
            return false;
        if (format->count == ARRAY_LENGTH(format->fields))
            return false;
        for (unsigned i = 0; i < format->count; i++) {
            if ((int)format->fields[i] == field)
                return false;
        }
        format->fields[format->count++] = (enum identity_field)field;
    }
    return true;
}

/* One quoted string of words or several words; `minimum` fields at least. */
static int set_format(const struct key *key, const oconfig_item_t *item,
                      struct setmov_config *config, struct error *err)
{
    struct identity_format format = {.count = 0};
    bool none = false;

    if (item->values_num == 0)
        return check_one_value(key, item, err);
    for (int i = 0; i < item->values_num; i++) {
        if (item->values[i].type != OCONFIG_TYPE_STRING ||
            !add_fields(key, item->values[i].value.string, &format, &none))
            return reject(key, item, err);
    }
    if (none ? format.count > 0 : format.count == 0)
        return reject(key, item, err);
    *(struct identity_format *)member(config, key) = format;
    return 0;
}

static int set_filter(const struct key *key, const oconfig_item_t *item,
                      struct setmov_config *config, struct error *err)
{
    int status = check_one_value(key, item, err);

    if (status < 0)
        return status;
    if (string_of(item) == NULL)
        return reject(key, item, err);
    status = filter_add(member(config, key), string_of(item), err);
    if (status < 0)
        return error_prefix(err, status, "option `%s': '%s'", key->name, string_of(item));
    return 0;
}

/* Every cycle sees every VM and device here; a quoted number passes as in the virt plugin. */
static int set_refresh_interval(const struct key *key, const oconfig_item_t *item,
                                struct setmov_config *config, struct error *err)
{
    int status = check_one_value(key, item, err);
    double number = -1;

    if (status < 0)
        return status;
    if (item->values[0].type == OCONFIG_TYPE_NUMBER)
        number = item->values[0].value.number;
    else if (string_of(item) == NULL || parse_double(string_of(item), &number) < 0)
        return reject(key, item, err);
    if (!(number >= 0 && number <= key->maximum))
        return reject(key, item, err);
    config->refresh_interval_given = true;
    return 0;
}

/* An option of the virt plugin that has no meaning here; `expected` says what to do instead. */
static int refuse_virt_option(const struct key *key, const oconfig_item_t *item,
                              struct setmov_config *config, struct error *err)
{
    char values[320];

    (void)config;
    item_text(item, values, sizeof(values));
    return error_set(err, -EINVAL, "option `%s' %s: is the virt plugin's; here %s", key->name,
                     values, key->expected);
}

/* ---- the table ----------------------------------------------------------------- */

#define AT(member_name) .offset = offsetof(struct setmov_config, member_name)
#define BOOLEAN         .set = set_boolean, .expected = "true or false"
#define FILTER                                                                                     \
    .set = set_filter, .expected = "a string (a name or a /regular expression/)", .repeats = true

static const struct key keys[] = {
    {"Connection", AT(connection), .set = set_string, .expected = "a libvirt URI"},
    {"Domain", AT(domains), FILTER},
    {"BlockDevice", AT(block_devices), FILTER},
    {"InterfaceDevice", AT(interface_devices), FILTER},
    {"IgnoreSelected", AT(ignore_selected), BOOLEAN},
    {"HostnameFormat", AT(hostname_format), .set = set_format, .minimum = 1,
     .expected = "a list of `name', `uuid' and `hostname', with spaces between",
     .choices = {"name", "uuid", "hostname"}},
    {"PluginInstanceFormat", AT(plugin_instance_format), .set = set_format,
     .expected = "`none' or a list of `name' and `uuid', with a space between",
     .choices = {"name", "uuid"}},
    {"BlockDeviceFormat", AT(block_device_format), .set = set_choice,
     .expected = "`target' or `source'", .choices = {"target", "source"}},
    {"BlockDeviceFormatBasename", AT(block_device_basename), BOOLEAN},
    {"InterfaceFormat", AT(interface_format), .set = set_choice, .expected = "`name' or `address'",
     .choices = {"name", "address"}},
    {"ReportBlockDevices", AT(report_block_devices), BOOLEAN},
    {"ReportNetworkInterfaces", AT(report_network_interfaces), BOOLEAN},
    {"RefreshInterval", .set = set_refresh_interval, .expected = "a number of seconds",
     .maximum = REFRESH_INTERVAL_MAX},
    {"CollectHost", AT(collect_host), BOOLEAN},
    {"CollectVMs", AT(collect_vms), BOOLEAN},
    {"HostDisk", AT(host_disks), FILTER},
    {"HostInterface", AT(host_interfaces), FILTER},
    {"HostIgnoreSelected", AT(host_ignore_selected), BOOLEAN},
    {"PerCPU", AT(per_cpu), BOOLEAN},
    {"KernelPath", AT(kernel_path), BOOLEAN},
    {"ProcPath", AT(proc_path), .set = set_path, .expected = "an absolute path"},
    {"SysPath", AT(sys_path), .set = set_path, .expected = "an absolute path"},
    {"PacketOverhead", AT(packet_overhead_bits), .set = set_overhead,
     .expected = "`paper', `wire' or a number of bits from 0 to 1000000",
     .maximum = PACKET_OVERHEAD_MAX},
    {"BalloonPeriod", AT(balloon_period_s), .set = set_whole_number,
     .expected = "a whole number of seconds from 0 to 86400 without quotes",
     .maximum = BALLOON_PERIOD_MAX_S},
    {"Deadline", AT(deadline_s), .set = set_number,
     .expected = "a number of seconds from 0.001 to 86400 without quotes", .minimum = 0.001,
     .maximum = DEADLINE_MAX_S},
};

static const struct key virt_keys[] = {
    {"Instances", .set = refuse_virt_option, .expected = "one thread samples all VMs: remove it"},
    {"ExtraStats", .set = refuse_virt_option, .expected = "all statistics are on: remove it"},
    {"PersistentNotification", .set = refuse_virt_option,
     .expected = "only changes are notified: remove it"},
    {"HostnameMetadataNS", .set = refuse_virt_option,
     .expected = "names come from `name', `uuid' and `hostname': remove it"},
    {"HostnameMetadataXPath", .set = refuse_virt_option,
     .expected = "names come from `name', `uuid' and `hostname': remove it"},
};

_Static_assert(ARRAY_LENGTH(keys) <= 64, "setmov_config.given has 64 bits");

const char *setmov_config_key(size_t index)
{
    return index < ARRAY_LENGTH(keys) ? keys[index].name : NULL;
}

/* ---- the contract ---------------------------------------------------------------- */

void setmov_config_init(struct setmov_config *config)
{
    *config = (struct setmov_config){
        .hostname_format = {.fields = {IDENTITY_NAME}, .count = 1},
        .collect_host = true,
        .collect_vms = true,
        .report_block_devices = true,
        .report_network_interfaces = true,
        .per_cpu = true,
        .kernel_path = true,
        .packet_overhead_bits = PACKET_OVERHEAD_PAPER_BITS,
    };
}

void setmov_config_release(struct setmov_config *config)
{
    free(config->connection);
    free(config->proc_path);
    free(config->sys_path);
    filter_release(&config->domains);
    filter_release(&config->block_devices);
    filter_release(&config->interface_devices);
    filter_release(&config->host_disks);
    filter_release(&config->host_interfaces);
    setmov_config_init(config);
}

static const struct key *find_key(const struct key *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

int setmov_config_apply(struct setmov_config *config, const oconfig_item_t *item, struct error *err)
{
    const struct key *key = find_key(keys, ARRAY_LENGTH(keys), item->key);
    char values[320];
    uint64_t bit;
    int status;

    item_text(item, values, sizeof(values));
    if (key == NULL) {
        key = find_key(virt_keys, ARRAY_LENGTH(virt_keys), item->key);
        if (key != NULL)
            return key->set(key, item, config, err);
        return error_set(err, -EINVAL, "option `%s' %s: there is no such option", item->key,
                         values);
    }
    if (item->children_num > 0)
        return error_set(err, -EINVAL, "option `%s': is not a block", item->key);
    bit = UINT64_C(1) << (key - keys);
    if ((config->given & bit) != 0 && !key->repeats)
        return error_set(err, -EINVAL, "option `%s': %s is the second value; it takes one",
                         key->name, values);
    status = key->set(key, item, config, err);
    if (status == 0)
        config->given |= bit;
    return status;
}

static bool has_vm_field(const struct identity_format *format)
{
    for (unsigned i = 0; i < format->count; i++) {
        if (format->fields[i] != IDENTITY_HOSTNAME)
            return true;
    }
    return false;
}

int setmov_config_complete(struct setmov_config *config, double interval_s, struct error *err)
{
    if (config->deadline_s == 0)
        config->deadline_s = fmin(DEADLINE_SHARE * interval_s, DEADLINE_DEFAULT_S);
    if (config->deadline_s >= interval_s)
        return error_set(err, -EINVAL,
                         "option `Deadline': '%.15g' is not below the interval of %.15g s",
                         config->deadline_s, interval_s);
    if (!has_vm_field(&config->hostname_format) && !has_vm_field(&config->plugin_instance_format))
        return error_set(err, -EINVAL,
                         "option `HostnameFormat': 'hostname' does not tell VMs apart; add "
                         "`PluginInstanceFormat name'");
    if (!config->collect_host && !config->collect_vms)
        return error_set(err, -EINVAL,
                         "option `CollectHost': 'false' and `CollectVMs' 'false' leave nothing to "
                         "collect");
    config->domains.ignore_selected = config->ignore_selected;
    config->block_devices.ignore_selected = config->ignore_selected;
    config->interface_devices.ignore_selected = config->ignore_selected;
    config->host_disks.ignore_selected = config->host_ignore_selected;
    config->host_interfaces.ignore_selected = config->host_ignore_selected;
    return 0;
}
