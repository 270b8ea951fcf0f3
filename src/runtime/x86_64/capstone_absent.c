/*
 * capstone_absent: Capstone's other architectures, left out of the runtime. The archive's tables for them are 1.5 MB that the loader would
 * relocate at every start; defining their entry points here keeps the linker from taking them.
 */
#include <capstone/capstone.h>

static cs_err absent(void *unused)
{
	(void)unused;
	return CS_ERR_ARCH;
}

#define ABSENT(arch)                                                                                         \
	cs_err arch##_global_init(void *) __attribute__((alias("absent")));                                  \
	cs_err arch##_option(void *, cs_opt_type, size_t) __attribute__((alias("absent_option")))

static cs_err absent_option(void *unused, cs_opt_type type, size_t value)
{
	(void)unused;
	(void)type;
	(void)value;
	return CS_ERR_ARCH;
}

ABSENT(ARM);
ABSENT(AArch64);
ABSENT(EVM);
ABSENT(M680X);
ABSENT(M68K);
ABSENT(Mips);
ABSENT(PPC);
ABSENT(Sparc);
ABSENT(SystemZ);
ABSENT(TMS320C64x);
ABSENT(XCore);
