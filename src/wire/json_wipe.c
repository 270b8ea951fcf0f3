#include "wire/json_wipe.h"

#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include "core/secret.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

void json_free(void *p)
{
	if (!p)
		return;
	secret_wipe(p, malloc_usable_size(p));
	free(p);
}

static void install(void)
{
	json_set_alloc_funcs(malloc, json_free);
}

void json_wipe_install(void)
{
	pthread_once(&once, install);
}
