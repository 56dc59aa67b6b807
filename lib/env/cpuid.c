/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of CPUID feature bits, as Linux prints them in /proc/cpuinfo. Where Linux prints one name for two bits (ibpb,
 * ibrs, stibp, ssbd) or none at all, the name is the kernel's macro in small letters (amd_ibpb, spec_ctrl).
 * Intel SDM volume 2 CPUID; AMD APM volume 3 appendix E.
 */
#include <string.h>
#include "lib/bits.h"
#include "lib/env/env_priv.h"
#include "lib/scope.h"

/* The bits of leaf 0x80000001 EDX in which AMD repeats leaf 1 EDX. */
#define AMD_ALIASES 0x0183f3ffu

static const char *const names[ENV_CPUID_WORDS][32] = {
	[ENV_CPUID_1_EDX] = {
		"fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", NULL, "sep", "mtrr", "pge", "mca",
		"cmov", "pat", "pse36", "pn", "clflush", NULL, "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht", "tm",
		"ia64", "pbe",
	},
	[ENV_CPUID_1_ECX] = {	/* 27 (osxsave) follows CR4 and is nobody's to choose */
		"pni", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est", "tm2", "ssse3", "cid", "sdbg", "fma",
		"cx16", "xtpr", "pdcm", NULL, "pcid", "dca", "sse4_1", "sse4_2", "x2apic", "movbe", "popcnt",
		"tsc_deadline_timer", "aes", "xsave", NULL, "avx", "f16c", "rdrand", "hypervisor",
	},
	[ENV_CPUID_7_0_EBX] = {
		"fsgsbase", "tsc_adjust", "sgx", "bmi1", "hle", "avx2", "fdp_excptn_only", "smep", "bmi2", "erms", "invpcid",
		"rtm", "cqm", "zero_fcs_fds", "mpx", "rdt_a", "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma",
		NULL, "clflushopt", "clwb", "intel_pt", "avx512pf", "avx512er", "avx512cd", "sha_ni", "avx512bw", "avx512vl",
	},
	[ENV_CPUID_7_0_ECX] = {	/* 4 (ospke) follows CR4 */
		[1] = "avx512vbmi", "umip", "pku", [5] = "waitpkg", "avx512_vbmi2", [8] = "gfni", "vaes", "vpclmulqdq",
		"avx512_vnni", "avx512_bitalg", "tme", "avx512_vpopcntdq", [16] = "la57", [22] = "rdpid",
		[24] = "bus_lock_detect", "cldemote", [27] = "movdiri", "movdir64b", "enqcmd", "sgx_lc",
	},
	[ENV_CPUID_7_0_EDX] = {
		[2] = "avx512_4vnniw", "avx512_4fmaps", "fsrm", [8] = "avx512_vp2intersect", "srbds_ctrl", "md_clear",
		"rtm_always_abort", [13] = "tsx_force_abort", "serialize", "hybrid_cpu", "tsxldtrk", [18] = "pconfig",
		"arch_lbr", "ibt", [22] = "amx_bf16", "avx512_fp16", "amx_tile", "amx_int8", "spec_ctrl", "intel_stibp",
		"flush_l1d", "arch_capabilities", "core_capabilities", "spec_ctrl_ssbd",
	},
	[ENV_CPUID_80000001_EDX] = {
		[11] = "syscall", [19] = "mp", "nx", [22] = "mmxext", [25] = "fxsr_opt", "pdpe1gb", "rdtscp", [29] = "lm",
		"3dnowext", "3dnow",
	},
	[ENV_CPUID_80000001_ECX] = {
		"lahf_lm", "cmp_legacy", "svm", "extapic", "cr8_legacy", "abm", "sse4a", "misalignsse", "3dnowprefetch",
		"osvw", "ibs", "xop", "skinit", "wdt", [15] = "lwp", "fma4", "tce", [19] = "nodeid_msr", [21] = "tbm",
		"topoext", "perfctr_core", "perfctr_nb", [26] = "bpext", "ptsc", "perfctr_llc", "mwaitx",
	},
	[ENV_CPUID_80000007_EDX] = { [7] = "hw_pstate", "nonstop_tsc", "cpb", [11] = "proc_feedback" },
	[ENV_CPUID_80000008_EBX] = {
		"clzero", "irperf", "xsaveerptr", [4] = "rdpru", [9] = "wbnoinvd", [12] = "amd_ibpb", [14] = "amd_ibrs",
		"amd_stibp", [17] = "amd_stibp_always_on", [23] = "amd_ppin", "amd_ssbd", "virt_ssbd", "amd_ssb_no", "cppc",
		[31] = "brs",
	},
	[ENV_CPUID_D_1_EAX] = { "xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd" },
	[ENV_CPUID_6_EAX] = {
		"dtherm", "ida", "arat", [4] = "pln", [6] = "pts", "hwp", "hwp_notify", "hwp_act_window", "hwp_epp",
		"hwp_pkg_req", [19] = "hfi",
	},
};

static const uint32_t leaves[ENV_CPUID_WORDS] = {
	[ENV_CPUID_1_EDX] = 1, [ENV_CPUID_1_ECX] = 1, [ENV_CPUID_7_0_EBX] = 7, [ENV_CPUID_7_0_ECX] = 7, [ENV_CPUID_7_0_EDX] = 7,
	[ENV_CPUID_80000001_EDX] = 0x80000001, [ENV_CPUID_80000001_ECX] = 0x80000001, [ENV_CPUID_80000007_EDX] = 0x80000007,
	[ENV_CPUID_80000008_EBX] = 0x80000008, [ENV_CPUID_D_1_EAX] = 0xd, [ENV_CPUID_6_EAX] = 6,
};

const char *env_cpuid_name(enum env_cpuid_word word, unsigned bit)
{
	return (unsigned)word < ENV_CPUID_WORDS && bit < 32 ? names[word][bit] : NULL;
}

bool env_cpuid_find(const char *name, enum env_cpuid_word *word, unsigned *bit)
{
	for (unsigned w = 0; w < ENV_CPUID_WORDS; w++)
		for (unsigned b = 0; b < 32; b++)
			if (names[w][b] && !strcmp(names[w][b], name)) {
				*word = (enum env_cpuid_word)w;
				*bit = b;
				return true;
			}
	return false;
}

uint32_t env_cpuid_leaf(enum env_cpuid_word word)
{
	bug_on((unsigned)word >= ENV_CPUID_WORDS);
	return leaves[word];
}

void env_cpuid_add_aliases(struct env_cpu *cpu)
{
	if (!strcmp(cpu->vendor, "AuthenticAMD") || !strcmp(cpu->vendor, "HygonGenuine"))
		cpu->words[ENV_CPUID_80000001_EDX] |= cpu->words[ENV_CPUID_1_EDX] & AMD_ALIASES;
}
