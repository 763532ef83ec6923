/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From answers, memory and the kernel to the set that the caller gets. */
#include "vm/sample.h"
#include "vm/source.h"

#include <errno.h>
#include <time.h>

static int reserve_vms(struct vm_set *set, size_t count)
{
    size_t had = set->capacity;
    int r = array_reserve(&set->vms, &set->capacity, count, sizeof(*set->vms));

    if (r == 0 && set->capacity > had)
        memset(set->vms + had, 0, (set->capacity - had) * sizeof(*set->vms));
    return r;
}

static int compare_vms(const void *a, const void *b)
{
    return vm_sample_compare(a, b);
}

/* Did the VM's monitor tell anything, as far as a driver with bulk statistics goes? */
static void judge_answering(struct vm_source *source, struct vm_entry *entry,
                            const struct stats_job *job, const struct vm_answer *answer,
                            struct vm_sample *vm)
{
    bool told = vm_sample_has_disk_counters(vm);

    if (!entry->active || job->no_bulk || !(job->bulk_groups & VM_GROUP_BLOCK)) {
        entry->silent_cycles = 0;
    } else if (entry->kernel_stopped) {
        entry->silent_cycles = SILENT_CYCLES;
    } else if (answer->asked && answer->no_wait && !told && vm->disk_count > 0) {
        entry->silent_cycles++;
    } else if (told || (answer->asked && workers_stuck(source->workers) == 0)) {
        entry->silent_cycles = 0;
    }
    vm->answering = entry->silent_cycles < SILENT_CYCLES;
}

static int take_answer(struct vm_source *source, struct vm_answer *answer,
                       const struct stats_job *job, const struct host_interfaces *interfaces,
                       const struct kernel_paths *paths, struct vm_sample *vm)
{
    struct vm_entry *entry = entries_update(&source->entries, answer);
    struct vm_sample swap = *vm;

    if (!entry)
        return -ENOMEM;
    *vm = answer->vm;
    answer->vm = swap; /* its lists are freed with the job */
    if (answer->groups & VM_GROUP_BALLOON && vm->active && (job->wanted & VM_GROUP_BALLOON)) {
        entry->memory = vm->memory;
        balloon_answered(&entry->balloon, vm->memory.time_s, (double)time(NULL),
                         vm->memory.last_update);
    }
    if (vm->active)
        entry_read_kernel(entry, paths);
    if (vm->active && !(answer->groups & VM_GROUP_INTERFACE) && vm->interface_count == 0 &&
        entry_recall_interfaces(entry, vm) < 0)
        return -ENOMEM;
    judge_answering(source, entry, job, answer, vm);
    if (vm->active)
        entry_complete(entry, interfaces, vm);
    return 0;
}

int source_fill_from_answer(struct vm_source *source, struct stats_job *job,
                            const struct host_interfaces *interfaces,
                            const struct kernel_paths *paths, struct vm_set *set)
{
    int r = reserve_vms(set, job->answers.count);

    /* First, so that entries, answers and set are in the same order and none is searched for long. */
    vm_answers_sort(&job->answers);
    for (size_t i = 0; i < job->answers.count && r == 0; i++) {
        r = take_answer(source, &job->answers.list[i], job, interfaces, paths,
                        &set->vms[set->count]);
        if (r == 0)
            set->silent_count += !set->vms[set->count++].answering;
    }
    if (r < 0)
        return r;
    entries_sweep(&source->entries);
    source->kernel_knows_cpu = source->pid_directory != NULL;
    source->kernel_knows_taps = source->kernel_knows_cpu && source->link->tells_devices;
    for (size_t i = 0; i < source->entries.count; i++) {
        const struct vm_entry *entry = &source->entries.list[i];

        if (!entry->active)
            continue;
        source->kernel_knows_cpu &= entry_kernel_tells_cpu(entry);
        source->kernel_knows_taps &= entry->taps_fresh;
    }
    return 0;
}

int source_fill_from_memory(struct vm_source *source, const struct host_interfaces *interfaces,
                            struct vm_set *set)
{
    int r = reserve_vms(set, source->entries.count);

    for (size_t i = 0; i < source->entries.count && r == 0; i++) {
        struct vm_entry *entry = &source->entries.list[i];
        struct vm_sample *vm = &set->vms[set->count++];

        r = entry_recall(entry, vm);
        if (entry->kernel_stopped)
            entry->silent_cycles = SILENT_CYCLES;
        vm->answering = entry->silent_cycles < SILENT_CYCLES;
        set->silent_count += !vm->answering;
        if (vm->active)
            entry_complete(entry, interfaces, vm);
    }
    if (set->count > 1)
        qsort(set->vms, set->count, sizeof(*set->vms), compare_vms);
    return r;
}

void source_complete_late(struct vm_source *source, const struct host_interfaces *interfaces,
                          struct vm_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct vm_entry *entry = entries_find(&source->entries, set->vms[i].uuid);

        if (entry && set->vms[i].active)
            entry_complete_late(entry, interfaces, &set->vms[i]);
    }
}
