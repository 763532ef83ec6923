/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov migrate` without a destination: as `setmov choose` does it. */
#include "choose_vm.h"
#include "migrate.h"

#include <errno.h>
#include <stdio.h>

static const char *reason_of(const struct placement_move *move)
{
    return move->ranks[0].reason_count > 0 ? move->ranks[0].reasons[0] : "it is the only one";
}

static int take_choice(const struct choose_vm *vm, bool quiet, char **ret_host)
{
    const struct placement_move *move = &vm->result;

    if (move->stay) {
        if (!quiet)
            printf("%s stays: %s\n", blocks_show(vm->operand).text,
                   blocks_show(move->stay_reason).text);
        return STATUS_OK;
    }
    *ret_host = strdup(vm->hosts[move->ranks[0].candidate].config->name);
    if (*ret_host == NULL)
        return command_error(MIGRATE_COMMAND, "out of memory");
    if (!quiet)
        printf("%s goes to %s: %s\n", blocks_show(vm->operand).text, *ret_host,
               blocks_show(reason_of(move)).text);
    fflush(stdout);
    return STATUS_OK;
}

int migrate_choose(const struct config *config, const char *operand, bool quiet, char **ret_host)
{
    static const struct command_syntax syntax = {.name = MIGRATE_COMMAND};
    struct blocks_settings settings;
    struct error err = {""};
    int status, rc;

    *ret_host = NULL;
    blocks_settings_init(&settings, BLOCKS_DEFAULT_KIND, BLOCKS_DEFAULT_BLOCK_SIZE);
    settings.quiet = quiet;
    status = choose_vm_configure(&syntax, config, &settings);
    if (status == STATUS_OK) {
        CLEANUP(choose_vm_release)
        struct choose_vm vm = {.operand = operand, .config = config, .settings = &settings};

        rc = choose_vm_all(&vm, &err);
        if (rc == -ECANCELED)
            status = blocks_stop_exit(MIGRATE_COMMAND);
        else if (rc == 0 && !vm.shared->is_vm)
            status = command_error(MIGRATE_COMMAND, "%s is no VM", operand);
        else
            status = rc < 0 ? command_error(MIGRATE_COMMAND, "%s", err.text)
                            : take_choice(&vm, quiet, ret_host);
    }
    blocks_settings_release(&settings);
    return status;
}
