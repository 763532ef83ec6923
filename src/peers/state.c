/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What came of reading a host, as text: one word and one value a line. Pure. */
#include "peers/internal.h"

#define MARK "setmov-state 1"

void peers_state_init(struct peers_state *state)
{
    *state = (struct peers_state){
        .memory_bytes = UNKNOWN_U64,
        .memory_free_bytes = UNKNOWN_U64,
        .pool_free_bytes = UNKNOWN_U64,
    };
}

static void add_number(char *text, const char *word, uint64_t value)
{
    size_t length = strlen(text);

    if (value != UNKNOWN_U64)
        string_format(text + length, PEERS_STATE_BYTES - length, "%s %llu\n", word,
                      (unsigned long long)value);
}

void peers_state_encode(const struct peers_state *state, char ret_text[PEERS_STATE_BYTES])
{
    size_t length;

    string_format(ret_text, PEERS_STATE_BYTES, "%s\n", MARK);
    add_number(ret_text, "tried", state->tried_s > 0 ? (uint64_t)state->tried_s : 0);
    add_number(ret_text, "read", state->read_s > 0 ? (uint64_t)state->read_s : 0);
    add_number(ret_text, "cpus", state->cpus);
    add_number(ret_text, "memory", state->memory_bytes);
    add_number(ret_text, "memory-free", state->memory_free_bytes);
    add_number(ret_text, "pool-free", state->pool_free_bytes);
    length = strlen(ret_text);
    if (state->problem.text[0] != '\0')
        string_format(ret_text + length, PEERS_STATE_BYTES - length, "problem %s\n",
                      state->problem.text);
}

static void take_line(struct text line, struct peers_state *state)
{
    struct text word;
    uint64_t value;

    if (!text_next_word(&line, &word))
        return;
    if (text_equals(word, "problem")) {
        if (line.at < line.end) /* the blank */
            line.at++;
        text_copy(line, state->problem.text, sizeof(state->problem.text));
        return;
    }
    if (!text_next_u64(&line, &value))
        return;
    if (text_equals(word, "tried") && value <= INT64_MAX)
        state->tried_s = (int64_t)value;
    else if (text_equals(word, "read") && value <= INT64_MAX)
        state->read_s = (int64_t)value;
    else if (text_equals(word, "cpus"))
        state->cpus = value;
    else if (text_equals(word, "memory"))
        state->memory_bytes = value;
    else if (text_equals(word, "memory-free"))
        state->memory_free_bytes = value;
    else if (text_equals(word, "pool-free"))
        state->pool_free_bytes = value;
}

void peers_state_parse(struct text text, struct peers_state *ret_state)
{
    struct text line;

    peers_state_init(ret_state);
    if (!text_next_line(&text, &line) || !text_equals(line, MARK))
        return;
    while (text_next_line(&text, &line))
        take_line(line, ret_state);
}
