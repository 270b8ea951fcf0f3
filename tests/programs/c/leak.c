/*
 * Two blocks lost, one in a thread that is gone. Built with AddressSanitizer: its leak checker stops all threads by ptrace, from a process that
 * runs beside this one in the same memory.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *lose(void *size)
{
	volatile char *p = malloc((size_t)size);

	p[0] = 1;
	return NULL;
}

int main(void)
{
	pthread_t t;
	char *kept = malloc(10);

	pthread_create(&t, NULL, lose, (void *)77);
	pthread_join(t, NULL);
	lose((void *)1234);
	printf("kept %d\n", kept != NULL);
	free(kept);
	return 0;
}
