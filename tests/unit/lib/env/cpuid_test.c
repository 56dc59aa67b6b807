/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/env/env.h"
#include "tests/unit/suite.h"

static void each_name_leads_back_to_its_bit(void)
{
	unsigned names = 0;

	for (unsigned w = 0; w < ENV_CPUID_WORDS; w++)
		for (unsigned b = 0; b < 32; b++) {
			const char *name = env_cpuid_name(w, b);
			enum env_cpuid_word word = 0;
			unsigned bit = 99;

			if (!name)
				continue;
			names++;
			check(env_cpuid_find(name, &word, &bit));
			check_eq(word, w);
			check_eq(bit, b);
		}
	check(names > 200);
}

static void names_are_those_of_the_specification(void)
{
	static const struct { enum env_cpuid_word word; unsigned bit; const char *name; } known[] = {
		{ ENV_CPUID_1_EDX, 0, "fpu" }, { ENV_CPUID_1_EDX, 19, "clflush" }, { ENV_CPUID_1_EDX, 28, "ht" },
		{ ENV_CPUID_1_ECX, 0, "pni" }, { ENV_CPUID_1_ECX, 13, "cx16" }, { ENV_CPUID_1_ECX, 17, "pcid" },
		{ ENV_CPUID_1_ECX, 19, "sse4_1" }, { ENV_CPUID_1_ECX, 26, "xsave" }, { ENV_CPUID_1_ECX, 31, "hypervisor" },
		{ ENV_CPUID_7_0_EBX, 5, "avx2" }, { ENV_CPUID_7_0_EBX, 16, "avx512f" }, { ENV_CPUID_7_0_EBX, 23, "clflushopt" },
		{ ENV_CPUID_7_0_EBX, 29, "sha_ni" }, { ENV_CPUID_7_0_EBX, 31, "avx512vl" },
		{ ENV_CPUID_7_0_ECX, 1, "avx512vbmi" }, { ENV_CPUID_7_0_ECX, 3, "pku" }, { ENV_CPUID_7_0_ECX, 8, "gfni" },
		{ ENV_CPUID_7_0_ECX, 14, "avx512_vpopcntdq" }, { ENV_CPUID_7_0_ECX, 16, "la57" },
		{ ENV_CPUID_7_0_ECX, 22, "rdpid" },
		{ ENV_CPUID_7_0_ECX, 27, "movdiri" }, { ENV_CPUID_7_0_EDX, 4, "fsrm" }, { ENV_CPUID_7_0_EDX, 10, "md_clear" },
		{ ENV_CPUID_7_0_EDX, 14, "serialize" }, { ENV_CPUID_7_0_EDX, 22, "amx_bf16" },
		{ ENV_CPUID_7_0_EDX, 26, "spec_ctrl" },
		{ ENV_CPUID_7_0_EDX, 29, "arch_capabilities" }, { ENV_CPUID_7_0_EDX, 31, "spec_ctrl_ssbd" },
		{ ENV_CPUID_80000001_EDX, 11, "syscall" }, { ENV_CPUID_80000001_EDX, 20, "nx" },
		{ ENV_CPUID_80000001_EDX, 29, "lm" },
		{ ENV_CPUID_80000001_ECX, 1, "cmp_legacy" }, { ENV_CPUID_80000001_ECX, 9, "osvw" },
		{ ENV_CPUID_80000001_ECX, 22, "topoext" }, { ENV_CPUID_80000001_ECX, 29, "mwaitx" },
		{ ENV_CPUID_80000007_EDX, 8, "nonstop_tsc" }, { ENV_CPUID_80000008_EBX, 0, "clzero" },
		{ ENV_CPUID_80000008_EBX, 12, "amd_ibpb" }, { ENV_CPUID_80000008_EBX, 25, "virt_ssbd" },
		{ ENV_CPUID_D_1_EAX, 1, "xsavec" }, { ENV_CPUID_D_1_EAX, 3, "xsaves" }, { ENV_CPUID_6_EAX, 2, "arat" },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		check_str(env_cpuid_name(known[i].word, known[i].bit) ?: "none", known[i].name);
}

static void what_has_no_name_is_not_found(void)
{
	enum env_cpuid_word word;
	unsigned bit;

	check(!env_cpuid_find("rep_good", &word, &bit));
	check(!env_cpuid_find("osxsave", &word, &bit));
	check(!env_cpuid_find("", &word, &bit));
	check(!env_cpuid_name(ENV_CPUID_1_ECX, 27));
	check(!env_cpuid_name(ENV_CPUID_1_EDX, 32));
	check(!env_cpuid_name(ENV_CPUID_WORDS, 0));
}

static const struct test tests[] = {
	{ "each name leads back to its bit", each_name_leads_back_to_its_bit },
	{ "names are those of the specification", names_are_those_of_the_specification },
	{ "what has no name is not found", what_has_no_name_is_not_found },
	{ NULL, NULL },
};
const struct suite suite_lib_env_cpuid = { tests };
