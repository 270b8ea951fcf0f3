#include "host/secret_arena.h"
#include "runtime/shields.h"

const struct injected_memory shields_memory = {secret_arena_get, secret_arena_put};
