/*
 * hw_standin: what the parts of the stand-in share (hw_standin.c). hw_devices.c has the devices.
 */
#ifndef SCONE_TESTS_HW_STANDIN_H
#define SCONE_TESTS_HW_STANDIN_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include "../lib/make_nitro.h"
#include "../lib/make_snp.h"

#define NEED(x)                                                                                              \
	do {                                                                                                 \
		if (!(x)) {                                                                                  \
			fprintf(stderr, "hw_standin: not done: %s (%s)\n", #x, strerror(errno));             \
			exit(125);                                                                           \
		}                                                                                            \
	} while (0)

struct hw {
	bool no_aux, nsm_error; /* options */
	const char *base; /* DIR */
	struct snp_maker snp;
	struct nitro_maker nitro;
};
extern struct hw hw;

/* Does DIR/guest say this word? */
bool hw_guest_is(const char *word);
void hw_put_file(const char *dir, const char *name, const void *p, size_t n, mode_t mode);
size_t hw_get_file(const char *dir, const char *name, void *p, size_t max);
/* Memory of the program. */
bool hw_peek(pid_t pid, uint64_t from, void *to, size_t n);
bool hw_poke(pid_t pid, uint64_t to, const void *from, size_t n);

/* --- devices --- */

/* The report of this guest over in, signed. */
void hw_make_snp(const uint8_t in[64], struct snp_report_wire *ret);
/* The chip's secret, DIR/chip, which is made if it is absent. */
void hw_start_chip(void);
/* One ioctl with its argument in the program's memory: 0, or the negative errno that it ends with. */
bool hw_is_sev_request(uint32_t request);
int hw_answer_sev(pid_t pid, uint32_t request, uint64_t at);
int hw_answer_nsm(pid_t pid, uint64_t at);

#endif
