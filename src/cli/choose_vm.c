/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov choose VM`: the steps from a domain's name to a ranking of the hosts of setmov.conf. */
#include "choose_vm.h"

#include "configured.h"
#include "report_json.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void choose_vm_shared_drop(struct choose_vm_shared *shared)
{
    if (shared == NULL || __atomic_sub_fetch(&shared->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    vm_move_release(&shared->move);
    free(shared);
}

void choose_vm_release(struct choose_vm *vm)
{
    choose_vm_shared_drop(vm->shared);
    for (size_t i = 0; i < vm->disk_count; i++) {
        free(vm->disks[i].target);
        free(vm->disks[i].path);
        free(vm->disks[i].format);
        fingerprint_file_close(vm->disks[i].fingerprint);
    }
    free(vm->disks);
    for (size_t i = 0; i < vm->host_count; i++) {
        free(vm->hosts[i].unusable);
        vm_lines_release(&vm->hosts[i].obstacles);
        vm_lines_release(&vm->hosts[i].notes);
        free(vm->hosts[i].figures);
    }
    free(vm->hosts);
    vm_lines_release(&vm->notes);
    free(vm->candidates);
    placement_move_release(&vm->result);
    *vm = (struct choose_vm){0};
}

struct catalog_kind choose_vm_kind(const struct choose_vm *vm)
{
    const struct blocks_settings *settings = vm->settings;
    struct catalog_kind kind = {.kind = settings->kind, .block_size = settings->block_sizes[0]};

    /* A fingerprint as operand brings its own key's mark; the key is not needed for it. */
    if (vm->disk_count > 0 && vm->disks[0].fingerprint != NULL)
        return choose_kind_of(&vm->disks[0].fingerprint->view);
    if (settings->kind == DIGEST_KEYED_SHA256)
        fingerprint_key_id(settings->key, kind.key_id);
    return kind;
}

int choose_vm_host_unusable(struct choose_vm_host *host, const char *format, ...)
{
    va_list arguments;
    int length;

    if (host->unusable != NULL)
        return 0;
    va_start(arguments, format);
    length = vasprintf(&host->unusable, format, arguments);
    va_end(arguments);
    if (length < 0) {
        host->unusable = NULL;
        return -ENOMEM;
    }
    return 0;
}

/* ---- ranking ------------------------------------------------------------------------------ */

static struct placement_candidate candidate_of(const struct choose_vm *vm,
                                               const struct choose_vm_host *host)
{
    struct placement_candidate candidate = {
        .name = host->config->name,
        .unusable = host->unusable,
        .trust_domain = host->domain,
        .maintenance = host->config->maintenance,
        .obstacles = (const char *const *)host->obstacles.lines,
        .obstacle_count = host->obstacles.count,
        .notes = (const char *const *)host->notes.lines,
        .note_count = host->notes.count,
        .wire_bytes = host->wire_bytes,
        .bandwidth_bits_per_s = host->config->bandwidth_bits_per_s,
        .cpu_percent = host->cpu_percent,
        .memory_free_bytes = host->memory_free_bytes,
        .pool_free_bytes = host->pool_free_bytes,
    };

    for (size_t i = 0; host->figures != NULL && i < vm->disk_count; i++)
        placement_add(&candidate.figures, &host->figures[i]);
    return candidate;
}

int choose_vm_rank(struct choose_vm *vm, struct error *err)
{
    const struct vm_move *move = &vm->shared->move;
    struct placement_vm facts = {
        .name = vm->operand,
        .host = vm->shared->is_vm ? vm->config->setmov.name : NULL,
        .trust_domain = vm->config->setmov.trust_domain,
        .memory_bytes = move->memory_bytes,
        .vcpus = move->vcpus,
        .space_bytes = vm->space_bytes,
        .image_bytes = vm->image_bytes,
        .obstacles = (const char *const *)move->obstacles.lines,
        .obstacle_count = move->obstacles.count,
    };
    struct placement_rules rules = {
        .weight_bytes = vm->config->choose.weight_bytes,
        .weight_cpu = vm->config->choose.weight_cpu,
        .weight_memory = vm->config->choose.weight_memory,
        .weight_space = vm->config->choose.weight_space,
        .max_cpu_percent = vm->config->choose.max_cpu_percent,
        .memory_reserve_bytes = vm->config->choose.memory_reserve_bytes,
        .space_reserve_bytes = vm->config->choose.space_reserve_bytes,
    };

    if (vm->candidates == NULL)
        vm->candidates = calloc(vm->host_count + 1, sizeof(*vm->candidates));
    if (vm->candidates == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < vm->host_count; i++)
        vm->candidates[i] = candidate_of(vm, &vm->hosts[i]);
    placement_move_release(&vm->result);
    return placement_move(&facts, vm->candidates, vm->host_count, &rules, &vm->result, err);
}

/* ---- the command ---------------------------------------------------------------------------- */

/* What the configuration says of digests, where no option does. STATUS_OK, or a status. */
int choose_vm_configure(const struct command_syntax *syntax, const struct config *config,
                        struct blocks_settings *settings)
{
    static const enum digest_kind kinds[] = {
        [CONFIG_DIGEST_SHA256] = DIGEST_SHA256,
        [CONFIG_DIGEST_MD5] = DIGEST_MD5,
        [CONFIG_DIGEST_KEYED] = DIGEST_KEYED_SHA256,
    };

    if (!settings->block_size_given)
        settings->block_sizes[0] = config->setmov.block_sizes.bytes[0];
    if (settings->kind_given || settings->has_key)
        return STATUS_OK;
    settings->kind = kinds[config->setmov.digest];
    if (settings->kind != DIGEST_KEYED_SHA256)
        return STATUS_OK;
    return blocks_option(syntax, BLOCKS_OPTION_KEY_FILE, config->setmov.key_file, settings);
}

static int make_hosts(struct choose_vm *vm, struct error *err)
{
    const struct config *config = vm->config;

    vm->hosts = calloc(config->host_count + 1, sizeof(*vm->hosts));
    if (vm->hosts == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    vm->host_count = config->host_count;
    for (size_t i = 0; i < config->host_count; i++) {
        const struct config_host *host = &config->hosts[i];

        vm->hosts[i] = (struct choose_vm_host){
            .config = host,
            .domain = host->trust_domain,
            .is_self = strcmp(host->name, config->setmov.name) == 0,
            .cpu_percent = NAN,
            .memory_free_bytes = UNKNOWN_U64,
            .pool_free_bytes = UNKNOWN_U64,
            .busy_ns = UNKNOWN_U64,
            .total_ns = UNKNOWN_U64,
            .wire_bytes = UNKNOWN_U64,
        };
        vm->hosts[i].is_out = vm->hosts[i].is_self || host->maintenance ||
                              strcmp(host->trust_domain, config->setmov.trust_domain) != 0;
    }
    return 0;
}

int choose_vm_all(struct choose_vm *vm, struct error *err)
{
    int rc = make_hosts(vm, err);

    if (rc == 0)
        rc = choose_vm_history(vm, err);
    if (rc == 0)
        rc = choose_vm_find(vm, err);
    if (rc == 0)
        rc = choose_vm_fingerprints(vm, err);
    if (rc == 0)
        rc = choose_vm_ask(vm, err);
    if (rc == 0)
        rc = choose_vm_facts(vm, err);
    if (rc == 0)
        rc = choose_vm_figures(vm, err);
    if (rc == 0)
        rc = choose_vm_rank(vm, err);
    if (rc == 0 && !vm->result.stay)
        rc = choose_vm_confirm(vm, err);
    return rc;
}

static int run(struct choose_vm *vm, bool explain, bool json)
{
    struct error err = {""};
    int rc = blocks_stop_watch(&err);

    if (rc == 0)
        rc = choose_vm_all(vm, &err);
    if (rc == -ECANCELED)
        return blocks_stop_exit(CHOOSE_NAME);
    if (rc < 0)
        return command_error(CHOOSE_NAME, "%s", err.text);
    if (json)
        return report_json_print(CHOOSE_NAME, choose_vm_json(vm));
    choose_vm_print(vm, explain);
    return STATUS_OK;
}

int choose_vm_command(const struct command_syntax *syntax, const char *operand,
                      const char *config_path, struct blocks_settings *settings, bool explain,
                      bool json)
{
    CLEANUP(config_release) struct config config = {.path = NULL};
    CLEANUP(choose_vm_release)
    struct choose_vm vm = {.operand = operand, .config = &config, .settings = settings};
    int status = cli_config_read(syntax->name, config_path, &config);

    if (status != STATUS_OK)
        return status;
    if (config.host_count == 0)
        return command_usage_error(syntax->name,
                                   "no host given: %s has no [host NAME], and there is no --host",
                                   config.path);
    status = choose_vm_configure(syntax, &config, settings);
    if (status == STATUS_OK)
        status = blocks_prepare(syntax->name, settings);
    return status < 0 ? run(&vm, explain, json) : status;
}
